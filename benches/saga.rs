//! Rebalances of three steps, all of them durable: how many per second, and how soon one is done.
//!
//! `cargo bench --bench saga` prints lines to read, `-- --json` one JSON object per figure.
//! `EVENKEEL_BENCH_DIR` chooses the disk, `EVENKEEL_BENCH_ONLY` the figures: steady, full.
//!
//! ```text
//! rebalance by hand ─► plan + intent ─► sell ─► outcome + intent ─► buy ─► outcome + completed
//!                        engine's log  venue's log  engine's log  venue's log  engine's log
//! ```
//!
//! Each index is rebalanced once per round, so no two rebalances share an actor, a stream or an
//! account. The paper venue answers at once, but not before its own log has the fill: a rebalance
//! is five durable writes, one after the other. It counts from the request (at a steady load: from
//! when the request was due) until a reader of the log sees `rebalance.completed`. The baseline is
//! a bare file to which one writer makes the same five writes, with a sync after each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench ends where an expectation fails, reads the clock and prints rounded figures"
)]

mod figure;
mod load;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel::engine::Engine;
use evenkeel_actors::engine::{RebalanceAnswer, Settings};
use evenkeel_actors::streams;
use evenkeel_domain::index::{Definition, Funds};
use evenkeel_domain::market::{RecordPrices, Source};
use evenkeel_domain::values::IndexId;
use evenkeel_events::EventLog;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::Semaphore;

use figure::{Against, Figure, memory_bytes};
use load::{forget_peak, operator, rank, sorted, temporary};

/// Indexes that are rebalanced in each round: a second's worth of the aim.
const INDEXES: usize = 5_000;
/// Rounds at full load; the best is quoted beside the median, for the machine may be shared.
const ROUNDS: usize = 10;
/// Rebalances that run at once at full load: less than the commands that an engine admits.
const RUNNING_MAX: usize = 500;
/// Rebalances per second at the steady load, which each index sees once.
const STEADY_PER_SECOND: usize = 300;
/// Indexes that are made at once before anything is timed.
const SETUP_AT_ONCE: usize = 500;
/// Events that the reader takes at once.
const PAGE: usize = 4_096;

/// Durable writes of one rebalance, and about what one of them holds.
const WRITES: usize = 5;
const WRITE_BYTES: usize = 512;
/// Rounds of bare writes.
const BARE_ROUNDS: usize = 100;

/// What a rebalance engine of this kind has to reach.
const AIM_PER_SECOND: f64 = 5_000.0;
const AIM_P99_MS: f64 = 30.0;
const AIM_MIB: f64 = 150.0;

/// Half and half, rebalanced by hand only.
fn definition() -> Definition {
    serde_json::from_value(json!({
        "name": "Half and half",
        "description": "",
        "constituents": [
            {"asset": "AAA", "percentage": "50"},
            {"asset": "BBB", "percentage": "50"}
        ],
        "cashPercentage": "0",
        "rebalancing": {
            "method": "NONE", "driftThreshold": "5", "minInterval": "24h", "maxInterval": "24h"
        },
        "risk": {"minTradeNotional": "1", "maxTradeNotional": null, "maxSlippage": "1"},
        "account": "paper",
        "tags": []
    }))
    .unwrap()
}

async fn open(data: &Path) -> Engine {
    let settings = Settings {
        drift_enabled: Some(false),
        ..Settings::default()
    };
    let engine = Engine::builder().data(data).settings(settings);
    engine.open().await.unwrap()
}

/// AAA is the dearer one in every second round: each round sells the one and buys the other.
async fn push(engine: &Engine, round: usize) {
    let aaa = if round.is_multiple_of(2) {
        "100"
    } else {
        "120"
    };
    let command = RecordPrices {
        source: Source::Push,
        at: engine.clock().now(),
        prices: vec![
            ("AAA".parse().unwrap(), aaa.parse().unwrap()),
            ("BBB".parse().unwrap(), "100".parse().unwrap()),
        ],
        confirm: true,
    };
    engine.push_prices(&operator(), command).await.unwrap();
}

/// An index that holds ten of each asset.
async fn index(engine: &evenkeel_actors::Engine) -> IndexId {
    let caller = operator();
    let made = engine.create_index(&caller, definition()).await.unwrap();
    for asset in ["AAA", "BBB"] {
        let funds = Funds::Asset(asset.parse().unwrap(), "10".parse().unwrap());
        let id = made.index.index_id;
        engine.deposit(&caller, id, funds, false).await.unwrap();
    }
    made.index.index_id
}

async fn indexes(engine: &Engine) -> Vec<IndexId> {
    let one = |_| {
        let engine = (**engine).clone();
        async move { index(&engine).await }
    };
    let made = stream::iter(0..INDEXES).map(one);
    made.buffer_unordered(SETUP_AT_ONCE).collect().await
}

async fn rebalance(engine: evenkeel_actors::Engine, id: IndexId) {
    let answer = engine
        .rebalance(&operator(), id, false, true)
        .await
        .unwrap();
    let RebalanceAnswer::Started { plan, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(plan.orders.len(), 2, "one sell, one buy");
}

/// Reads the log until so many rebalances have completed; gives each one's stream and when it
/// was seen. A completed one makes room for another.
async fn completed(log: Arc<dyn EventLog>, count: usize, room: Arc<Semaphore>) -> Completed {
    let (mut head, mut after) = (log.watch(), log.head().position);
    let mut seen = Vec::with_capacity(count);
    while seen.len() < count {
        let page = log.read(after, PAGE).await.unwrap();
        let Some(last) = page.last() else {
            head.changed().await.unwrap();
            continue;
        };
        after = last.position;
        let now = Instant::now();
        for event in &page {
            match &*event.event_type {
                "rebalance.completed" => {
                    seen.push((event.stream.to_string(), now));
                    room.add_permits(1);
                }
                "rebalance.failed" | "rebalance.stuck" => panic!("{}", event.event_type),
                _ => {}
            }
        }
    }
    seen
}

type Completed = Vec<(String, Instant)>;

/// All indexes once, as many at the same time as may be; gives rebalances per second.
async fn full_load(engine: &Engine, ids: &[IndexId]) -> f64 {
    let room = Arc::new(Semaphore::new(RUNNING_MAX));
    let log = Arc::clone(engine.log());
    let reader = tokio::spawn(completed(log, ids.len(), Arc::clone(&room)));
    let began = Instant::now();
    for id in ids {
        room.acquire().await.unwrap().forget();
        tokio::spawn(rebalance((**engine).clone(), *id));
    }
    let seen = reader.await.unwrap();
    ids.len() as f64 / (seen.last().unwrap().1 - began).as_secs_f64()
}

/// Requests come at their time however the engine is doing; gives each one's milliseconds from
/// when it was due, sorted.
async fn steady_load(engine: &Engine, ids: &[IndexId]) -> Vec<f64> {
    let room = Arc::new(Semaphore::new(0));
    let log = Arc::clone(engine.log());
    let reader = tokio::spawn(completed(log, ids.len(), room));
    let every = Duration::from_secs(1) / u32::try_from(STEADY_PER_SECOND).unwrap();
    let mut due = Instant::now();
    let mut dues = HashMap::with_capacity(ids.len());
    for id in ids {
        due += every;
        tokio::time::sleep_until(due.into()).await;
        dues.insert(streams::index(*id).to_string(), due);
        tokio::spawn(rebalance((**engine).clone(), *id));
    }
    let seen = reader.await.unwrap();
    let took = seen.iter().map(|(stream, at)| millis(*at - dues[stream]));
    sorted(took)
}

/// The writes of one rebalance, with a sync after each, again and again; milliseconds, sorted.
fn bare(folder: &Path) -> Vec<f64> {
    let mut file = File::create(folder.join("bare")).unwrap();
    let bytes = [7; WRITE_BYTES];
    sorted((0..BARE_ROUNDS).map(|_| {
        let began = Instant::now();
        for _ in 0..WRITES {
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
        }
        millis(began.elapsed())
    }))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn figure(name: String, value: f64, unit: &'static str, against: Against) -> Figure {
    let rate = unit == "rebal/s";
    Figure {
        name,
        value,
        unit,
        against,
        rate,
    }
}

fn memory(load: &str) -> Figure {
    let peak = memory_bytes("VmHWM") as f64 / f64::from(1 << 20);
    let name = format!("memory at the peak {load}, {INDEXES} indexes");
    figure(name, peak, "MiB", Against::Aim(AIM_MIB))
}

async fn full(engine: &Engine, ids: &[IndexId], folder: &Path) -> Vec<Figure> {
    let mut bares = bare(folder);
    forget_peak();
    let mut rates = Vec::new();
    for round in 1..=ROUNDS {
        push(engine, round).await;
        rates.push(full_load(engine, ids).await);
        bares.extend(bare(folder));
    }
    let (rates, bares) = (sorted(rates), sorted(bares));
    let alone = 1e3 / rank(&bares, 50);
    let name = |what| format!("rebalances at full load, {what} of {ROUNDS}");
    vec![
        figure(
            name("median"),
            rank(&rates, 50),
            "rebal/s",
            Against::Aim(AIM_PER_SECOND),
        ),
        figure(
            name("best"),
            rank(&rates, 100),
            "rebal/s",
            Against::Bare(alone),
        ),
        memory("at full load"),
    ]
}

async fn steady(engine: &Engine, ids: &[IndexId], folder: &Path) -> Vec<Figure> {
    let mut bares = bare(folder);
    forget_peak();
    push(engine, 1).await;
    let times = steady_load(engine, ids).await;
    bares.extend(bare(folder));
    let bares = sorted(bares);
    let name = |what| format!("a rebalance at {STEADY_PER_SECOND}/s, {what}");
    vec![
        figure(
            name("median"),
            rank(&times, 50),
            "ms",
            Against::Bare(rank(&bares, 50)),
        ),
        figure(
            name("p99"),
            rank(&times, 99),
            "ms",
            Against::Aim(AIM_P99_MS),
        ),
        figure(
            name("p99"),
            rank(&times, 99),
            "ms",
            Against::Bare(rank(&bares, 99)),
        ),
        memory("at the steady load"),
    ]
}

/// Each load has an engine of its own. The lighter one comes first: what the other leaves in the
/// process would be in its memory.
async fn measure(only: &str) -> Vec<Figure> {
    let mut all = Vec::new();
    for load in ["steady", "full"] {
        if !(only.is_empty() || only.contains(load)) {
            continue;
        }
        let dir = temporary();
        eprintln!(
            "{load}: log and paper venue on disk in {}",
            dir.path().display()
        );
        let engine = open(&dir.path().join("data")).await;
        push(&engine, 0).await;
        let ids = indexes(&engine).await;
        all.extend(match load {
            "full" => full(&engine, &ids, dir.path()).await,
            _ => steady(&engine, &ids, dir.path()).await,
        });
        let status = engine.status();
        assert_eq!(status.rebalances_started, status.rebalances_completed);
        engine.close().await.unwrap();
    }
    all
}

fn main() {
    load::run(measure);
}
