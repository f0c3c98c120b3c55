//! The index answers as a plain list does, from bounded memory.
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
    assert!(entry + name + row < 200, "{}", entry + name + row);
}

#[test]
fn memory_stays_bounded_and_any_stretch_of_a_long_stream_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = StreamIndex::with_blocks(Blocks::in_dir(dir.path()).unwrap());
    for version in 1..=100_000 {
        index.record("idx_1", version, version * 300).unwrap();
        index.record("idx_2", version, version * 300 + 1).unwrap();
        index.spill();
    }
    let row = &index.rows["idx_1"];
    assert!(row.steps.capacity() < 2 * TAIL_MAX_BYTES);
    for from in [0, 1, 77, 50_000, 99_800, 99_999, 100_000] {
        let positions = index.positions(&stream(), from, 200, Direction::Forward);
        let expected: Vec<_> = (from + 1..=100_000).take(200).map(|v| v * 300).collect();
        assert_eq!(positions, expected);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_block_that_is_not_what_was_written_is_an_error() {
    let mut index = StreamIndex::default();
    for version in 1..=1_000 {
        index.record("idx_1", version, version).unwrap();
    }
    index.spill();
    index.rows.get_mut("idx_1").unwrap().block += 7;
    let stretch = index.stretch(&stream(), 0, 10, Direction::Forward);
    assert!(stretch.unwrap().positions().is_err());
}

proptest! {
    #[test]
    fn positions_are_those_of_a_plain_list(
        steps in prop::collection::vec(prop_oneof![1u64..200, 1u64..5_000_000], 1..1_500),
        from in 0u64..1_600, limit in 0usize..1_600,
    ) {
        let mut index = StreamIndex::default();
        let mut plain = Vec::new();
        let mut position = 0;
        for (at, step) in steps.iter().enumerate() {
            position += step;
            plain.push(position);
            index.record("idx_1", at as u64 + 1, position).unwrap();
            if at % 5 == 0 {
                index.spill();
            }
        }
        let forward: Vec<_> = plain.iter().copied().skip(usize::try_from(from).unwrap()).take(limit).collect();
        prop_assert_eq!(index.positions(&stream(), from, limit, Direction::Forward), forward);
        let before = usize::try_from(from.saturating_sub(1)).unwrap().min(plain.len());
        let backward: Vec<_> = plain[..before].iter().rev().copied().take(limit).collect();
        prop_assert_eq!(index.positions(&stream(), from, limit, Direction::Backward), backward);
    }
}
