//! Which positions a stream has, and its version: derived from the frames, rebuilt at open.
//!
//! ```text
//! stream ─► version, last position, newest steps (LEB128, 1 to 3 bytes each), newest block
//!                                                        block ─► block ─► … older steps
//! ```
//! Memory holds a short tail per stream, however long the stream: what it outgrows moves into
//! [`Blocks`], after the replies are out. A step's last byte is the only one below 0x80, so a
//! tail is walked from its end.

mod blocks;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use blocks::Blocks;

use crate::envelope::StreamId;
use crate::frame::{put_number, read_number};
use crate::log::{Direction, Position, Version};
use blocks::{Block, BlockRef, STEPS_MAX_BYTES};

/// Bytes of steps that stay in memory per stream: some hundred of the newest events.
const TAIL_MAX_BYTES: usize = 192;

/// An event that does not continue its stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} is at version {at}, the event at position {position} says {version}")]
pub(crate) struct VersionGap {
    pub stream: String,
    pub at: Version,
    pub version: Version,
    pub position: Position,
}

/// The index cannot be read. The frames are not concerned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream index: {0}; opening the log anew rebuilds it")]
pub(crate) struct IndexError(pub String);

#[derive(Debug, Default, Clone)]
struct Row {
    version: Version,
    last: Position,
    steps: Vec<u8>,
    block: BlockRef,
}

/// Stream → versions and positions.
#[derive(Debug, Default)]
pub(crate) struct StreamIndex {
    rows: HashMap<StreamId, Row>,
    blocks: Arc<Blocks>,
    /// Streams whose tail is too long.
    outgrown: Vec<StreamId>,
}

/// A stretch of a stream, to be looked up without holding the index.
#[derive(Debug)]
pub(crate) struct Stretch {
    row: Row,
    stream: StreamId,
    after: Version,
    until: Version,
    direction: Direction,
    blocks: Arc<Blocks>,
}

impl StreamIndex {
    /// An index whose old positions lie in `blocks`.
    pub(crate) fn with_blocks(blocks: Blocks) -> Self {
        Self {
            blocks: Arc::new(blocks),
            ..Self::default()
        }
    }

    /// The version of a stream, 0 when it has no events.
    pub(crate) fn version(&self, stream: &StreamId) -> Version {
        self.rows.get(stream).map_or(0, |row| row.version)
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.rows.len()
    }

    /// Takes the next event of a stream; positions must grow.
    pub(crate) fn record(
        &mut self,
        stream: &str,
        version: Version,
        position: Position,
    ) -> Result<(), VersionGap> {
        let gap = |at| VersionGap {
            stream: stream.to_owned(),
            at,
            version,
            position,
        };
        if !self.rows.contains_key(stream) {
            let name = StreamId::new(stream).map_err(|_| gap(0))?;
            if version != 1 {
                return Err(gap(0));
            }
            self.rows.insert(name, Row::default());
        }
        self.push(stream, version, position).map_err(gap)
    }

    /// As [`StreamIndex::record`], sharing the caller's name.
    pub(crate) fn record_shared(
        &mut self,
        stream: &StreamId,
        version: Version,
        position: Position,
    ) -> Result<(), VersionGap> {
        if !self.rows.contains_key(stream) {
            self.rows.insert(stream.clone(), Row::default());
        }
        self.record(stream.as_str(), version, position)
    }

    fn push(&mut self, stream: &str, version: Version, position: Position) -> Result<(), Version> {
        let Some(row) = self.rows.get_mut(stream) else {
            return Err(0);
        };
        let was_short = row.steps.len() <= TAIL_MAX_BYTES;
        row.push(version, position)?;
        if was_short && row.steps.len() > TAIL_MAX_BYTES {
            self.outgrown.extend(StreamId::new(stream));
        }
        Ok(())
    }

    /// Whether [`StreamIndex::spill`] has something to do.
    pub(crate) fn has_outgrown(&self) -> bool {
        !self.outgrown.is_empty()
    }

    /// Moves what outgrew its tail into blocks. A tail that cannot be moved stays where it is.
    pub(crate) fn spill(&mut self) {
        for stream in std::mem::take(&mut self.outgrown) {
            let Some(row) = self.rows.get_mut(&stream) else {
                continue;
            };
            if let Err(error) = row.spill(name_hash(&stream), &self.blocks) {
                tracing::warn!(%stream, %error, "old positions stay in memory");
                self.outgrown.push(stream);
                return;
            }
        }
    }

    /// Up to `limit` versions beyond `from`, in the given direction.
    pub(crate) fn stretch(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Option<Stretch> {
        let row = self.rows.get(stream)?;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let (after, until) = match direction {
            Direction::Forward => (from, from.saturating_add(limit).min(row.version)),
            Direction::Backward => {
                let until = from.saturating_sub(1).min(row.version);
                (until.saturating_sub(limit), until)
            }
        };
        (after < until).then(|| Stretch {
            row: row.clone(),
            stream: stream.clone(),
            after,
            until,
            direction,
            blocks: Arc::clone(&self.blocks),
        })
    }

    /// The positions of a stretch.
    #[cfg(test)]
    fn positions(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Vec<Position> {
        self.stretch(stream, from, limit, direction)
            .map_or(Ok(Vec::new()), |stretch| stretch.positions())
            .unwrap_or_default()
    }
}

impl Stretch {
    pub(crate) fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Whether the tail alone answers.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.row.walk_back(self.after, &mut |_, _| {}) <= self.after
    }

    /// Its versions, in its direction.
    pub(crate) fn versions(&self) -> Box<dyn Iterator<Item = Version>> {
        let versions = self.after + 1..=self.until;
        match self.direction {
            Direction::Forward => Box::new(versions),
            Direction::Backward => Box::new(versions.rev()),
        }
    }

    /// Its positions, in its direction. Reads blocks where the tail is too short.
    pub(crate) fn positions(&self) -> Result<Vec<Position>, IndexError> {
        let mut newest_first = Vec::new();
        let mut take = |version: Version, position| {
            if version > self.after && version <= self.until {
                newest_first.push(position);
            }
        };
        let row = &self.row;
        let mut version = row.walk_back(self.after, &mut take);
        if version > self.after {
            let stream = name_hash(&self.stream);
            let mut block = self
                .blocks
                .find(row.block, stream, self.until.min(version))?;
            loop {
                walk_back(&block.steps, block.until, block.last, self.after, &mut take);
                version = block.after;
                if version <= self.after {
                    break;
                }
                block = self.blocks.get(block.previous, stream)?;
            }
        }
        if newest_first.len() as u64 != self.until - self.after {
            return Err(IndexError("positions are missing".into()));
        }
        if self.direction == Direction::Forward {
            newest_first.reverse();
        }
        Ok(newest_first)
    }
}

impl Row {
    fn push(&mut self, version: Version, position: Position) -> Result<(), Version> {
        if version != self.version + 1 || position <= self.last {
            return Err(self.version);
        }
        put_number(&mut self.steps, position - self.last);
        self.version = version;
        self.last = position;
        Ok(())
    }

    fn walk_back(&self, after: Version, take: &mut impl FnMut(Version, Position)) -> Version {
        walk_back(&self.steps, self.version, self.last, after, take)
    }

    /// Moves the oldest steps into blocks until the tail is short again.
    fn spill(&mut self, stream: u64, blocks: &Blocks) -> Result<(), IndexError> {
        while self.steps.len() > TAIL_MAX_BYTES {
            let cut = end_of_last(&self.steps[..STEPS_MAX_BYTES]);
            let (old, kept) = self.steps.split_at(cut);
            let (until, last) = walked(kept, self.version, self.last);
            let (after, before) = walked(old, until, last);
            let (number, jump, jump_number) = blocks.links(self.block, stream)?;
            self.block = blocks.add(&Block {
                stream,
                number,
                after,
                until,
                before,
                last,
                previous: self.block,
                jump,
                jump_number,
                steps: old.to_vec(),
            })?;
            self.steps = kept.to_vec();
        }
        Ok(())
    }
}

/// Names the stream in its blocks: enough to tell a mistaken reference, nothing rests on it.
fn name_hash(stream: &StreamId) -> u64 {
    let hash = blake3::hash(stream.as_str().as_bytes());
    hash.as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Version and position before the steps that end at the given ones.
fn walked(steps: &[u8], version: Version, last: Position) -> (Version, Position) {
    let (mut at, mut position) = (0, last);
    let mut count = 0;
    while let Some((step, length)) = read_number(&steps[at..]) {
        at += length;
        position -= step;
        count += 1;
    }
    (version - count, position)
}

/// Hands out versions and positions, newest first, down to `after`; gives the version before.
fn walk_back(
    steps: &[u8],
    mut version: Version,
    mut position: Position,
    after: Version,
    take: &mut impl FnMut(Version, Position),
) -> Version {
    let mut end = steps.len();
    while end > 0 && version > after {
        take(version, position);
        let start = start_of_last(&steps[..end]);
        position -= read_number(&steps[start..end]).map_or(0, |(step, _)| step);
        version -= 1;
        end = start;
    }
    version
}

/// Where the last number of a row starts: after the end of the one before.
fn start_of_last(steps: &[u8]) -> usize {
    let before_last = steps.len().saturating_sub(1);
    end_of_last(&steps[..before_last])
}

/// Where the last whole number ends.
fn end_of_last(steps: &[u8]) -> usize {
    let end = steps.iter().rposition(|byte| *byte < 0x80);
    end.map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests;
