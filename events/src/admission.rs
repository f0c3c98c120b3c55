//! What every store decides before it writes: is the append storable, and do its versions hold.
//!
//! ```text
//! StreamAppend ─► check_shape (before any queue) ─► Admission::admit (one writer, in order) ─► Admitted
//! ```
//! Admission sees the durable versions and those of the same commit that came before: a refused
//! append leaves no trace, and the others of the commit proceed.

use std::collections::{HashMap, HashSet};

use crate::append_ids::{AppendId, AppendIds};
use crate::envelope::StreamId;
use crate::frame::{Commit, FrameBuilder, check_event, frame_bytes};
use crate::index::StreamIndex;
use crate::log::{AppendError, Appended, Expected, Head, Position, StreamAppend, Version};

/// Largest append in bytes: some 10,000 events. It is written at once, so everybody waits for it.
pub const APPEND_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes after which a commit takes no further append: with the largest append behind it, it
/// stays near 100 frames, which sled takes in one batch.
pub(crate) const COMMIT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that an event is counted as besides its payload: names, ids and numbers.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// Refuses what can never be stored in frames of this size; gives the size that counts against the bounds.
pub(crate) fn check_shape(
    batch: &[StreamAppend],
    frame_max_bytes: usize,
) -> Result<usize, AppendError> {
    let invalid = |what: String| Err(AppendError::Invalid(what));
    let mut seen = HashSet::with_capacity(batch.len());
    let mut bytes = 0usize;
    if batch.is_empty() {
        return invalid("no stream is named".into());
    }
    for part in batch {
        if part.events.is_empty() {
            return invalid(format!("no event for stream {}", part.stream));
        }
        if !seen.insert(&part.stream) {
            return invalid(format!("stream {} is named twice", part.stream));
        }
        for event in &part.events {
            check_event(event.into())
                .map_err(|what| AppendError::Invalid(format!("stream {}: {what}", part.stream)))?;
            let alone = frame_bytes(&part.stream, event.into());
            if alone > frame_max_bytes {
                return invalid(format!(
                    "stream {}: an event of {alone} bytes, this store takes up to {frame_max_bytes}",
                    part.stream
                ));
            }
            bytes = bytes.saturating_add(event.payload.len() + EVENT_OVERHEAD_BYTES);
        }
    }
    if bytes > APPEND_MAX_BYTES {
        return invalid(format!(
            "{bytes} bytes, the limit is {APPEND_MAX_BYTES}: append in parts"
        ));
    }
    Ok(bytes)
}

/// What a commit adds to the index.
#[derive(Debug)]
pub(crate) struct Entry {
    stream: StreamId,
    version: Version,
    position: Position,
}

/// The appends of one commit that were accepted.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub commit: Commit,
    pub entries: Vec<Entry>,
    named: HashMap<AppendId, Appended>,
}

impl Admitted {
    /// Makes the commit's events known; only after they are durable.
    pub(crate) fn index_into(
        &self,
        index: &mut StreamIndex,
        ids: &mut AppendIds,
    ) -> Result<(), AppendError> {
        // In the order of the log, as a later opening sees them: the oldest leave the window first.
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_unstable_by_key(|(_, appended)| appended.first);
        for (id, appended) in named {
            ids.insert(*id, appended.clone());
        }
        for entry in &self.entries {
            index
                .record_shared(&entry.stream, entry.version, entry.position)
                .map_err(|gap| AppendError::Store(gap.to_string()))?;
        }
        Ok(())
    }
}

/// Collects the appends of one commit.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    durable: &'a StreamIndex,
    ids: &'a AppendIds,
    named: HashMap<AppendId, Appended>,
    pending: HashMap<StreamId, Version>,
    frames: FrameBuilder,
    entries: Vec<Entry>,
}

impl<'a> Admission<'a> {
    pub(crate) fn new(
        durable: &'a StreamIndex,
        ids: &'a AppendIds,
        head: Head,
        frame_max_bytes: usize,
    ) -> Self {
        Self {
            durable,
            ids,
            named: HashMap::new(),
            pending: HashMap::new(),
            frames: FrameBuilder::new(head, frame_max_bytes),
            entries: Vec::new(),
        }
    }

    /// Accepts a batch whose shape was checked, or refuses it alone.
    pub(crate) fn admit(
        &mut self,
        id: Option<AppendId>,
        batch: &[StreamAppend],
    ) -> Result<Appended, AppendError> {
        let made = id.and_then(|id| self.named.get(&id).or_else(|| self.ids.get(id)));
        if let Some(made) = made {
            return repeated(made, batch);
        }
        for part in batch {
            self.check_version(part)?;
        }
        let first = self.frames.last() + 1;
        if let Some(id) = id {
            self.frames.name_next(id, events_in(batch));
        }
        let versions = batch.iter().map(|part| self.put(part)).collect();
        let appended = Appended {
            first,
            last: self.frames.last(),
            versions,
        };
        if let Some(id) = id {
            self.named.insert(id, appended.clone());
        }
        Ok(appended)
    }

    fn version(&self, stream: &StreamId) -> Version {
        self.pending
            .get(stream)
            .copied()
            .unwrap_or_else(|| self.durable.version(stream))
    }

    fn check_version(&self, part: &StreamAppend) -> Result<(), AppendError> {
        let actual = self.version(&part.stream);
        match part.expected {
            Expected::Exact(expected) if expected != actual => Err(AppendError::Conflict {
                stream: part.stream.clone(),
                expected,
                actual,
            }),
            Expected::Exact(_) | Expected::Any => Ok(()),
        }
    }

    fn put(&mut self, part: &StreamAppend) -> Version {
        let mut version = self.version(&part.stream);
        for event in &part.events {
            version += 1;
            let position = self.frames.push(&part.stream, version, event);
            self.entries.push(Entry {
                stream: part.stream.clone(),
                version,
                position,
            });
        }
        self.pending.insert(part.stream.clone(), version);
        version
    }

    /// The commit, or nothing when every append was refused.
    pub(crate) fn finish(self) -> Option<Admitted> {
        (!self.frames.is_empty()).then(|| Admitted {
            commit: self.frames.finish(),
            entries: self.entries,
            named: self.named,
        })
    }
}

fn events_in(batch: &[StreamAppend]) -> u64 {
    batch.iter().map(|part| part.events.len() as u64).sum()
}

/// What the first append of this name gave, unless the batch is visibly another one.
fn repeated(made: &Appended, batch: &[StreamAppend]) -> Result<Appended, AppendError> {
    let events = made.last + 1 - made.first;
    if made.versions.len() == batch.len() && events == events_in(batch) {
        Ok(made.clone())
    } else {
        let what = "its id was used for another append".to_owned();
        Err(AppendError::Invalid(what))
    }
}
