//! How fast the log on disk is, each figure against a bare file in the same run.
//!
//! `cargo bench -p evenkeel-events --bench log [-- --json]`. The bare file gets the same payloads
//! with one write and one fdatasync per commit; its rounds alternate with the log's, because
//! disks have moods. `EVENKEEL_BENCH_DIR` chooses the disk, `EVENKEEL_BENCH_SECONDS` how long the
//! concurrent writers write, `EVENKEEL_BENCH_ONLY` the figures: append, writers, replay, reads,
//! streams.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs
)]

mod append;
#[path = "../../../benches/figure/mod.rs"]
mod figure;
mod read;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use evenkeel_events::{
    Causation, Expected, Metadata, NewEvent, OwnerKey, SledLog, SledOptions, StreamAppend, StreamId,
};
use figure::{Against, Figure, memory_bytes};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PAYLOAD_BYTES: usize = 256;

/// Measures the figures of one theme.
type Theme = fn(&Runtime) -> Vec<Figure>;

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

fn part(stream: &StreamId, size: usize) -> StreamAppend {
    StreamAppend {
        stream: stream.clone(),
        expected: Expected::Any,
        events: (0..size as u64).map(event).collect(),
    }
}

fn stream(n: usize) -> StreamId {
    StreamId::new(format!("idx_{n:032}")).unwrap()
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

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let only = std::env::var("EVENKEEL_BENCH_ONLY").unwrap_or_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let all: [(&str, Theme); 5] = [
        ("append", append::durable_commits),
        ("writers", append::concurrent_writers),
        ("replay", read::replays),
        ("reads", read::stream_reads),
        ("streams", read::many_streams),
    ];
    for (_, figures) in all
        .iter()
        .filter(|(name, _)| only.is_empty() || only.contains(name))
    {
        for figure in figures(&runtime) {
            figure.print(json);
        }
    }
}
