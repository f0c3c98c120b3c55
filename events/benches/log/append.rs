//! Appending: one writer at several commit sizes, and a thousand writers at once.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_events::{EventLog, Expected, SledLog, StreamAppend};
use tokio::runtime::Runtime;

use super::{Against, Figure, bare_round, event, open, part, stream, temporary};

const ROUNDS: usize = 8;
/// Commit size, commits per round.
const COMMITS: [(usize, usize); 4] = [(1, 250), (16, 250), (256, 100), (4096, 12)];
const WRITERS: usize = 1_000;
const WRITERS_SECONDS: u64 = 30;
const BARE_COMMITS: usize = 100;

pub(super) fn log_round(runtime: &Runtime, log: &SledLog, size: usize, commits: usize) -> f64 {
    let batches: Vec<_> = (0..commits).map(|_| vec![part(&stream(0), size)]).collect();
    runtime.block_on(async {
        let start = Instant::now();
        for batch in batches {
            log.append(batch).await.unwrap();
        }
        start.elapsed().as_secs_f64()
    })
}

pub(super) fn durable_commits(runtime: &Runtime) -> Vec<Figure> {
    let at_size = |(size, commits)| {
        let dir = temporary();
        let log = open(dir.path());
        let mut file = File::create(dir.path().join("bare")).unwrap();
        let (mut bare, mut ours) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            bare += bare_round(&mut file, size, commits);
            ours += log_round(runtime, &log, size, commits);
            // Nothing of it is left to do while the bare file is timed.
            log.rest().unwrap();
        }
        let events = (ROUNDS * size * commits) as f64;
        Figure {
            name: format!("append, {size} per commit"),
            value: events / ours,
            unit: "events/s",
            against: Against::Bare(events / bare),
            rate: true,
        }
    };
    COMMITS.into_iter().map(at_size).collect()
}

/// One writer: appends with the version it expects, until the time is up. Gives its latencies.
async fn write_until(log: Arc<SledLog>, n: usize, end: Instant) -> Vec<Duration> {
    let stream = stream(n);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let part = StreamAppend {
            stream: stream.clone(),
            expected: Expected::Exact(latencies.len() as u64),
            events: vec![event(1)],
        };
        let start = Instant::now();
        log.append(vec![part]).await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

pub(super) fn concurrent_writers(runtime: &Runtime) -> Vec<Figure> {
    let seconds = std::env::var("EVENKEEL_BENCH_SECONDS");
    let seconds = seconds.map_or(WRITERS_SECONDS, |seconds| seconds.parse().unwrap());
    let dir = temporary();
    let log = open(dir.path());
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let mut bare = bare_round(&mut file, WRITERS, BARE_COMMITS);
    let start = Instant::now();
    let mut latencies = runtime.block_on(async {
        let end = start + Duration::from_secs(seconds);
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| tokio::spawn(write_until(Arc::clone(&log), n, end)))
            .collect();
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.await.unwrap());
        }
        all
    });
    let took = start.elapsed().as_secs_f64();
    bare += bare_round(&mut file, WRITERS, BARE_COMMITS);
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3;
    let group = latencies.len() as f64 / log.commits() as f64;
    let per_sync = bare / (2 * BARE_COMMITS) as f64;
    vec![
        Figure {
            name: format!("append, {WRITERS} writers, {seconds} s ({group:.0} per commit)"),
            value: latencies.len() as f64 / took,
            unit: "events/s",
            against: Against::Bare(WRITERS as f64 / per_sync),
            rate: true,
        },
        Figure {
            name: format!("append, {WRITERS} writers, p99"),
            value: p99,
            unit: "ms",
            against: Against::Bare(per_sync * 1e3),
            rate: false,
        },
    ]
}
