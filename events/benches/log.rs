//! How fast the log on disk is, each figure against a bare file in the same run.
//!
//! `cargo bench -p evenkeel-events --bench log [-- --json]`. The bare file gets the same payloads
//! with one write and one fdatasync per commit; its rounds alternate with the log's, because
//! disks have moods. `EVENKEEL_BENCH_DIR` chooses the disk.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs
)]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_events::{
    Causation, Direction, EventLog, Expected, Metadata, NewEvent, OwnerKey, SledLog, SledOptions,
    StreamAppend, StreamId, verify,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PAYLOAD_BYTES: usize = 256;
const ROUNDS: usize = 6;
/// Commit size, commits per round.
const COMMITS: [(usize, usize); 4] = [(1, 250), (16, 250), (256, 60), (4096, 8)];
const WRITERS: usize = 1_000;
const WRITERS_FOR: Duration = Duration::from_secs(6);
const REPLAY_COMMITS: usize = 60;
const STREAM_EVENTS: u64 = 1_000;

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: f64,
    /// Whether a larger value is better: the ratio is then value to baseline.
    rate: bool,
}

impl Figure {
    fn print(&self, json: bool) {
        let Self {
            name,
            value,
            unit,
            baseline,
            rate,
        } = self;
        let ratio = if *rate {
            value / baseline
        } else {
            baseline / value
        };
        if json {
            println!(
                r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","baseline":{baseline:.3},"ratio":{ratio:.3}}}"#
            );
        } else {
            println!(
                "{name:<34} {value:>14.3} {unit:<9} bare file {baseline:>14.3}   ratio {ratio:.2}"
            );
        }
    }
}

fn event(n: u64) -> NewEvent {
    let mut payload = vec![0x5A; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&n.to_le_bytes());
    NewEvent {
        event_type: "index.rebalanced",
        payload_version: 1,
        payload: Bytes::from(payload),
        metadata: Metadata {
            owner: OwnerKey(0x1234_5678_9ABC_DEF0),
            by: Arc::from("schedule:drift-monitor"),
            cause: Causation {
                correlation: u128::from(n) << 64 | 7,
                causation: 9,
            },
            recorded_at_us: 1_700_000_000_000_000 + n.cast_signed(),
        },
    }
}

fn batch(stream: &StreamId, size: usize) -> Vec<StreamAppend> {
    let events = (0..size as u64).map(event).collect();
    vec![StreamAppend {
        stream: stream.clone(),
        expected: Expected::Any,
        events,
    }]
}

fn temporary() -> TempDir {
    let at = std::env::var_os("EVENKEEL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(at).unwrap()
}

fn open(dir: &Path) -> Arc<SledLog> {
    Arc::new(SledLog::open(dir.join("log"), SledOptions::default()).unwrap())
}

/// Commits of `size` events, `commits` times: seconds.
fn bare_round(file: &mut File, size: usize, commits: usize) -> f64 {
    let bytes = vec![0x5A; size * PAYLOAD_BYTES];
    let start = Instant::now();
    for _ in 0..commits {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    start.elapsed().as_secs_f64()
}

fn log_round(runtime: &Runtime, log: &SledLog, size: usize, commits: usize) -> f64 {
    let stream = StreamId::new("idx_bench").unwrap();
    let batches: Vec<_> = (0..commits).map(|_| batch(&stream, size)).collect();
    runtime.block_on(async {
        let start = Instant::now();
        for batch in batches {
            log.append(batch).await.unwrap();
        }
        start.elapsed().as_secs_f64()
    })
}

fn durable_commits(runtime: &Runtime, size: usize, commits: usize) -> Figure {
    let dir = temporary();
    let log = open(dir.path());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let (mut bare, mut ours) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        bare += bare_round(&mut file, size, commits);
        ours += log_round(runtime, &log, size, commits);
    }
    let events = (ROUNDS * size * commits) as f64;
    Figure {
        name: format!("append, {size} per commit"),
        value: events / ours,
        unit: "events/s",
        baseline: events / bare,
        rate: true,
    }
}

/// One writer: appends with the version it expects, until the time is up. Gives its latencies.
async fn write_until(log: Arc<SledLog>, n: usize, end: Instant) -> Vec<Duration> {
    let stream = StreamId::new(format!("idx_{n}")).unwrap();
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let expected = Expected::Exact(latencies.len() as u64);
        let start = Instant::now();
        let part = StreamAppend {
            stream: stream.clone(),
            expected,
            events: vec![event(1)],
        };
        log.append(vec![part]).await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

fn concurrent_writers(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    let log = open(dir.path());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let mut bare = bare_round(&mut file, WRITERS, 100);
    let start = Instant::now();
    let mut latencies = runtime.block_on(async {
        let end = start + WRITERS_FOR;
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| tokio::spawn(write_until(Arc::clone(&log), n, end)))
            .collect();
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        all
    });
    let seconds = start.elapsed().as_secs_f64();
    bare += bare_round(&mut file, WRITERS, 100);
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3;
    let group = latencies.len() as f64 / log.commits() as f64;
    let per_sync = bare / 200.0;
    vec![
        Figure {
            name: format!("append, {WRITERS} writers ({group:.0} per commit)"),
            value: latencies.len() as f64 / seconds,
            unit: "events/s",
            baseline: WRITERS as f64 / per_sync,
            rate: true,
        },
        Figure {
            name: "append, writers, p99".into(),
            value: p99,
            unit: "ms",
            baseline: per_sync * 1e3,
            rate: false,
        },
    ]
}

fn bare_read(path: &Path) -> f64 {
    let start = Instant::now();
    let mut bytes = vec![0; 1 << 20];
    let mut file = File::open(path).unwrap();
    while file.read(&mut bytes).unwrap() > 0 {}
    start.elapsed().as_secs_f64()
}

async fn replay(log: &SledLog) -> usize {
    let (mut after, mut seen) = (0, 0);
    loop {
        let page = log.read(after, 4_096).await.unwrap();
        let Some(last) = page.last() else { return seen };
        (after, seen) = (last.position, seen + page.len());
    }
}

fn replays(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    let log = open(dir.path());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    log_round(runtime, &log, 4_096, REPLAY_COMMITS);
    bare_round(&mut file, 4_096, REPLAY_COMMITS);
    runtime.block_on(log.close()).unwrap();
    drop(log);
    let bytes = std::fs::metadata(dir.path().join("log/sled/db"))
        .unwrap()
        .len();
    let start = Instant::now();
    let log = open(dir.path());
    let opened = start.elapsed().as_secs_f64();
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
        baseline,
        rate: true,
    };
    vec![
        rate("open, all checks", opened),
        rate("replay", replayed),
        rate("verify, seal included", verified),
        Figure {
            name: "bytes on disk per event".into(),
            value: bytes as f64 / events,
            unit: "bytes",
            baseline: PAYLOAD_BYTES as f64,
            rate: false,
        },
    ]
}

fn stream_reads(runtime: &Runtime) -> Vec<Figure> {
    let dir = temporary();
    let log = open(dir.path());
    let stream = StreamId::new("idx_read").unwrap();
    let mut file = File::create(dir.path().join("bare")).unwrap();
    bare_round(&mut file, usize::try_from(STREAM_EVENTS).unwrap(), 1);
    runtime.block_on(async {
        // Each event of the stream in a commit of its own, among those of others.
        for n in 0..STREAM_EVENTS {
            let other = StreamId::new(format!("idx_{}", n % 50)).unwrap();
            let mut parts = batch(&stream, 1);
            parts.extend(batch(&other, 7));
            log.append(parts).await.unwrap();
        }
        log.close().await.unwrap();
    });
    drop(log);
    let log = open(dir.path());
    let baseline = bare_read(&dir.path().join("bare")) * 1e3;
    let read = || {
        let start = Instant::now();
        let events = runtime
            .block_on(log.read_stream(&stream, 0, usize::MAX, Direction::Forward))
            .unwrap();
        assert_eq!(events.len() as u64, STREAM_EVENTS);
        start.elapsed().as_secs_f64() * 1e3
    };
    let figure = |name: &str, value| Figure {
        name: name.into(),
        value,
        unit: "ms",
        baseline,
        rate: false,
    };
    vec![
        figure("read a stream of 1,000, cold", read()),
        figure("read a stream of 1,000, again", read()),
    ]
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    for (size, commits) in COMMITS {
        durable_commits(&runtime, size, commits).print(json);
    }
    let rest: [fn(&Runtime) -> Vec<Figure>; 3] = [concurrent_writers, replays, stream_reads];
    for figures in rest {
        for figure in figures(&runtime) {
            figure.print(json);
        }
    }
}
