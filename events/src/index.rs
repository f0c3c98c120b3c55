//! Which positions a stream has, and its version: derived from the frames, rebuilt at open.
//!
//! ```text
//! stream ─► version, last position, differences between positions (LEB128, 1 to 3 bytes each)
//! ```
//! A difference's last byte is the only one below 0x80, so the row can be walked from either
//! end: the newest events are found without touching the older ones. The index lives in memory;
//! its four calls are all that a store knows of it, so that it can move into blocks on disk.

use std::collections::HashMap;

use crate::envelope::StreamId;
use crate::frame::{put_number, read_number};
use crate::log::{Direction, Position, Version};

/// An event that does not continue its stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} is at version {at}, the event at position {position} says {version}")]
pub(crate) struct VersionGap {
    pub stream: String,
    pub at: Version,
    pub version: Version,
    pub position: Position,
}

#[derive(Debug, Default)]
struct Row {
    version: Version,
    last: Position,
    steps: Vec<u8>,
}

/// Stream → versions and positions.
#[derive(Debug, Default)]
pub(crate) struct StreamIndex {
    rows: HashMap<StreamId, Row>,
}

impl StreamIndex {
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
        if let Some(row) = self.rows.get_mut(stream) {
            return row.push(version, position).map_err(gap);
        }
        let name = StreamId::new(stream).map_err(|_| gap(0))?;
        let mut row = Row::default();
        row.push(version, position).map_err(gap)?;
        self.rows.insert(name, row);
        Ok(())
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

    /// Positions of up to `limit` events beyond `from`, in the given direction.
    pub(crate) fn positions(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Vec<Position> {
        let Some(row) = self.rows.get(stream) else {
            return Vec::new();
        };
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        match direction {
            Direction::Forward => row.between(from, from.saturating_add(limit).min(row.version)),
            Direction::Backward => {
                let end = from.saturating_sub(1).min(row.version);
                let mut positions = row.between(end.saturating_sub(limit), end);
                positions.reverse();
                positions
            }
        }
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

    /// Positions of the versions `after + 1 ..= until`, oldest first, from the nearer end.
    fn between(&self, after: Version, until: Version) -> Vec<Position> {
        if after >= until {
            return Vec::new();
        }
        if after < self.version - until {
            self.walk_forward(after, until)
        } else {
            self.walk_backward(after, until)
        }
    }

    fn walk_forward(&self, after: Version, until: Version) -> Vec<Position> {
        let mut positions = Vec::new();
        let (mut at, mut position) = (0, 0);
        for version in 1..=until {
            let Some((step, length)) = read_number(&self.steps[at..]) else {
                break;
            };
            at += length;
            position += step;
            if version > after {
                positions.push(position);
            }
        }
        positions
    }

    fn walk_backward(&self, after: Version, until: Version) -> Vec<Position> {
        let mut positions = Vec::new();
        let (mut end, mut position) = (self.steps.len(), self.last);
        for version in (after + 1..=self.version).rev() {
            if version <= until {
                positions.push(position);
            }
            let start = start_of_last(&self.steps[..end]);
            position -= read_number(&self.steps[start..end]).map_or(0, |(step, _)| step);
            end = start;
        }
        positions.reverse();
        positions
    }
}

/// Where the last number of the row starts: after the end of the one before.
fn start_of_last(steps: &[u8]) -> usize {
    let before_last = steps.len().saturating_sub(1);
    steps[..before_last]
        .iter()
        .rposition(|byte| *byte < 0x80)
        .map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn stream() -> StreamId {
        StreamId::new("idx_1").unwrap()
    }

    #[test]
    fn an_unknown_stream_has_version_0_and_no_positions() {
        let index = StreamIndex::default();
        assert_eq!(index.version(&stream()), 0);
        assert!(
            index
                .positions(&stream(), 0, 10, Direction::Forward)
                .is_empty()
        );
        assert!(
            index
                .positions(&stream(), Version::MAX, 10, Direction::Backward)
                .is_empty()
        );
    }

    #[test]
    fn a_version_that_does_not_follow_is_refused_and_changes_nothing() {
        let mut index = StreamIndex::default();
        index.record("idx_1", 1, 10).unwrap();
        assert_eq!(index.record("idx_1", 3, 11).unwrap_err().at, 1);
        assert!(index.record("idx_1", 2, 10).is_err(), "positions grow");
        assert_eq!(index.version(&stream()), 1);
    }

    #[test]
    fn a_stream_of_three_events_costs_few_bytes() {
        // Entry with its share of empty slots (7/8 to 7/16 full), name, and the smallest row.
        let entry = size_of::<(StreamId, Row)>() * 3 / 2;
        let (name, row) = (16 + 40, 32);
        assert!(entry + name + row < 180, "{}", entry + name + row);
    }

    proptest! {
        #[test]
        fn positions_are_those_of_a_plain_list(
            steps in prop::collection::vec(prop_oneof![1u64..200, 1u64..5_000_000], 1..60),
            from in 0u64..70, limit in 0usize..70,
        ) {
            let mut index = StreamIndex::default();
            let mut plain = Vec::new();
            let mut position = 0;
            for (at, step) in steps.iter().enumerate() {
                position += step;
                plain.push(position);
                index.record("idx_1", at as u64 + 1, position).unwrap();
            }
            let forward: Vec<_> = plain.iter().copied().skip(usize::try_from(from).unwrap()).take(limit).collect();
            prop_assert_eq!(index.positions(&stream(), from, limit, Direction::Forward), forward);
            let before = usize::try_from(from.saturating_sub(1)).unwrap().min(plain.len());
            let backward: Vec<_> = plain[..before].iter().rev().copied().take(limit).collect();
            prop_assert_eq!(index.positions(&stream(), from, limit, Direction::Backward), backward);
        }
    }
}
