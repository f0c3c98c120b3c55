//! Cycles: what a check leads to, by method, by price, by schedule.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use evenkeel_domain::Event;
use evenkeel_domain::index::{Funds, IndexEvent, Method, SkipReason};
use evenkeel_domain::market::PriceProblem;
use evenkeel_domain::rebalance::{RebalanceStatus, Trigger};
use evenkeel_domain::values::{IndexId, Span};

use crate::Engine;
use crate::engine::{Caller, EngineError};
use crate::ports::{Clock, Venue, VenueAccount};
use crate::testing::{Drive, TestFeed, World, amount, asset, halves, owner};

async fn types(engine: &Engine, caller: &Caller, id: IndexId) -> Vec<String> {
    let page = engine
        .index_events(caller, id, &|_| true, None, 100)
        .await
        .unwrap();
    page.items
        .iter()
        .rev()
        .map(|logged| logged.event_type.to_string())
        .collect()
}

async fn value(engine: &Engine, caller: &Caller, id: IndexId, symbol: &str) -> String {
    let report = engine.drift(caller, id).await.unwrap().report;
    let line = report
        .assets
        .iter()
        .find(|line| line.asset == asset(symbol))
        .unwrap();
    line.value.get().round_dp(8).normalize().to_string()
}

#[tokio::test]
async fn drift_above_the_threshold_is_traded_back_to_target() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    engine.push("130", "100").await;
    let drift = engine.drift(&caller, id).await.unwrap();
    assert!(drift.report.drift.to_string().starts_with("6.5217391304"));
    assert_eq!(drift.report.total_value, amount("11500"));

    let run = engine.cycle().await;

    assert_eq!(
        (
            run.summary.checked,
            run.summary.exceeded,
            run.summary.rebalances_started
        ),
        (1, 1, 1)
    );
    assert_eq!(value(&engine, &caller, id, "A").await, "5750");
    assert_eq!(value(&engine, &caller, id, "B").await, "5750");
    assert_eq!(
        engine.drift(&caller, id).await.unwrap().report.total_value,
        amount("11500")
    );
    let history = engine
        .rebalances(&caller, id, None, 10)
        .await
        .unwrap()
        .items;
    let summary: Vec<_> = history
        .iter()
        .map(|r| (r.trigger, r.status, r.trades.len()))
        .collect();
    assert_eq!(
        summary,
        [
            (Trigger::Drift, RebalanceStatus::Completed, 2),
            (Trigger::Deposit, RebalanceStatus::Completed, 2)
        ]
    );
    let told = types(&engine, &caller, id).await;
    let after_construction = told.iter().rposition(|t| t == "drift.detected").unwrap();
    assert_eq!(
        told[after_construction..],
        [
            "drift.detected",
            "drift.threshold_exceeded",
            "drift.band_breached",
            "rebalance.started",
            "order.intended",
            "trade.executed",
            "order.intended",
            "trade.executed",
            "rebalance.completed"
        ]
    );
    engine.stop().await;
}

#[tokio::test]
async fn the_books_agree_with_the_venue() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    for (a, b) in [("130", "100"), ("95", "140"), ("180", "100")] {
        engine.push(a, b).await;
        engine.cycle().await;
    }
    let index = engine.at_rest(&caller, id).await.index;
    let truth = world.venue.balances(VenueAccount(id)).await.unwrap();
    assert_eq!(index.cash, truth.cash);
    let held: Vec<_> = index
        .holdings
        .iter()
        .map(|line| (line.asset, line.quantity))
        .collect();
    assert_eq!(held, truth.holdings);
}

#[tokio::test]
async fn none_is_measured_and_never_traded() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::None).await;
    engine.push("190", "100").await;
    let run = engine.cycle().await;
    assert_eq!(
        (run.summary.exceeded, run.summary.rebalances_started),
        (1, 0)
    );
    assert_eq!(
        types(&engine, &caller, id).await.last().unwrap(),
        "drift.band_breached"
    );
}

#[tokio::test]
async fn daily_trades_once_per_interval() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    engine.funded(&caller, Method::Daily).await;
    engine.push("140", "100").await;
    world.clock.advance(Span::from_secs(24 * 3600 - 1));
    engine.push("140", "100").await;
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        0,
        "a second before the interval is over"
    );
    world.clock.advance(Span::from_secs(1));
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        1,
        "when it is over"
    );
    engine.push("190", "100").await;
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        0,
        "and not again"
    );
}

#[tokio::test]
async fn hybrid_trades_on_drift_at_once_and_on_its_interval() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    engine.funded(&caller, Method::Hybrid).await;
    engine.push("140", "100").await;
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        1,
        "on drift at once"
    );
    engine.push("143", "100").await;
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        0,
        "small drift waits"
    );
    world.clock.advance(Span::from_hours(24));
    engine.push("143", "100").await;
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        1,
        "for the interval"
    );
}

#[tokio::test]
async fn one_fetch_serves_a_thousand_indexes_and_a_failed_one_trades_nothing() {
    let feed = Arc::new(TestFeed::default());
    let world = World {
        feed: Some(Arc::clone(&feed)),
        ..World::new()
    };
    let (engine, caller) = (world.engine().await, owner(1));
    let prices = |a: &str, b: &str| {
        Some(vec![
            (asset("A"), a.parse().unwrap()),
            (asset("B"), b.parse().unwrap()),
        ])
    };
    *feed.answer.lock().unwrap() = prices("100", "100");
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        let id = engine
            .create_index(&caller, halves(Method::Drift))
            .await
            .unwrap()
            .index
            .index_id;
        engine
            .deposit(&caller, id, Funds::Cash(amount("10000")), true)
            .await
            .unwrap();
        ids.push(id);
    }
    assert_eq!(
        engine.cycle().await.summary.rebalances_started,
        1_000,
        "constructed when prices are there"
    );
    let cases = [
        (None, PriceProblem::FeedFailed),
        (prices("0", "100"), PriceProblem::Zero),
        (
            Some(vec![(asset("B"), "100".parse().unwrap())]),
            PriceProblem::Missing,
        ),
    ];
    for (answer, problem) in cases {
        *feed.answer.lock().unwrap() = answer;
        let before = feed.fetches.load(Ordering::SeqCst);
        let run = engine.cycle().await;
        assert_eq!(feed.fetches.load(Ordering::SeqCst) - before, 1, "one fetch");
        assert_eq!(
            (run.summary.skipped, run.summary.rebalances_started),
            (1_000, 0),
            "{problem:?}"
        );
        for id in &ids {
            let last = engine
                .index_events(&caller, *id, &|_| true, None, 1)
                .await
                .unwrap()
                .items
                .remove(0);
            let Event::Index(IndexEvent::CheckSkipped(skipped)) = last.event else {
                unreachable!("{last:?}")
            };
            assert_eq!(skipped.reason, SkipReason::Price(asset("A"), problem));
        }
    }
}

#[tokio::test]
async fn another_owners_index_does_not_exist() {
    let world = World::new();
    let (engine, alice, bob) = (world.engine().await, owner(1), owner(2));
    let id = engine.funded(&alice, Method::Drift).await;
    let missing = EngineError::NotFound("index");
    assert_eq!(engine.index(&bob, id).await.unwrap_err(), missing);
    assert_eq!(
        engine.rebalance(&bob, id, false, true).await.unwrap_err(),
        missing
    );
    assert_eq!(
        engine
            .deposit(&bob, id, Funds::Cash(amount("1")), false)
            .await
            .unwrap_err(),
        missing
    );
    assert_eq!(engine.delete_index(&bob, id).await.unwrap_err(), missing);
    assert!(
        engine
            .events(&bob, 0, &|_| true, 100)
            .await
            .unwrap()
            .0
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn the_schedule_runs_a_day_of_cycles_and_catches_up_once_after_downtime() {
    let world = World {
        settings: crate::engine::Settings::default(),
        ..World::new()
    };
    let engine = world.engine().await;
    for _ in 0..(24 * 12) {
        let before = engine.status().cycles;
        world.clock.advance(Span::from_secs(300));
        engine.clock_moved();
        while engine.status().cycles == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(engine.status().cycles, 24 * 12);
    engine.stop().await;

    world.clock.advance(Span::from_hours(7));
    let engine = world.engine().await;
    while engine.status().cycles == 0 {
        tokio::task::yield_now().await;
    }
    engine.clock_moved();
    engine.jobs().await.unwrap();
    assert_eq!(engine.status().cycles, 1, "84 missed times are one run");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_runs_its_schedule_again() {
    let world = World {
        settings: crate::engine::Settings::default(),
        ..World::new()
    };
    let then = world.clock.now();
    let engine = world.engine().await;
    world.clock.advance(Span::from_hours(24 * 365));
    engine.cycle().await;
    engine.stop().await;

    world.clock.set(then);
    let engine = world.engine().await;
    for minutes in [1, 5, 5] {
        let before = engine.status().cycles;
        world.clock.advance(Span::from_secs(60 * minutes));
        engine.clock_moved();
        engine.jobs().await.unwrap();
        while minutes == 5 && engine.status().cycles == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(engine.status().cycles, 2);
}
