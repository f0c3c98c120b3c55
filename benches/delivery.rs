//! Deliveries on loopback, all of them durable: how many per second, how soon, in how much memory.
//!
//! `cargo bench --bench delivery` prints lines to read, `-- --json` one JSON object per figure.
//! `EVENKEEL_BENCH_DIR` chooses the disk, `EVENKEEL_BENCH_ONLY` the figures: steady, crowd, retries,
//! backlog, pending.
//!
//! ```text
//! steady    an index is paused or resumed at its time ─► log ─► attempt ─► receipt
//! crowd     the same beside 500 receivers that never answer
//! retries   each delivery fails once ─► its second attempt comes, and how late
//! backlog   a disabled subscription is enabled on 20,000 events ─► the last receipt
//! pending   a subscription is enabled on a million events; its receiver never answers
//! ```
//! The receiver is in this process and shares its two cores. A delivery counts from the time that
//! stands in the event. The baseline of the rates is a plain loop that posts the same bodies to
//! the same receiver with the same HTTP client, as many at a time, and keeps nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench ends where an expectation fails, reads the clock and prints rounded figures"
)]

mod figure;
mod load;
mod receiver;

use std::path::Path;
use std::time::{Duration, Instant};

use evenkeel::engine::Engine;
use evenkeel::webhooks::policy::AddressPolicy;
use evenkeel_actors::engine::{IndexView, Settings, WebhookWish};
use evenkeel_actors::{catalogue, streams};
use evenkeel_domain::Event;
use evenkeel_domain::index::{Definition, Funds, IndexEvent, IndexPaused, IndexResumed, Status};
use evenkeel_domain::values::{IndexId, Timestamp, WebhookId};
use evenkeel_domain::webhook::{Filter, IN_FLIGHT_MAX, Target, Url, WebhookEvent};
use evenkeel_events::{
    Causation, EventLog as _, Expected, Metadata, NewEvent, OwnerKey, SledLog, SledOptions,
    StreamAppend,
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use figure::{Against, Figure, memory_bytes};
use load::{forget_peak, operator, rank, sorted, temporary};
use receiver::{Manner, Receiver};

/// Indexes that take turns being paused and resumed.
const INDEXES: usize = 200;
/// Deliveries per second at each steady load, and the p99 that is aimed at, in milliseconds.
const STEADY: [(usize, f64); 3] = [(200, 7.0), (500, 50.0), (2_000, 50.0)];
/// Receivers that hang beside a healthy one, and the load of that.
const CROWD: usize = 500;
const CROWD_PER_SECOND: usize = 200;
/// How long that lasts: their attempts time out after ten seconds, and are made again.
const CROWD_SECONDS: usize = 20;
/// How long each steady load lasts.
const STEADY_SECONDS: usize = 5;
/// How late a retry may be.
const RETRY_AIM_MS: f64 = 250.0;
/// Events that wait for one subscription, or for each of several.
const BACKLOG: usize = 20_000;
/// Subscriptions of a fan-out.
const FAN_OUT: usize = 10;
/// Deliveries per second to aim at: to one endpoint, and at the fan-out.
const AIMS: [f64; 2] = [5_000.0, 10_000.0];
/// Events that wait for a receiver that never answers.
const PENDING: usize = 1_000_000;
/// Events per commit while they are written.
const COMMIT_EVENTS: usize = 4_096;
/// What they may take in memory, in MiB.
const PENDING_AIM_MIB: f64 = 100.0;
/// Commands at once while a backlog is made.
const AT_ONCE: usize = 200;
async fn open(data: &Path) -> Engine {
    let settings = Settings {
        drift_enabled: Some(false),
        reconciliation_enabled: Some(false),
        ..Settings::default()
    };
    let policy = AddressPolicy {
        allow_http: true,
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let engine = Engine::builder().data(data).settings(settings);
    engine.webhook_policy(policy).open().await.unwrap()
}

fn definition() -> Definition {
    serde_json::from_value(json!({
        "name": "Half and half",
        "description": "",
        "constituents": [{"asset": "AAA", "percentage": "100"}],
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

/// An index that can be paused: one that holds something.
async fn active(engine: &evenkeel_actors::Engine) -> IndexView {
    let caller = operator();
    let made = engine.create_index(&caller, definition()).await.unwrap();
    let id = made.index.index_id;
    let funds = Funds::Asset("AAA".parse().unwrap(), "10".parse().unwrap());
    engine.deposit(&caller, id, funds, false).await.unwrap();
    let mut positions = engine.watch();
    loop {
        let view = engine.index(&caller, id).await.unwrap();
        if view.index.status == Status::Active {
            return view;
        }
        positions.changed().await.unwrap();
    }
}

async fn indexes(engine: &Engine) -> Vec<IndexId> {
    let made = stream::iter(0..INDEXES).map(|_| {
        let engine = (**engine).clone();
        async move { active(&engine).await.index.index_id }
    });
    made.buffer_unordered(AT_ONCE).collect().await
}

/// One event: the index is paused, or resumed when it is.
async fn turn(engine: evenkeel_actors::Engine, id: IndexId, round: usize) {
    let caller = operator();
    let turned = if round.is_multiple_of(2) {
        engine.pause_index(&caller, id).await
    } else {
        engine.resume_index(&caller, id).await
    };
    turned.unwrap();
}

async fn subscribe(engine: &Engine, url: &str, enabled: bool) -> WebhookId {
    let events = Filter::new(&["index.paused".to_owned(), "index.resumed".to_owned()]).unwrap();
    let wish = WebhookWish {
        enabled: Some(enabled),
        ..WebhookWish::untested(Target::new(Url::required(url).unwrap(), events))
    };
    let made = engine.create_webhook(&operator(), wish).await.unwrap();
    made.webhook.webhook_id
}

fn figure(name: String, value: f64, unit: &'static str, against: Against) -> Figure {
    let rate = unit == "deliveries/s";
    Figure {
        name,
        value,
        unit,
        against,
        rate,
    }
}

/// One load: events come at their time, however the deliveries are doing. Gives the p99 of those
/// in milliseconds.
async fn p99_at(
    engine: &Engine,
    receiver: &Receiver,
    ids: &[IndexId],
    (per_second, seconds): (usize, usize),
    turns: &mut usize,
) -> f64 {
    receiver.forget();
    let every = Duration::from_secs(1) / u32::try_from(per_second).unwrap();
    let mut due = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..per_second * seconds {
        due += every;
        tokio::time::sleep_until(due.into()).await;
        let (id, round) = (ids[*turns % INDEXES], *turns / INDEXES);
        running.spawn(turn((**engine).clone(), id, round));
        *turns += 1;
    }
    running.join_all().await;
    receiver.wait_for(per_second * seconds).await;
    rank(&sorted(receiver.took_ms.borrow().iter().copied()), 99)
}

/// Three loads, one after the other.
async fn steady(folder: &Path) -> Vec<Figure> {
    let (engine, receiver) = (open(folder).await, Receiver::start(Manner::Takes).await);
    let ids = indexes(&engine).await;
    subscribe(&engine, &receiver.url("/hook"), true).await;
    let (mut figures, mut turns) = (Vec::new(), 0);
    for (per_second, aim_p99) in STEADY {
        let load = (per_second, STEADY_SECONDS);
        let p99 = p99_at(&engine, &receiver, &ids, load, &mut turns).await;
        let took = sorted(receiver.took_ms.borrow().iter().copied());
        let name = |what| format!("append to receipt at {per_second}/s, {what}");
        figures.push(figure(name("p50"), rank(&took, 50), "ms", Against::Nothing));
        figures.push(figure(name("p99"), p99, "ms", Against::Aim(aim_p99)));
    }
    engine.close().await.unwrap();
    figures
}

/// The same load beside receivers that take connections and never answer.
async fn crowd(folder: &Path) -> Vec<Figure> {
    let (engine, receiver) = (open(folder).await, Receiver::start(Manner::Takes).await);
    let hanging = Receiver::start(Manner::Hangs).await;
    let ids = indexes(&engine).await;
    subscribe(&engine, &receiver.url("/hook"), true).await;
    let (load, mut turns) = ((CROWD_PER_SECOND, CROWD_SECONDS), 0);
    let alone = p99_at(&engine, &receiver, &ids, load, &mut turns).await;
    for n in 0..CROWD {
        subscribe(&engine, &hanging.url(&format!("/{n}")), true).await;
    }
    turn((*engine).clone(), ids[turns % INDEXES], turns / INDEXES).await;
    turns += 1;
    hanging.wait_for(CROWD).await;
    let beside = p99_at(&engine, &receiver, &ids, load, &mut turns).await;
    engine.close().await.unwrap();
    let name = format!("p99 at {CROWD_PER_SECOND}/s beside {CROWD} hanging receivers");
    vec![
        figure(
            format!("p99 at {CROWD_PER_SECOND}/s alone"),
            alone,
            "ms",
            Against::Nothing,
        ),
        figure(name, beside, "ms", Against::Aim(2.0 * alone)),
    ]
}

/// How late second attempts come, against the time that the log says.
async fn retries(folder: &Path) -> Vec<Figure> {
    let engine = open(folder).await;
    let receiver = Receiver::start(Manner::TakesAgain).await;
    let ids = indexes(&engine).await;
    subscribe(&engine, &receiver.url("/hook"), true).await;
    let begun = engine.log().head().position;
    for id in &ids {
        turn((*engine).clone(), *id, 0).await;
    }
    receiver.wait_for(INDEXES).await;
    let events = engine.log().read(begun, 100 * INDEXES).await.unwrap();
    let came = receiver.came_again.lock().unwrap().clone();
    let late = events.iter().filter_map(|recorded| {
        let Event::Webhook(WebhookEvent::AttemptFailed(failed)) =
            evenkeel_actors::journal::decode(recorded).unwrap()
        else {
            return None;
        };
        let due = failed.retry_at.as_micros() as f64 / 1e3;
        Some(came[&failed.position].unwrap() - due)
    });
    let late = sorted(late);
    engine.close().await.unwrap();
    let aim = Against::Aim(RETRY_AIM_MS);
    let name = format!("a retry is late, longest of {INDEXES}");
    vec![figure(name, rank(&late, 100), "ms", aim)]
}

/// Deliveries per second of subscriptions that have so many events before them.
async fn backlog(folder: &Path) -> Vec<Figure> {
    let (engine, receiver) = (open(folder).await, Receiver::start(Manner::Takes).await);
    let ids = indexes(&engine).await;
    let mut hooks = Vec::new();
    for n in 0..=FAN_OUT {
        let url = receiver.url(&format!("/hook-{n}"));
        hooks.push(subscribe(&engine, &url, false).await);
    }
    for round in 0..BACKLOG / INDEXES {
        let turned = stream::iter(&ids).map(|id| turn((*engine).clone(), *id, round));
        turned.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
    let plain = plain_posts(&receiver).await;
    let mut figures = Vec::new();
    let (one, others) = hooks.split_at(1);
    for (hooks, what, aim) in [
        (one, "one endpoint", AIMS[0]),
        (others, "a fan-out", AIMS[1]),
    ] {
        receiver.forget();
        let began = Instant::now();
        for id in hooks {
            let from_now = false;
            let enabled = engine.enable_webhook(&operator(), *id, from_now).await;
            enabled.unwrap();
        }
        receiver.wait_for(hooks.len() * BACKLOG).await;
        let rate = (hooks.len() * BACKLOG) as f64 / began.elapsed().as_secs_f64();
        let name = format!("deliveries to {what} of {}", hooks.len());
        figures.push(figure(
            name.clone(),
            rate,
            "deliveries/s",
            Against::Aim(aim),
        ));
        figures.push(figure(name, rate, "deliveries/s", Against::Loop(plain)));
    }
    engine.close().await.unwrap();
    figures
}

/// Posts per second of a plain loop.
async fn plain_posts(receiver: &Receiver) -> f64 {
    receiver.forget();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"type": "index.paused", "timestamp": "2026-01-01T00:00:00Z", "data": {"indexId": IndexId::from_u128(1)}});
    let (body, began) = (body.to_string(), Instant::now());
    let posts = stream::iter(0..BACKLOG).map(|_| {
        let post = client.post(receiver.url("/plain")).body(body.clone());
        async move { assert!(post.send().await.unwrap().status().is_success()) }
    });
    posts
        .buffer_unordered(IN_FLIGHT_MAX)
        .collect::<Vec<()>>()
        .await;
    BACKLOG as f64 / began.elapsed().as_secs_f64()
}

/// Appends a million events to an index's stream, past the engine.
async fn write_pending(data: &Path, id: IndexId, version: u64) {
    let log = SledLog::open(data.join("log"), SledOptions::default()).unwrap();
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    let event = |n: usize| {
        let event = if n.is_multiple_of(2) {
            Event::Index(IndexEvent::Paused(IndexPaused { at }))
        } else {
            Event::Index(IndexEvent::Resumed(IndexResumed { at }))
        };
        let (event_type, payload_version) = catalogue::type_of(&event);
        NewEvent {
            event_type,
            payload_version,
            payload: catalogue::encode(&event).unwrap().into(),
            metadata: Metadata {
                owner: OwnerKey(operator().owner.as_u128()),
                by: "bench".into(),
                cause: Causation::default(),
                recorded_at_us: at.as_micros(),
            },
        }
    };
    for from in (0..PENDING).step_by(COMMIT_EVENTS) {
        let until = (from + COMMIT_EVENTS).min(PENDING);
        let append = StreamAppend {
            stream: streams::index(id),
            expected: Expected::Exact(version + from as u64),
            events: (from..until).map(event).collect(),
        };
        log.append(vec![append]).await.unwrap();
    }
    log.close().await.unwrap();
}

/// The most memory that a backlog without end takes.
async fn pending(folder: &Path) -> Vec<Figure> {
    let receiver = Receiver::start(Manner::Hangs).await;
    let engine = open(folder).await;
    let made = active(&engine).await;
    let hook = subscribe(&engine, &receiver.url("/hangs"), false).await;
    engine.close().await.unwrap();
    write_pending(folder, made.index.index_id, made.version).await;
    let engine = open(folder).await;
    forget_peak();
    let enabled = engine.enable_webhook(&operator(), hook, false).await;
    enabled.unwrap();
    receiver.wait_for(IN_FLIGHT_MAX).await;
    let peak = memory_bytes("VmHWM") as f64 / f64::from(1 << 20);
    let against = Against::Aim(PENDING_AIM_MIB);
    let name = format!("memory with {PENDING} deliveries pending");
    engine.close().await.unwrap();
    vec![figure(name, peak, "MiB", against)]
}

async fn measure(only: &str) -> Vec<Figure> {
    let mut all = Vec::new();
    for load in ["steady", "crowd", "retries", "backlog", "pending"] {
        if !(only.is_empty() || only.contains(load)) {
            continue;
        }
        let dir = temporary();
        let data = dir.path().join("data");
        eprintln!("{load}: log on disk in {}", data.display());
        all.extend(match load {
            "steady" => steady(&data).await,
            "crowd" => crowd(&data).await,
            "retries" => retries(&data).await,
            "backlog" => backlog(&data).await,
            _ => pending(&data).await,
        });
    }
    all
}

fn main() {
    load::run(measure);
}
