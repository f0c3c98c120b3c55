//! Writing a log from events that were exported: the same frames, hence the same hashes.

use std::path::Path;

use super::fresh::FreshStore;
use super::upkeep::UpkeepError;
use crate::append_ids::NamedAppend;
use crate::envelope::Recorded;
use crate::frame::{check_event, rebuild};
use crate::index::StreamIndex;
use crate::log::{Head, Position};

/// A log that is being written from exported events.
pub struct LogImport {
    store: FreshStore,
    index: StreamIndex,
    frames_left: u16,
}

impl LogImport {
    /// Starts a log in a new or empty directory. Unless it is finished, nothing is left of it.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self, UpkeepError> {
        Ok(Self {
            store: FreshStore::create(dir.as_ref())?,
            index: StreamIndex::default(),
            frames_left: 0,
        })
    }

    /// Takes the events of the next frame, and the named appends that begin in it. Positions and versions must follow, and the frame
    /// must have the hash that it had.
    pub fn frame(
        &mut self,
        events: &[Recorded],
        named: &[NamedAppend],
        frames_left: u16,
        hash: [u8; 32],
    ) -> Result<(), UpkeepError> {
        let before = self.store.head();
        for (position, event) in (before.position + 1..).zip(events) {
            if event.position != position {
                return Err(refused(
                    position,
                    format!(
                        "the event says that it stands at position {}",
                        event.position
                    ),
                ));
            }
            check_event(event.into()).map_err(|what| refused(position, what))?;
            self.index
                .record_shared(&event.stream, event.version, position)
                .map_err(|gap| refused(position, gap.to_string()))?;
        }
        let position = before.position + 1;
        if self.frames_left > 0 && frames_left != self.frames_left - 1 {
            return Err(refused(
                position,
                "a commit of several frames is not whole".into(),
            ));
        }
        let frame = rebuild(before, frames_left, events, named)
            .ok_or_else(|| refused(position, "the events do not fit into one frame".into()))?;
        if frame.hash() != hash {
            return Err(refused(
                position,
                "the events do not give the hash that their frame had: they were changed".into(),
            ));
        }
        self.frames_left = frames_left;
        self.store.take(frame)
    }

    /// The end of what was taken.
    pub fn head(&self) -> Head {
        self.store.head()
    }

    /// Makes everything durable and seals the log.
    pub fn finish(self) -> Result<Head, UpkeepError> {
        let head = self.store.head();
        if self.frames_left > 0 {
            return Err(refused(
                head.position + 1,
                "the last commit is not whole".into(),
            ));
        }
        self.store.finish()
    }
}

fn refused(position: Position, detail: String) -> UpkeepError {
    UpkeepError::Refused { position, detail }
}
