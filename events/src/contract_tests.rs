//! The contract, as tests that every store must pass. One suite; a store supplies how it is made.
#![allow(clippy::unwrap_used, clippy::panic)]

mod contention;
mod once;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    AppendError, Causation, Direction, EventLog, Expected, MemoryLog, Metadata, NewEvent, OwnerKey,
    Recorded, SledLog, SledOptions, StreamAppend, StreamId, Subscription, Version,
};

/// An event whose payload is `text`.
pub(crate) fn event(text: &str) -> NewEvent {
    NewEvent {
        event_type: "test.happened",
        payload_version: 1,
        payload: Bytes::copy_from_slice(text.as_bytes()),
        metadata: Metadata {
            owner: OwnerKey(7),
            by: Arc::from("system"),
            cause: Causation {
                correlation: 1,
                causation: 2,
            },
            recorded_at_us: 1_700_000_000_000_000,
        },
    }
}

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

/// `texts` for one stream.
pub(crate) fn to(name: &str, expected: Expected, texts: &[&str]) -> StreamAppend {
    let events = texts.iter().map(|text| event(text)).collect();
    StreamAppend {
        stream: stream(name),
        expected,
        events,
    }
}

pub(crate) fn texts(events: &[Recorded]) -> Vec<String> {
    events
        .iter()
        .map(|event| String::from_utf8(event.payload.to_vec()).unwrap())
        .collect()
}

use contention::fifty_contenders_have_one_winner_each_and_subscribers_agree_on_the_order;
use once::{
    a_repeated_append_with_its_id_is_made_once, the_same_append_at_the_same_time_is_made_once,
};

type Log = Arc<dyn EventLog>;

async fn add(log: &Log, name: &str, text: &str) {
    log.append(vec![to(name, Expected::Any, &[text])])
        .await
        .unwrap();
}

async fn an_append_is_read_back_as_it_was_written(log: Log) {
    let appended = log
        .append(vec![to("a", Expected::Exact(0), &["1", "2"])])
        .await
        .unwrap();
    assert_eq!(
        (appended.first, appended.last, appended.versions),
        (1, 2, vec![2])
    );
    let read = log.read(0, 10).await.unwrap();
    assert_eq!(texts(&read), ["1", "2"]);
    assert_eq!(read[1].position, 2);
    assert_eq!(read[1].version, 2);
    assert_eq!(&*read[1].event_type, "test.happened");
    assert_eq!(read[1].metadata, event("").metadata);
    assert_eq!(
        (
            log.version(&stream("a")),
            log.head().position,
            *log.watch().borrow()
        ),
        (2, 2, 2)
    );
}

async fn an_empty_log_reads_as_nothing(log: Log) {
    assert!(log.read(0, 10).await.unwrap().is_empty());
    assert!(
        log.read_stream(&stream("a"), 0, 10, Direction::Forward)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!((log.version(&stream("a")), log.head().position), (0, 0));
}

async fn a_wrong_version_is_refused_and_leaves_no_trace(log: Log) {
    add(&log, "a", "1").await;
    let head = log.head();
    for wrong in [0, 2, Version::MAX] {
        let refused = log
            .append(vec![to("a", Expected::Exact(wrong), &["x"])])
            .await
            .unwrap_err();
        let conflict = AppendError::Conflict {
            stream: stream("a"),
            expected: wrong,
            actual: 1,
        };
        assert_eq!(refused, conflict);
    }
    assert_eq!(log.head(), head);
    log.append(vec![to("a", Expected::Exact(1), &["2"])])
        .await
        .unwrap();
}

async fn a_batch_over_several_streams_is_all_or_nothing(log: Log) {
    add(&log, "b", "1").await;
    let mixed = vec![
        to("a", Expected::Exact(0), &["a1"]),
        to("b", Expected::Exact(0), &["b1"]),
    ];
    assert!(matches!(
        log.append(mixed).await,
        Err(AppendError::Conflict { .. })
    ));
    assert_eq!((log.version(&stream("a")), log.head().position), (0, 1));
    let good = vec![
        to("b", Expected::Exact(1), &["b2"]),
        to("a", Expected::Any, &["a1", "a2"]),
    ];
    assert_eq!(log.append(good).await.unwrap().versions, [2, 2]);
}

async fn what_can_never_be_stored_is_invalid(log: Log) {
    let large = "x".repeat(crate::codec::PAYLOAD_MAX_BYTES + 1);
    let page = "x".repeat(crate::codec::PAYLOAD_MAX_BYTES);
    let over = crate::admission::APPEND_MAX_BYTES / page.len() + 1;
    let many: Vec<&str> = (0..over).map(|_| page.as_str()).collect();
    let batches = [
        vec![],
        vec![to("a", Expected::Any, &[])],
        vec![
            to("a", Expected::Any, &["1"]),
            to("a", Expected::Any, &["2"]),
        ],
        vec![to("a", Expected::Any, &[&large])],
        vec![to("a", Expected::Any, &many)],
    ];
    for batch in batches {
        let refused = log.append(batch).await.unwrap_err();
        assert!(matches!(refused, AppendError::Invalid(_)), "{refused}");
    }
    assert_eq!(log.head().position, 0);
}

async fn an_append_of_many_frames_is_read_back_whole(log: Log) {
    let page = "x".repeat(crate::codec::PAYLOAD_MAX_BYTES - 1_000);
    let pages: Vec<&str> = (0..40).map(|_| page.as_str()).collect();
    let appended = log
        .append(vec![to("a", Expected::Exact(0), &pages)])
        .await
        .unwrap();
    assert_eq!((appended.first, appended.last), (1, 40));
    let read = log
        .read_stream(&stream("a"), 0, 100, Direction::Forward)
        .await
        .unwrap();
    assert_eq!(texts(&read), pages);
}

async fn a_stream_is_read_both_ways_and_in_pages(log: Log) {
    for n in 1..=9 {
        add(&log, "a", &n.to_string()).await;
        add(&log, "b", "noise").await;
    }
    let a = stream("a");
    let table: [(Version, usize, Direction, &[&str]); 9] = [
        (0, 3, Direction::Forward, &["1", "2", "3"]),
        (3, 3, Direction::Forward, &["4", "5", "6"]),
        (8, 3, Direction::Forward, &["9"]),
        (9, 3, Direction::Forward, &[]),
        (0, 0, Direction::Forward, &[]),
        (Version::MAX, 2, Direction::Backward, &["9", "8"]),
        (8, 2, Direction::Backward, &["7", "6"]),
        (2, 5, Direction::Backward, &["1"]),
        (1, 5, Direction::Backward, &[]),
    ];
    for (from, limit, direction, expected) in table {
        let read = log.read_stream(&a, from, limit, direction).await.unwrap();
        assert_eq!(
            texts(&read),
            expected,
            "from {from}, {limit}, {direction:?}"
        );
    }
    assert_eq!(log.read(0, usize::MAX).await.unwrap().len(), 18);
    assert_eq!(log.read(16, 1).await.unwrap()[0].position, 17);
    assert!(log.read(18, 10).await.unwrap().is_empty());
    assert!(log.read(u64::MAX, 10).await.unwrap().is_empty());
}

async fn of_concurrent_writers_exactly_one_wins_each_version(log: Log) {
    for round in 0..10 {
        let mut writers = JoinSet::new();
        for _ in 0..20 {
            let log = Arc::clone(&log);
            writers.spawn(async move {
                log.append(vec![to("a", Expected::Exact(round), &["w"])])
                    .await
            });
        }
        let results = writers.join_all().await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let lost = |result: &&Result<_, _>| matches!(result, Err(AppendError::Conflict { .. }));
        assert_eq!(results.iter().filter(lost).count(), 19);
    }
    assert_eq!(log.version(&stream("a")), 10);
}

async fn readers_see_a_gapless_prefix_while_others_write(log: Log) {
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            for n in 0..50 {
                log.append(vec![to(&format!("s{writer}"), Expected::Exact(n), &["e"])])
                    .await
                    .unwrap();
            }
        });
    }
    for _ in 0..3 {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            while log.head().position < 200 {
                let head = log.head().position;
                let read = log.read(0, usize::MAX).await.unwrap();
                assert!(read.len() as u64 >= head, "what was published can be read");
                assert!(
                    read.iter()
                        .zip(1..)
                        .all(|(event, position)| event.position == position)
                );
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

async fn a_subscriber_catches_up_and_goes_live_without_a_gap(log: Log) {
    for n in 1..=50 {
        add(&log, "a", &n.to_string()).await;
    }
    let mut followers = JoinSet::new();
    for after in [0, 25, 50] {
        let mut subscription = Subscription::new(Arc::clone(&log), after);
        followers.spawn(async move {
            let mut seen = Vec::new();
            while subscription.position() < 100 {
                seen.extend(
                    subscription
                        .next_page(7)
                        .await
                        .unwrap()
                        .into_iter()
                        .map(|e| e.position),
                );
            }
            assert_eq!(seen, (after + 1..=100).collect::<Vec<_>>());
        });
    }
    for n in 51..=100 {
        add(&log, "a", &n.to_string()).await;
    }
    followers.join_all().await;
}

async fn a_subscriber_that_is_cancelled_misses_nothing(log: Log) {
    let mut subscription = Subscription::new(Arc::clone(&log), 0);
    let mut seen = Vec::new();
    for _ in 1..=20 {
        tokio::select! {
            biased;
            page = subscription.next_page(10) => seen.extend(page.unwrap()),
            () = add(&log, "a", "e") => {}
        }
    }
    while log.head().position > subscription.position() {
        seen.extend(subscription.next_page(10).await.unwrap());
    }
    assert!(
        seen.iter()
            .zip(1..)
            .all(|(event, position)| event.position == position)
    );
    assert_eq!(seen.len() as u64, log.head().position);
}

async fn a_closed_log_refuses_appends_and_ends_subscriptions(log: Log) {
    add(&log, "a", "1").await;
    let mut subscription = Subscription::new(Arc::clone(&log), 1);
    let waiting = tokio::spawn(async move { subscription.next_page(10).await });
    log.close().await.unwrap();
    let refused = log
        .append(vec![to("a", Expected::Any, &["2"])])
        .await
        .unwrap_err();
    assert!(matches!(refused, AppendError::Closed(_)), "{refused}");
    assert_eq!(waiting.await.unwrap().unwrap(), []);
    log.close().await.unwrap();
}

async fn the_head_hash_vouches_for_the_content(log: Log) {
    let mut hashes = BTreeSet::from([log.head().hash]);
    for text in ["1", "1", "2"] {
        add(&log, "a", text).await;
        assert!(
            hashes.insert(log.head().hash),
            "every commit changes the hash"
        );
    }
}

macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule(Arc::new(MemoryLog::new())).await;
            })*
        }
        mod sled {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let dir = tempfile::tempdir().unwrap();
                super::$rule(Arc::new(SledLog::open(dir.path(), SledOptions::default()).unwrap())).await;
            })*
        }
    };
}

contract!(
    an_append_is_read_back_as_it_was_written,
    an_empty_log_reads_as_nothing,
    a_wrong_version_is_refused_and_leaves_no_trace,
    a_batch_over_several_streams_is_all_or_nothing,
    a_repeated_append_with_its_id_is_made_once,
    the_same_append_at_the_same_time_is_made_once,
    what_can_never_be_stored_is_invalid,
    an_append_of_many_frames_is_read_back_whole,
    a_stream_is_read_both_ways_and_in_pages,
    of_concurrent_writers_exactly_one_wins_each_version,
    fifty_contenders_have_one_winner_each_and_subscribers_agree_on_the_order,
    readers_see_a_gapless_prefix_while_others_write,
    a_subscriber_catches_up_and_goes_live_without_a_gap,
    a_subscriber_that_is_cancelled_misses_nothing,
    a_closed_log_refuses_appends_and_ends_subscriptions,
    the_head_hash_vouches_for_the_content,
);
