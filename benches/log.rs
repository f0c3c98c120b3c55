//! How soon indexes are ready from what is on disk: one with a long history, and many.
//!
//! `cargo bench --bench log` prints lines to read, `-- --json` one JSON object per figure; it runs
//! the log's own bench too. `EVENKEEL_BENCH_DIR` chooses the disk, `EVENKEEL_BENCH_ONLY` the
//! figures: long, cold.
//!
//! The stores are closed and opened anew before every repetition, so that nothing of theirs is in
//! memory; what the operating system keeps of the files stays, as after a restart of the process.
//! The first repetition and the median of all are printed. A bare file is read plainly in the same
//! run: the bytes that are needed for the one index, all files of the data directory for the many.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench ends where an expectation fails, reads the clock and prints rounded figures"
)]

mod figure;
mod quiet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use evenkeel::engine::{DataDirectory, Engine};
use evenkeel_actors::engine::Settings;
use evenkeel_actors::streams;
use evenkeel_domain::Event;
use evenkeel_domain::index::{self, Funds, Index, IndexCommand};
use evenkeel_domain::values::{IndexId, OwnerId, Timestamp, TransferId};
use evenkeel_events::{EventLog, Expected, NewEvent, SledLog, SledOptions, StreamAppend, codec};
use evenkeel_snapshots::{SNAPSHOT_EVERY_EVENTS, SledSnapshots, Snapshot, SnapshotStore};
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;

use figure::{Against, Figure, read_plainly};
use quiet::{SCHEMA, START_US, held, new_event, operator, ports, seed};

const LONG_EVENTS: usize = 100_000;
/// The newest events of the long stream that were appended one by one, among those of others.
const SINGLE_EVENTS: usize = 1_000;
/// After the snapshot there are as many as the policy lets there be.
const AFTER_SNAPSHOT: usize = SNAPSHOT_EVERY_EVENTS as usize - 1;
/// How often the long index is made ready.
const LONG_ROUNDS: usize = 15;
/// The aim for it, in milliseconds.
const LONG_AIM_MS: f64 = 1.0;

const MANY_INDEXES: usize = 100_000;
/// How many of them are asked at once.
const ASKED_AT_ONCE: usize = 64;
/// How often an engine is started with them.
const MANY_ROUNDS: usize = 3;
/// The aim for it, in seconds.
const MANY_AIM_S: f64 = 5.0;

fn temporary() -> TempDir {
    let at = std::env::var_os("EVENKEEL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(at).unwrap()
}

fn open(data: &DataDirectory) -> (Arc<dyn EventLog>, Arc<dyn SnapshotStore>) {
    std::fs::create_dir_all(data.path()).unwrap();
    let log = SledLog::open(data.log(), SledOptions::default()).unwrap();
    let snapshots = SledSnapshots::open(data.snapshots()).unwrap();
    (Arc::new(log), Arc::new(snapshots))
}

async fn close(log: &dyn EventLog, snapshots: &dyn SnapshotStore) {
    snapshots.close().await.unwrap();
    log.close().await.unwrap();
}

/// The first of some times and their median.
fn first_and_median(mut times: Vec<f64>) -> (f64, f64) {
    let first = times[0];
    times.sort_by(f64::total_cmp);
    (first, times[times.len() / 2])
}

fn figures(name: &str, unit: &'static str, times: Vec<f64>, aim: f64, bare: f64) -> [Figure; 2] {
    let rounds = times.len();
    let (first, median) = first_and_median(times);
    let figure = |what: String, value, against| Figure {
        name: format!("{name}, {what}"),
        value,
        unit,
        against,
        rate: false,
    };
    [
        figure(format!("median of {rounds}"), median, Against::Aim(aim)),
        figure("first".to_owned(), first, Against::Bare(bare)),
    ]
}

/// An index with a history of deposits: its events, and its state where it has a snapshot.
fn history(id: IndexId, owner: OwnerId) -> (Vec<NewEvent>, Index) {
    let now = Timestamp::from_micros(START_US);
    let (mut events, index) = held(id, owner);
    let (mut state, mut at_snapshot) = (Some(index), None);
    for n in 1.. {
        let transfer_id = TransferId::from_u128(n);
        let deposit = IndexCommand::Deposit {
            transfer_id,
            funds: Funds::Cash("0.01".parse().unwrap()),
            invest: false,
        };
        for command in [deposit, IndexCommand::SettleTransfer { transfer_id }] {
            for event in index::decide(state.as_ref(), command, now).unwrap() {
                index::apply(&mut state, &event);
                events.push(Event::Index(event));
                if events.len() == LONG_EVENTS - AFTER_SNAPSHOT {
                    at_snapshot.clone_from(&state);
                }
            }
        }
        if events.len() >= LONG_EVENTS {
            break;
        }
    }
    events.truncate(LONG_EVENTS);
    let events = events.iter().map(|event| new_event(event, owner));
    (events.collect(), at_snapshot.unwrap())
}

/// Writes the history and its snapshot; gives the bytes that a start from there needs.
async fn seed_long(data: &DataDirectory, id: IndexId) -> Vec<u8> {
    let (log, snapshots) = open(data);
    let (events, index) = history(id, OwnerId::from_u128(1));
    let state = codec::encode(&index).unwrap();
    let snapshot = Snapshot {
        version: (LONG_EVENTS - AFTER_SNAPSHOT) as u64,
        schema: SCHEMA,
        state: state.clone().into(),
    };
    let stream = streams::index(id);
    let part = |stream, events: &[NewEvent]| StreamAppend {
        stream,
        expected: Expected::Any,
        events: events.to_vec(),
    };
    let (early, late) = events.split_at(LONG_EVENTS - SINGLE_EVENTS);
    for chunk in early.chunks(500) {
        log.append(vec![part(stream.clone(), chunk)]).await.unwrap();
    }
    let others = streams::index(IndexId::from_u128(2));
    for single in late.chunks(1) {
        let parts = vec![
            part(stream.clone(), single),
            part(others.clone(), &late[..7]),
        ];
        log.append(parts).await.unwrap();
    }
    snapshots.save(stream.as_str(), snapshot).await.unwrap();
    close(&*log, &*snapshots).await;
    let payloads = events[LONG_EVENTS - AFTER_SNAPSHOT..].iter();
    payloads.fold(state, |mut bytes, event| {
        bytes.extend_from_slice(&event.payload);
        bytes
    })
}

/// One index of many events: from asking to the answer of its actor, which is started for it.
async fn long_index() -> [Figure; 2] {
    let dir = temporary();
    let data = DataDirectory::new(dir.path().join("data"));
    let id = IndexId::from_u128(1);
    let bare = dir.path().join("bare");
    std::fs::write(&bare, seed_long(&data, id).await).unwrap();
    let mut times = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..LONG_ROUNDS {
        let (log, snapshots) = open(&data);
        let ports = ports(Arc::clone(&log), Arc::clone(&snapshots));
        let began = Instant::now();
        let view = evenkeel_actors::Engine::index_alone(ports, Settings::default(), id)
            .await
            .unwrap();
        times.push(began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(view.version, LONG_EVENTS as u64);
        assert_eq!(snapshots.discarded(), 0);
        close(&*log, &*snapshots).await;
        let began = Instant::now();
        std::hint::black_box(std::fs::read(&bare).unwrap());
        plain.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let name = "an index of 100,000 events ready from its snapshot";
    figures(
        name,
        "ms",
        times,
        LONG_AIM_MS,
        first_and_median(plain).1.max(0.001),
    )
}

/// An engine in its data directory, from opening it until every index has answered.
async fn start(data: &Path) -> f64 {
    let settings = Settings {
        drift_enabled: Some(false),
        reconciliation_enabled: Some(false),
        ..Settings::default()
    };
    let caller = operator();
    let began = Instant::now();
    let engine = Engine::builder().data(data).settings(settings).open();
    let engine = engine.await.unwrap();
    let asked = |n| {
        let (engine, caller) = ((*engine).clone(), caller.clone());
        async move { engine.index(&caller, IndexId::from_u128(n)).await }
    };
    let mut answers = stream::iter(1..=MANY_INDEXES as u128)
        .map(asked)
        .buffer_unordered(ASKED_AT_ONCE);
    let mut answered = 0;
    while let Some(view) = answers.next().await {
        assert_eq!(view.unwrap().index.holdings.len(), quiet::ASSETS);
        answered += 1;
    }
    assert_eq!(answered, MANY_INDEXES);
    let took = began.elapsed().as_secs_f64();
    drop(answers);
    engine.close().await.unwrap();
    took
}

/// Many indexes: the engine is opened as the server opens it, without the schedule's runs.
async fn cold_start() -> [Figure; 2] {
    let dir = temporary();
    let data = DataDirectory::new(dir.path());
    let (log, snapshots) = open(&data);
    seed(&*log, &*snapshots, MANY_INDEXES).await;
    close(&*log, &*snapshots).await;
    drop((log, snapshots));
    let mut times = Vec::new();
    let mut plain = Vec::new();
    for _ in 0..MANY_ROUNDS {
        let began = Instant::now();
        read_plainly(data.path());
        plain.push(began.elapsed().as_secs_f64());
        times.push(start(data.path()).await);
    }
    let name = "cold start with 100,000 indexes ready";
    figures(name, "s", times, MANY_AIM_S, first_and_median(plain).1)
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let only = std::env::var("EVENKEEL_BENCH_ONLY").unwrap_or_default();
    let asked = |name| only.is_empty() || only.contains(name);
    evenkeel::memory::map_large_buffers();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut all = Vec::new();
    if asked("long") {
        all.extend(runtime.block_on(long_index()));
    }
    if asked("cold") {
        all.extend(runtime.block_on(cold_start()));
    }
    for figure in all {
        figure.print(json);
    }
}
