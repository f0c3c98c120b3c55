//! Reading: replay and verification of two million events, one stream, many streams.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use evenkeel_events::{Direction, EventLog, LogView, Pages, SledLog, StreamId, Version, verify};
use tokio::runtime::Runtime;

use super::{Against, Figure, bare_round, memory_bytes, open, part, stream, temporary};

const REPLAY_COMMITS: usize = 500;
/// Events per stream and commit, and streams, while two million events are written.
const REPLAY_PART: usize = 64;
const REPLAY_STREAMS: usize = 1_000;
const STREAM_EVENTS: u64 = 1_000;
const LONG_STREAM_EVENTS: u64 = 100_000;
const MANY_STREAMS: usize = 100_000;

fn bare_read(path: &Path) -> f64 {
    let start = Instant::now();
    let mut bytes = vec![0; 1 << 20];
    let mut file = File::open(path).unwrap();
    while file.read(&mut bytes).unwrap() > 0 {}
    start.elapsed().as_secs_f64()
}

/// What a stream folds into: its version, and something that every payload had a part in.
#[derive(Default)]
struct State {
    version: Version,
    sum: u64,
}

async fn replay(log: &SledLog) -> usize {
    let mut states: HashMap<StreamId, State> = HashMap::new();
    let (mut pages, mut seen) = (Pages::after(log, 0, 4_096), 0);
    loop {
        let page = pages.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        seen += page.len();
        for event in &page {
            if !states.contains_key(&event.stream) {
                states.insert(event.stream.clone(), State::default());
            }
            let state = states.get_mut(&event.stream).unwrap();
            assert_eq!(event.version, state.version + 1);
            state.version = event.version;
            let number = u64::from_le_bytes(event.payload[..8].try_into().unwrap());
            state.sum = state.sum.wrapping_add(number);
        }
    }
    assert_eq!(
        states.values().map(|state| state.version).sum::<u64>(),
        seen as u64
    );
    seen
}

fn fill_for_replay(runtime: &Runtime, dir: &Path) {
    let log = open(dir);
    let parts = 4_096 / REPLAY_PART;
    for commit in 0..REPLAY_COMMITS {
        let streams = (0..parts).map(|n| stream((commit * parts + n) % REPLAY_STREAMS));
        let batch = streams.map(|stream| part(&stream, REPLAY_PART)).collect();
        runtime.block_on(log.append(batch)).unwrap();
    }
    runtime.block_on(log.close()).unwrap();
}

fn resident_mib() -> f64 {
    memory_bytes("VmRSS") as f64 / f64::from(1 << 20)
}

pub(super) fn replays(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    fill_for_replay(runtime, dir.path());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    bare_round(&mut file, 4_096, REPLAY_COMMITS);
    let bytes = std::fs::metadata(dir.path().join("log/sled/db"))
        .unwrap()
        .len();
    let start = Instant::now();
    let mut view = LogView::open(dir.path().join("log")).unwrap();
    let last = view.frames(0).last().unwrap().unwrap().last();
    assert_eq!(last, (REPLAY_COMMITS * 4_096) as u64);
    let chain = start.elapsed().as_secs_f64();
    drop(view);
    let before = resident_mib();
    let start = Instant::now();
    let log = open(dir.path());
    let opened = start.elapsed().as_secs_f64();
    let memory = resident_mib() - before;
    let start = Instant::now();
    let events = runtime.block_on(replay(&log)) as f64;
    let replayed = start.elapsed().as_secs_f64();
    runtime.block_on(log.close()).unwrap();
    drop(log);
    let start = Instant::now();
    assert!(verify(dir.path().join("log"), None).unwrap().is_clean());
    let verified = start.elapsed().as_secs_f64();
    let baseline = events / bare_read(&dir.path().join("bare"));
    let rate = |name: &str, seconds: f64| Figure {
        name: name.into(),
        value: events / seconds,
        unit: "events/s",
        against: Against::Bare(baseline),
        rate: true,
    };
    vec![
        rate("chain verified from the raw files, 2 M events", chain),
        rate("chain verified and indexed, at open, 2 M events", opened),
        rate("replay folded into states, 2 M events", replayed),
        rate("verify, seal included, 2 M events", verified),
        Figure {
            name: "bytes on disk per event".into(),
            value: bytes as f64 / events,
            unit: "bytes",
            against: Against::Bare(256.0),
            rate: false,
        },
        Figure {
            name: "memory that opening 2 M events took".into(),
            value: memory.max(0.1),
            unit: "MiB",
            against: Against::Aim(96.0),
            rate: false,
        },
    ]
}

/// One stream in commits of one event, one of ten, and a long one, among those of others.
async fn fill(log: &SledLog, single: &StreamId, dense: &StreamId, deep: &StreamId) {
    for n in 0..STREAM_EVENTS {
        let mut parts = vec![
            part(single, 1),
            part(&stream(usize::try_from(n % 50).unwrap()), 7),
        ];
        if n % 10 == 0 {
            parts.push(part(dense, 10));
        }
        log.append(parts).await.unwrap();
    }
    for _ in 0..LONG_STREAM_EVENTS / 1_000 {
        log.append(vec![part(deep, 1_000), part(&stream(1), 10)])
            .await
            .unwrap();
    }
    log.close().await.unwrap();
}

pub(super) fn stream_reads(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    let log = open(dir.path());
    let [single, dense, deep] =
        ["idx_single", "idx_dense", "idx_long"].map(|n| StreamId::new(n).unwrap());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    bare_round(&mut file, usize::try_from(STREAM_EVENTS).unwrap(), 1);
    runtime.block_on(fill(&log, &single, &dense, &deep));
    drop(log);
    let log = open(dir.path());
    let baseline = bare_read(&dir.path().join("bare")) * 1e3;
    let figure = |name: &str, stream: &StreamId, after, count: u64| {
        let start = Instant::now();
        let read = log.read_stream(stream, after, usize::MAX, Direction::Forward);
        let events = runtime.block_on(read).unwrap();
        let value = start.elapsed().as_secs_f64() * 1e3;
        assert_eq!(events.len() as u64, count);
        Figure {
            name: name.into(),
            value,
            unit: "ms",
            against: Against::Bare(baseline),
            rate: false,
        }
    };
    let late = LONG_STREAM_EVENTS - 20;
    vec![
        figure(
            "stream of 1,000 in commits of 10, cold",
            &dense,
            0,
            STREAM_EVENTS,
        ),
        figure(
            "stream of 1,000 in commits of 10, again",
            &dense,
            0,
            STREAM_EVENTS,
        ),
        figure(
            "stream of 1,000 in commits of 1, cold",
            &single,
            0,
            STREAM_EVENTS,
        ),
        figure(
            "stream of 1,000 in commits of 1, again",
            &single,
            0,
            STREAM_EVENTS,
        ),
        figure(
            "20 after the snapshot at 99,980 of 100,000",
            &deep,
            late,
            20,
        ),
    ]
}

pub(super) fn many_streams(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    let log = open(dir.path());
    for first in (0..MANY_STREAMS).step_by(1_000) {
        let batch = (first..first + 1_000)
            .map(|n| part(&stream(n), 3))
            .collect();
        runtime.block_on(log.append(batch)).unwrap();
    }
    runtime.block_on(log.close()).unwrap();
    drop(log);
    let start = Instant::now();
    let log = open(dir.path());
    for n in 0..MANY_STREAMS {
        assert_eq!(log.version(&stream(n)), 3);
    }
    vec![Figure {
        name: "cold start, 100,000 streams".into(),
        value: start.elapsed().as_secs_f64(),
        unit: "s",
        against: Against::Aim(5.0),
        rate: false,
    }]
}
