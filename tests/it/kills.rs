//! kill -9 at any moment: nothing acknowledged is lost, nothing is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::actors::ports::{Entropy as _, Venue as _, VenueAccount};
use evenkeel::events::{EventLog as _, SledLog, SledOptions};
use evenkeel::time::{SeededEntropy, SystemClock};
use evenkeel::venues::{Faults, PaperSettings, PaperVenue};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::home::Home;
use crate::portfolio::{decimal, eventually};

/// Kills of one test; `EVENKEEL_TEST_KILLS` says otherwise.
const KILLS: u64 = 6;

/// The latest moment of a kill after the start, in milliseconds: most of a short demo.
const LATEST_MS: u64 = 2_500;

/// Cash and quantities by asset, as decimals.
type Position = (Decimal, BTreeMap<String, Decimal>);

#[tokio::test]
async fn a_demo_that_is_killed_again_and_again_loses_nothing_and_trades_nothing_twice() {
    killed_again_and_again(&[], 20).await;
}

#[tokio::test]
async fn so_does_one_whose_venue_fails_in_every_way() {
    killed_again_and_again(&["--faults", "7"], 5).await;
}

async fn killed_again_and_again(more: &[&str], last_cycles: u64) {
    let kills = std::env::var("EVENKEEL_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let moments = SeededEntropy::new(20_080_915);
    let home = Home::new();
    for kill in 0..kills {
        let moment = Duration::from_millis(moments.next_u64() % LATEST_MS);
        println!("kill {kill} after {moment:?}");
        let demo = home.start(&[&["demo", "--json", "--cycles", "100000"], more].concat());
        // Not what it does but when it is killed is drawn, so it is timed.
        tokio::time::timeout(moment, std::future::pending::<()>())
            .await
            .unwrap_err();
        demo.kill();
        if home.data().join("log").is_dir() {
            stands_after_a_crash(&home).await;
        }
    }
    let cycles = last_cycles.to_string();
    let summary = home.run(&[&["demo", "--json", "--cycles", &cycles], more].concat());
    let summary = summary.json();
    assert_eq!(summary["cycles"], last_cycles, "{summary}");
    for holds in ["logVerified", "replayMatches", "venueMatches"] {
        assert_eq!(summary[holds], true, "{summary}");
    }
    assert_eq!(summary["corrections"], 0, "{summary}");
    assert_eq!(summary["rebalances"]["running"], 0, "{summary}");
    let events = home.run(&["log", "tail"]).json_lines();
    each_trade_stands_once(&events);
}

/// A server comes up on the data; after its stop the log verifies, and log, books and venue agree.
async fn stands_after_a_crash(home: &Home) {
    let server = home.serve();
    let admin = &server.admin;
    let shown = eventually("the end of open rebalances", async || {
        let shown = admin.all("/api/indexes").await;
        let at_rest =
            |index: &Value| index["activeRebalanceId"].is_null() && index["pendingTransfers"] == 0;
        shown.iter().all(at_rest).then_some(shown)
    })
    .await;
    server.stop().await;

    home.run(&["log", "verify"]).fine();
    let events = home.run(&["log", "tail"]).json_lines();
    each_trade_stands_once(&events);
    let shown = by_id(&shown);
    assert_eq!(shown, folded(&events), "the API and the fold of the log");
    let replayed = home.run(&["log", "replay", "--json"]).json();
    let replayed = by_id(replayed["indexes"].as_array().unwrap());
    assert_eq!(shown, replayed, "the API and the replay");
    for (id, position) in &shown {
        let at_venue = at_venue(&home.data(), id).await;
        assert_eq!(*position, at_venue, "the books and the venue, {id}");
    }
}

#[track_caller]
fn each_trade_stands_once(events: &[Value]) {
    let mut seen = BTreeSet::new();
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event["position"], position, "a gap: {event}");
        let version = versions.entry(text(&event["stream"])).or_default();
        *version += 1;
        assert_eq!(event["version"], *version, "a gap in a stream: {event}");
        let data = &event["data"];
        let step = match text(&event["type"]) {
            "order.intended" => &data["order"]["step"],
            "trade.executed" | "trade.failed" => &data["step"],
            "rebalance.started" | "rebalance.completed" | "rebalance.failed" => &Value::Null,
            _ => continue,
        };
        let kind = text(&event["type"]).split('.').next().unwrap();
        let key = match kind {
            "rebalance" => text(&event["type"]),
            kind => kind,
        };
        let key = (
            key.to_owned(),
            text(&data["rebalanceId"]).to_owned(),
            step.to_string(),
        );
        assert!(seen.insert(key), "it stands twice: {event}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn by_id(indexes: &[Value]) -> BTreeMap<String, Position> {
    let position = |index: &Value| {
        let lines = index["holdings"].as_array().unwrap().iter();
        let holdings = lines
            .map(|line| (text(&line["asset"]).to_owned(), decimal(&line["quantity"])))
            .collect();
        let id = text(&index["indexId"]).to_owned();
        (id, (decimal(&index["cash"]), holdings))
    };
    indexes.iter().map(position).collect()
}

/// The fold of the log in a few lines, apart from the one in the program.
fn folded(events: &[Value]) -> BTreeMap<String, Position> {
    let mut indexes: BTreeMap<String, Position> = BTreeMap::new();
    for event in events {
        let (stream, data) = (text(&event["stream"]).to_owned(), &event["data"]);
        match text(&event["type"]) {
            "index.created" => {
                indexes.entry(stream).or_default();
            }
            "index.deposited" => {
                indexes.entry(stream).or_default().0 += decimal(&data["funds"]["cash"]);
            }
            "trade.executed" => trade(indexes.entry(stream).or_default(), data),
            _ => {}
        }
    }
    indexes
}

fn trade((cash, holdings): &mut Position, data: &Value) {
    let asset = text(&data["asset"]).to_owned();
    let (quantity, notional) = (decimal(&data["quantity"]), decimal(&data["notional"]));
    let held = holdings.entry(asset.clone()).or_default();
    if data["side"] == "BUY" {
        *held += quantity;
        *cash -= notional + decimal(&data["fee"]);
    } else {
        *held -= quantity;
        *cash += notional - decimal(&data["fee"]);
    }
    if held.is_zero() {
        holdings.remove(&asset);
    }
}

/// What the paper venue's own books hold for an index.
async fn at_venue(data: &Path, index: &str) -> Position {
    // A process that another test has just forked shares the lock until it becomes a program.
    let open = async || SledLog::open(data.join("paper"), SledOptions::default()).ok();
    let log = Arc::new(eventually("the venue's books", open).await);
    let venue = PaperVenue::open(
        log.clone(),
        PaperSettings::default(),
        Faults::none(),
        Arc::new(SystemClock),
    );
    let account = VenueAccount(index.parse().unwrap());
    let balances = venue.await.unwrap().balances(account).await.unwrap();
    log.close().await.unwrap();
    let lines = balances.holdings.iter();
    let holdings = lines.map(|(asset, quantity)| (asset.to_string(), quantity.get()));
    (balances.cash.get(), holdings.collect())
}
