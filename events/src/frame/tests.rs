//! Frames round-trip, refuse every changed bit, and stay what they were.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::append_ids::AppendId;
use crate::envelope::{Causation, Metadata, NewEvent, OwnerKey, StreamId};
use crate::log::Head;

type Sketch = (u8, u8, Vec<u8>, u128, i64);

fn event((_, kind, payload, ids, at): &Sketch) -> NewEvent {
    const TYPES: [&str; 3] = ["index.created", "index.updated", "webhook.delivery.failed"];
    NewEvent {
        event_type: TYPES[usize::from(*kind) % 3],
        payload_version: u16::from(*kind) + 1,
        payload: Bytes::from(payload.clone()),
        metadata: Metadata {
            owner: OwnerKey(ids % 3),
            by: Arc::from(format!("owner:{}", ids % 2)),
            cause: Causation {
                correlation: *ids,
                causation: ids / 2,
            },
            recorded_at_us: *at,
        },
    }
}

fn stream(sketch: &Sketch) -> StreamId {
    StreamId::new(format!("idx_{}", sketch.0 % 5)).unwrap()
}

fn commit(sketches: &[Sketch], before: Head) -> Commit {
    let mut builder = FrameBuilder::new(before, FRAME_MAX_BYTES);
    for (version, sketch) in sketches.iter().enumerate() {
        builder.push(&stream(sketch), version as u64 + 1, &event(sketch));
    }
    builder.finish()
}

fn empty() -> Head {
    Head {
        position: 0,
        hash: GENESIS,
    }
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (
        any::<u8>(),
        any::<u8>(),
        prop::collection::vec(any::<u8>(), 0..80),
        any::<u128>(),
        any::<i64>(),
    )
}

proptest! {
    #[test]
    fn what_went_in_comes_out(sketches in prop::collection::vec(sketch(), 1..40)) {
        let commit = commit(&sketches, empty());
        let read: Vec<_> = commit.frames.iter()
            .flat_map(|frame| Frame::verify(frame.bytes().clone()).unwrap().events().unwrap())
            .collect();
        prop_assert_eq!(read.len(), sketches.len());
        for (at, (read, sketch)) in read.iter().zip(&sketches).enumerate() {
            let written = event(sketch);
            prop_assert_eq!(read.position, at as u64 + 1);
            prop_assert_eq!(read.version, at as u64 + 1);
            prop_assert_eq!(&read.stream, &stream(sketch));
            prop_assert_eq!(&*read.event_type, written.event_type);
            prop_assert_eq!(read.payload_version, written.payload_version);
            prop_assert_eq!(&read.payload, &written.payload);
            prop_assert_eq!(&read.metadata, &written.metadata);
        }
    }

    #[test]
    fn a_changed_bit_is_refused(sketches in prop::collection::vec(sketch(), 1..10), bit in any::<prop::sample::Index>()) {
        let frame = commit(&sketches, empty()).frames.remove(0);
        let mut bytes = frame.bytes().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Frame::verify(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn bytes_that_are_no_body_are_never_read_past_their_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = body::Reader::new(&body, 1);
        while reader.next_event().is_some() {}
    }

    #[test]
    fn frames_are_found_in_any_rubbish(before in prop::collection::vec(any::<u8>(), 0..300), sketches in prop::collection::vec(sketch(), 1..10)) {
        let frame = commit(&sketches, empty()).frames.remove(0);
        let mut raw = before.clone();
        raw.extend_from_slice(frame.bytes());
        raw.extend_from_slice(&before);
        let found = find_frames(&Bytes::from(raw));
        prop_assert!(found.iter().any(|f| f.offset == before.len() && f.frame.is_some()));
    }
}

#[test]
fn a_large_commit_becomes_several_chained_frames_that_know_how_many_follow() {
    let sketches: Vec<Sketch> = (0..50)
        .map(|n| (n, n, vec![n; 10_000], u128::from(n), 0))
        .collect();
    let commit = commit(
        &sketches,
        Head {
            position: 7,
            hash: [9; 32],
        },
    );
    assert!(commit.frames.len() > 4);
    let (mut position, mut hash) = (7, [9; 32]);
    for (at, frame) in commit.frames.iter().enumerate() {
        assert!(frame.bytes().len() <= FRAME_MAX_BYTES);
        let frame = Frame::verify_next(frame.bytes().clone(), position + 1, &hash).unwrap();
        assert_eq!(
            usize::from(frame.frames_left()),
            commit.frames.len() - 1 - at
        );
        (position, hash) = (frame.last(), frame.hash());
    }
    assert_eq!(commit.head, Head { position, hash });
    assert_eq!(position, 57);
}

#[test]
fn the_largest_payload_fits_in_one_frame() {
    let largest = vec![1; crate::codec::PAYLOAD_MAX_BYTES];
    let commit = commit(&[(1, 1, largest, u128::MAX, i64::MIN)], empty());
    assert!(commit.frames[0].bytes().len() <= FRAME_MAX_BYTES);
}

#[test]
fn a_frame_at_another_place_or_in_another_chain_is_refused() {
    let frame = commit(&[(1, 1, vec![1], 1, 1)], empty()).frames.remove(0);
    let bytes = frame.bytes();
    assert!(Frame::verify_next(bytes.clone(), 1, &GENESIS).is_ok());
    assert!(Frame::verify_next(bytes.clone(), 2, &GENESIS).is_err());
    assert!(Frame::verify_next(bytes.clone(), 1, &[1; 32]).is_err());
}

#[test]
fn an_intact_frame_of_a_newer_format_says_so() {
    let frame = commit(&[(1, 1, vec![1], 1, 1)], empty()).frames.remove(0);
    let mut bytes = frame.bytes()[..frame.bytes().len() - HASH_BYTES].to_vec();
    bytes[8] = 2;
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    assert_eq!(
        Frame::verify(Bytes::from(bytes)).unwrap_err(),
        FrameError::NewerFormat { found: 2 }
    );
}

/// The bytes of format 1, for ever. Written once, with `EVENKEEL_WRITE_GOLDEN=1`.
#[test]
fn format_1_is_what_it_was() {
    let sketches: Vec<Sketch> = vec![
        (1, 0, b"created".to_vec(), 7, 1_700_000_000_000_000),
        (2, 1, b"updated".to_vec(), 7, 1_700_000_000_000_250),
        (1, 2, vec![0, 255, 128], u128::MAX, 1_700_000_000_000_100),
        (1, 0, Vec::new(), 0, -5),
    ];
    let before = Head {
        position: 41,
        hash: [0xA5; 32],
    };
    let mut builder = FrameBuilder::new(before, FRAME_MAX_BYTES);
    for (version, sketch) in sketches.iter().enumerate() {
        if version == 2 {
            builder.name_next(AppendId(0x1234_5678 << 96 | 9), 2);
        }
        builder.push(&stream(sketch), version as u64 + 1, &event(sketch));
    }
    let written = builder.finish().frames.remove(0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frame_v1.bin");
    if std::env::var_os("EVENKEEL_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, written.bytes()).unwrap();
    }
    let golden = Bytes::from(std::fs::read(&path).unwrap());
    assert_eq!(
        &golden,
        written.bytes(),
        "today's writer writes other bytes: that is a new format"
    );
    let read = Frame::verify_next(golden, 42, &[0xA5; 32])
        .unwrap()
        .events()
        .unwrap();
    for (read, sketch) in read.iter().zip(&sketches) {
        assert_eq!(
            (&read.stream, &read.payload),
            (&stream(sketch), &event(sketch).payload)
        );
        assert_eq!(read.metadata, event(sketch).metadata);
    }
    assert_eq!(read.len(), sketches.len());
}
