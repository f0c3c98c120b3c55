//! The engine as a library: many indexes whose prices fail, and one that panics.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::Engine;
use evenkeel::actors::engine::{Caller, IndexFilter};
use evenkeel::actors::ports::{FeedError, Fetched, PriceFeed};
use evenkeel::domain::Event;
use evenkeel::domain::access::Scope;
use evenkeel::domain::index::{Definition, Funds, IndexEvent, SkipReason};
use evenkeel::domain::market::{PriceProblem, Source};
use evenkeel::domain::values::{Asset, EventKey, IndexId, OwnerId, Timestamp};
use evenkeel::time::ReplayClock;
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::portfolio::{eventually, halves};

/// As many as the claim names.
const INDEXES: usize = 1_000;

/// Prices of assets; none for a feed that fails.
type Answer<'a> = Option<&'a [(&'a str, &'a str)]>;

/// A feed that answers what the test wants; without an answer it fails.
#[derive(Default)]
struct Feed(Mutex<Option<Fetched>>);

impl Feed {
    fn answer(&self, at: Timestamp, prices: &[(&str, &str)]) {
        let prices = prices
            .iter()
            .map(|(asset, price)| (asset.parse().unwrap(), price.parse().unwrap()));
        let prices = prices.collect();
        *self.0.lock().unwrap() = Some(Fetched { at, prices });
    }

    fn fail(&self) {
        *self.0.lock().unwrap() = None;
    }
}

#[async_trait]
impl PriceFeed for Feed {
    async fn fetch(&self, _: &[Asset]) -> Result<Fetched, FeedError> {
        let answer = self.0.lock().unwrap().clone();
        answer.ok_or_else(|| FeedError::Unreachable("no answer".to_owned()))
    }

    fn source(&self) -> Source {
        Source::Http
    }
}

fn now() -> Timestamp {
    "2026-01-05T09:30:00Z".parse().unwrap()
}

fn owner() -> Caller {
    Caller {
        owner: OwnerId::from_u128(7),
        token: None,
        scopes: Scope::DEFAULT.to_vec(),
        request: EventKey::from_u128(1),
    }
}

/// An engine on sled whose schedule never comes by itself: its clock stands.
async fn engine(directory: &TempDir, feed: &Arc<Feed>) -> Engine {
    let engine = Engine::builder()
        .data(directory.path().join("data"))
        .clock(Arc::new(ReplayClock::starting_at(now())))
        .feed(feed.clone());
    engine.open().await.unwrap()
}

async fn funded(engine: &Engine, count: usize) -> Vec<IndexId> {
    let definition: Definition = definition();
    let made = (0..count).map(async |_| {
        let view = engine.create_index(&owner(), definition.clone()).await;
        let id = view.unwrap().index.index_id;
        let cash = Funds::Cash("10000".parse().unwrap());
        engine.deposit(&owner(), id, cash, true).await.unwrap();
        id
    });
    join_all(made).await
}

/// The definition that the HTTP tests send, as a library user writes it.
fn definition() -> Definition {
    use evenkeel::domain::index::{Account, Constituent, Description, Name, Rebalancing, Risk};
    use evenkeel::domain::values::Percent;
    let lines = halves("DRIFT")["constituents"].as_array().unwrap().clone();
    let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let constituents = lines.iter().map(|line| {
        let target = text(line, "percentage").parse().unwrap();
        Constituent::new(text(line, "asset").parse().unwrap(), target)
    });
    Definition {
        name: Name::required("halves").unwrap(),
        description: Description::default(),
        constituents: constituents.collect(),
        cash_percentage: Percent::ZERO,
        rebalancing: Rebalancing::default(),
        risk: Risk::default(),
        account: Account::required("paper").unwrap(),
        tags: Vec::new(),
    }
}

/// Checked, skipped, rebalances started.
async fn cycle(engine: &Engine) -> (u32, u32, u32) {
    let run = engine
        .run_job(&owner(), "drift-monitor", true)
        .await
        .unwrap();
    assert_eq!(run.error, None);
    let summary = run.summary;
    (summary.checked, summary.skipped, summary.rebalances_started)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_indexes_without_a_price_trade_nothing_and_say_why() {
    let (directory, feed) = (TempDir::new().unwrap(), Arc::new(Feed::default()));
    let engine = engine(&directory, &feed).await;
    feed.answer(now(), &[("A", "100"), ("B", "100")]);
    let ids = funded(&engine, INDEXES).await;
    let all = u32::try_from(INDEXES).unwrap();
    assert_eq!(cycle(&engine).await, (all, 0, all), "constructed");
    let traded = engine.status().trades_executed;

    let cases: [(Answer, PriceProblem); 3] = [
        (None, PriceProblem::FeedFailed),
        (Some(&[("A", "0"), ("B", "100")]), PriceProblem::Zero),
        (Some(&[("B", "100")]), PriceProblem::Missing),
    ];
    for (answer, problem) in cases {
        match answer {
            Some(prices) => feed.answer(now(), prices),
            None => feed.fail(),
        }
        assert_eq!(cycle(&engine).await, (all, all, 0), "{problem:?}");
        for id in &ids {
            let page = engine.index_events(&owner(), *id, &|_| true, None, 1).await;
            let last = page.unwrap().items.remove(0);
            let Event::Index(IndexEvent::CheckSkipped(skipped)) = last.event else {
                panic!("{last:?}")
            };
            assert_eq!(
                skipped.reason,
                SkipReason::Price("A".parse().unwrap(), problem)
            );
        }
    }
    assert_eq!(engine.status().trades_executed, traded);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_index_leaves_the_others_running_and_it_is_back_within_five_seconds() {
    let (directory, feed) = (TempDir::new().unwrap(), Arc::new(Feed::default()));
    let engine = engine(&directory, &feed).await;
    feed.answer(now(), &[("A", "100"), ("B", "100")]);
    let ids = funded(&engine, 20).await;
    cycle(&engine).await;
    let before = engine.index(&owner(), ids[3]).await.unwrap();
    let began = tokio::time::Instant::now();
    engine.inject_panic(ids[3]).unwrap();
    for id in ids.iter().filter(|id| **id != ids[3]) {
        engine.index(&owner(), *id).await.unwrap();
    }
    let back = eventually("the index", async || {
        engine.index(&owner(), ids[3]).await.ok()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(back, before);
    assert_eq!(engine.status().index_restarts, 1);
    // It trades again with the others.
    feed.answer(now(), &[("A", "130"), ("B", "100")]);
    assert_eq!(cycle(&engine).await, (20, 0, 20));
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_opened_again_has_what_it_had() {
    let (directory, feed) = (TempDir::new().unwrap(), Arc::new(Feed::default()));
    feed.answer(now(), &[("A", "100"), ("B", "100")]);
    let first = engine(&directory, &feed).await;
    funded(&first, 10).await;
    cycle(&first).await;
    let filter = || IndexFilter {
        limit: 100,
        ..IndexFilter::default()
    };
    let before = first.indexes(&owner(), filter()).await.unwrap();
    first.close().await.unwrap();
    let again = engine(&directory, &feed).await;
    let after = again.indexes(&owner(), filter()).await.unwrap();
    assert_eq!(before.items, after.items);
    assert_eq!(before.items.len(), 10);
    again.close().await.unwrap();
}
