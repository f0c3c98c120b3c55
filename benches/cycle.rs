//! One drift cycle over many quiet indexes of 20 assets, and the memory of one index.
//!
//! `cargo bench --bench cycle` prints lines to read, `-- --json` one JSON object per figure.
//!
//! Every index is a live actor with 20 holdings a little off target: the check values all 20,
//! measures drift, finds it under the threshold and already told, and has nothing to say. The
//! cycle is timed from the request to run until the last index has answered and the run is
//! durably logged. The baseline is a plain loop over the same arithmetic on one core.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench ends where an expectation fails, reads the clock and prints rounded figures"
)]

mod figure;
mod quiet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_actors::Engine;
use evenkeel_actors::engine::Settings;
use evenkeel_domain::drift::{self, Slots};
use evenkeel_domain::index::Index;
use evenkeel_domain::market::{PriceSnapshot, RecordPrices, Source};
use evenkeel_domain::values::{Asset, IndexId, OwnerId, Price, Timestamp};
use evenkeel_events::{EventLog, SledLog, SledOptions};
use evenkeel_snapshots::{MemorySnapshots, SnapshotStore};

use figure::{Against, Figure, memory_bytes};
use quiet::{ASSETS, START_US, asset, held, operator, ports, seed};

/// Cycles timed; the median is quoted.
const ROUNDS: usize = 15;

fn prices(shift: usize) -> Vec<(Asset, Price)> {
    (0..ASSETS)
        .map(|n| {
            (
                asset(n),
                format!("{}.{:02}", 100 + n, (n * 7 + shift) % 100)
                    .parse()
                    .unwrap(),
            )
        })
        .collect()
}

async fn read_through(log: &dyn EventLog) {
    let mut after = 0;
    while let Some(last) = log.read(after, 2_048).await.unwrap().last() {
        after = last.position;
    }
}

/// Resident memory of this process in bytes, once log and allocator have given back what they
/// do not need: what they keep of the newest events is not an index's.
fn resident_at_rest(log: &SledLog) -> u64 {
    log.rest().unwrap();
    evenkeel::memory::trim();
    memory_bytes("VmRSS")
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

/// The same arithmetic without actors, log or scheduler.
fn plain_loop(count: usize) -> f64 {
    let entries = prices(0)
        .into_iter()
        .map(|(asset, price)| (asset, Ok(price)))
        .collect();
    let snapshot = PriceSnapshot::new(1, 1, entries);
    let owner = OwnerId::from_u128(1);
    let mut indexes: Vec<(Index, Slots)> = (1..=count as u128)
        .map(|n| (held(IndexId::from_u128(n), owner).1, Slots::default()))
        .collect();
    let mut times = Vec::new();
    for _ in 0..=ROUNDS {
        let began = Instant::now();
        for (index, slots) in &mut indexes {
            std::hint::black_box(drift::headline(index, &snapshot, slots).unwrap());
        }
        times.push(began.elapsed());
    }
    median(times.split_off(1))
}

struct Measured {
    cycle_ms: f64,
    bytes_per_index: f64,
}

async fn cycle_of(count: usize) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let sled = Arc::new(SledLog::open(dir.path().join("log"), SledOptions::default()).unwrap());
    let log: Arc<dyn EventLog> = Arc::clone(&sled) as _;
    let snapshots: Arc<dyn SnapshotStore> = Arc::new(MemorySnapshots::new());
    seed(&*log, &*snapshots, count).await;
    read_through(&*log).await;
    let before = resident_at_rest(&sled);
    let engine = start(Arc::clone(&log), snapshots).await;
    let caller = operator();
    let at = Timestamp::from_micros(START_US);
    let command = RecordPrices {
        source: Source::Push,
        at,
        prices: prices(0),
        confirm: true,
    };
    engine.push_prices(&caller, command).await.unwrap();
    // The first cycle tells every owner of the drift; from then on there is nothing new.
    let first = engine
        .run_job(&caller, "drift-monitor", true)
        .await
        .unwrap();
    assert_eq!(first.summary.checked as usize, count);
    let after = resident_at_rest(&sled);
    let bytes_per_index = after.saturating_sub(before) as f64 / count as f64;
    let position = engine.status().position;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let run = engine
            .run_job(&caller, "drift-monitor", true)
            .await
            .unwrap();
        times.push(began.elapsed());
        assert_eq!(
            (run.summary.checked as usize, run.summary.rebalances_started),
            (count, 0)
        );
    }
    assert_eq!(
        engine.status().position - position,
        ROUNDS as u64,
        "a quiet cycle logs its run and nothing else"
    );
    engine.kill().await;
    log.close().await.unwrap();
    Measured {
        cycle_ms: median(times),
        bytes_per_index,
    }
}

async fn start(log: Arc<dyn EventLog>, snapshots: Arc<dyn SnapshotStore>) -> Engine {
    let settings = Settings {
        drift_enabled: Some(false),
        reconciliation_enabled: Some(false),
        ..Settings::default()
    };
    Engine::start(ports(log, snapshots), settings)
        .await
        .unwrap()
}

async fn measure(json: bool, count: usize, names: (&str, &str)) {
    let measured = cycle_of(count).await;
    let cycle = Figure {
        name: names.0.into(),
        value: measured.cycle_ms,
        unit: "ms",
        against: Against::Loop(plain_loop(count)),
        rate: false,
    };
    cycle.print(json);
    let memory = Figure {
        name: names.1.into(),
        value: measured.bytes_per_index,
        unit: "bytes",
        against: Against::Nothing,
        rate: false,
    };
    memory.print(json);
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // What a first engine costs whatever it holds (buffers, threads) is not an index's.
        cycle_of(1).await;
        measure(
            json,
            10_000,
            (
                "cycle over 10,000 quiet indexes",
                "memory per index, of 10,000",
            ),
        )
        .await;
        measure(
            json,
            100_000,
            (
                "cycle over 100,000 quiet indexes",
                "memory per index, of 100,000",
            ),
        )
        .await;
    });
}
