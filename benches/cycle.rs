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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use evenkeel_actors::Engine;
use evenkeel_actors::catalogue;
use evenkeel_actors::engine::{Caller, Ports, Settings};
use evenkeel_actors::ports::{
    Balances, Clock, Entropy, UrlRefused, Venue, VenueAccount, VenueError, VenueOrder, VenueReport,
    VenueTransfer, WebhookRequest, WebhookTransport,
};
use evenkeel_actors::streams;
use evenkeel_domain::Event;
use evenkeel_domain::access::Scope;
use evenkeel_domain::drift::{self, Slots};
use evenkeel_domain::index::{
    self, Constituent, Definition, Funds, Holding, Index, IndexCommand, IndexEvent, Method,
    Rebalancing, Risk,
};
use evenkeel_domain::market::{PriceSnapshot, RecordPrices, Source};
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::Reason;
use evenkeel_domain::values::{
    Amount, Asset, EventKey, IndexId, OwnerId, Percent, Price, Quantity, Span, Text, Timestamp,
    TransferId, WebhookId,
};
use evenkeel_domain::webhook::AttemptResult;
use evenkeel_events::{
    Causation, EventLog, Expected, Metadata, NewEvent, OwnerKey, SledLog, SledOptions,
    StreamAppend, codec,
};
use evenkeel_snapshots::{MemorySnapshots, Snapshot, SnapshotStore};

const ASSETS: usize = 20;
const START_US: i64 = 1_767_607_200_000_000;
/// Cycles timed; the median is quoted.
const ROUNDS: usize = 15;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START_US)
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Nothing trades and nothing is sent here: what is asked for all the same is refused.
struct Nobody;

fn refused() -> VenueError {
    VenueError::Refused(Reason::optional("nothing trades in this bench").unwrap())
}

#[async_trait]
impl Venue for Nobody {
    async fn place(&self, _: &VenueOrder) -> Result<VenueReport, VenueError> {
        Err(refused())
    }
    async fn find(&self, _: VenueAccount, _: &str) -> Result<Option<VenueReport>, VenueError> {
        Err(refused())
    }
    async fn transfer(&self, _: &VenueTransfer) -> Result<(), VenueError> {
        Err(refused())
    }
    async fn balances(&self, _: VenueAccount) -> Result<Balances, VenueError> {
        Err(refused())
    }
    fn rules(&self, _: Asset) -> InstrumentRules {
        InstrumentRules {
            lot_step: "0.000001".parse().unwrap(),
            min_notional: Amount::ZERO,
            fee: Percent::ZERO,
            slippage: Percent::ZERO,
        }
    }
}

#[async_trait]
impl WebhookTransport for Nobody {
    async fn send(&self, _: &WebhookRequest) -> AttemptResult {
        AttemptResult::Success { status: 204 }
    }
    async fn check_url(&self, _: &str) -> Result<(), UrlRefused> {
        Ok(())
    }
    fn secret(&self, _: WebhookId, _: u32) -> String {
        String::new()
    }
}

fn asset(n: usize) -> Asset {
    format!("ASSET{n:02}").parse().unwrap()
}

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

fn definition() -> Definition {
    let line = |n| Constituent {
        asset: asset(n),
        target: "5".parse().unwrap(),
    };
    Definition {
        name: Text::required("quiet").unwrap(),
        description: Text::default(),
        constituents: (0..ASSETS).map(line).collect(),
        cash_percentage: Percent::ZERO,
        rebalancing: Rebalancing {
            method: Method::Drift,
            drift_threshold: "5".parse().unwrap(),
            min_interval: Span::from_hours(24),
            max_interval: Span::from_hours(24),
        },
        risk: Risk {
            min_trade_notional: Amount::ZERO,
            max_trade_notional: None,
            max_slippage: "1".parse().unwrap(),
        },
        account: Text::required("paper").unwrap(),
        tags: Vec::new(),
    }
}

/// An index that holds all 20 assets, a little off target, with nothing left to settle.
fn held(id: IndexId, owner: OwnerId) -> (Vec<Event>, Index) {
    let (now, definition) = (Timestamp::from_micros(START_US), definition());
    let mut state = None;
    let mut events = Vec::new();
    let transfer_id = TransferId::from_u128(id.as_u128());
    let funds = Funds::Asset(asset(0), "10".parse().unwrap());
    for command in [
        IndexCommand::Create {
            index_id: id,
            owner,
            definition,
        },
        IndexCommand::Deposit {
            transfer_id,
            funds,
            invest: false,
        },
        IndexCommand::SettleTransfer { transfer_id },
    ] {
        let decided: Vec<IndexEvent> = index::decide(state.as_ref(), command, now).unwrap();
        for event in &decided {
            index::apply(&mut state, event);
        }
        events.extend(decided.into_iter().map(Event::Index));
    }
    let mut index = state.unwrap();
    index.holdings = (0..ASSETS)
        .map(|n| Holding {
            asset: asset(n),
            quantity: quantity(n),
        })
        .collect();
    (events, index)
}

fn quantity(n: usize) -> Quantity {
    // Between 9.5 and 10.5 units of an asset that costs about 100 to 120.
    format!("{}.{:02}", 9 + n % 2, 50 - (n % 2) * 20 + n)
        .parse()
        .unwrap()
}

fn new_event(event: &Event, owner: OwnerId) -> NewEvent {
    let (event_type, payload_version) = catalogue::type_of(event);
    NewEvent {
        event_type,
        payload_version,
        payload: catalogue::encode(event).unwrap().into(),
        metadata: Metadata {
            owner: OwnerKey(owner.as_u128()),
            by: "bench".into(),
            cause: Causation::default(),
            recorded_at_us: START_US,
        },
    }
}

async fn seed(log: &dyn EventLog, snapshots: &dyn SnapshotStore, count: usize) {
    let owner = OwnerId::from_u128(1);
    let ids: Vec<u128> = (1..=count as u128).collect();
    for chunk in ids.chunks(500) {
        let mut batch = Vec::new();
        for n in chunk {
            let id = IndexId::from_u128(*n);
            let (events, index) = held(id, owner);
            let state = codec::encode(&index).unwrap().into();
            let snapshot = Snapshot {
                version: events.len() as u64,
                schema: 1,
                state,
            };
            snapshots
                .save(streams::index(id).as_str(), snapshot)
                .await
                .unwrap();
            let events = events.iter().map(|event| new_event(event, owner)).collect();
            batch.push(StreamAppend {
                stream: streams::index(id),
                expected: Expected::Exact(0),
                events,
            });
        }
        log.append(batch).await.unwrap();
    }
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
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    baseline: Option<f64>,
}

fn print(json: bool, figure: &Figure) {
    let ratio = figure.baseline.map(|baseline| figure.value / baseline);
    if json {
        let number =
            |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.4}"));
        println!(
            r#"{{"name":"{}","value":{:.4},"unit":"{}","baseline":{},"ratio":{}}}"#,
            figure.name,
            figure.value,
            figure.unit,
            number(figure.baseline),
            number(ratio)
        );
    } else {
        let against = ratio.map_or(String::new(), |ratio| {
            format!("  ({ratio:.1}× a plain loop on one core)")
        });
        println!(
            "{:<44} {:>10.2} {}{against}",
            figure.name, figure.value, figure.unit
        );
    }
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
    let venue: Arc<dyn Venue> = Arc::new(Nobody);
    let ports = Ports {
        log,
        snapshots,
        clock: Arc::new(FixedClock),
        entropy: Arc::new(Counter::default()),
        feed: None,
        venues: BTreeMap::from([("paper".to_owned(), venue)]),
        transport: Arc::new(Nobody),
    };
    Engine::start(
        ports,
        Settings {
            drift_enabled: Some(false),
            ..Settings::default()
        },
    )
    .await
    .unwrap()
}

fn operator() -> Caller {
    Caller {
        owner: OwnerId::from_u128(1),
        token: None,
        scopes: vec![Scope::Admin],
        request: EventKey::from_u128(1),
    }
}

async fn measure(json: bool, count: usize, names: (&'static str, &'static str)) {
    let measured = cycle_of(count).await;
    let baseline = Some(plain_loop(count));
    print(
        json,
        &Figure {
            name: names.0,
            value: measured.cycle_ms,
            unit: "ms",
            baseline,
        },
    );
    print(
        json,
        &Figure {
            name: names.1,
            value: measured.bytes_per_index,
            unit: "bytes",
            baseline: None,
        },
    );
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
