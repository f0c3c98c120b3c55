//! A small world for tests: a clock that is moved by hand, a venue and receivers in memory, a log
//! in memory that outlives an engine, so that a test can stop one and start the next.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation ends the test"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::{
    Account, Constituent, Definition, Description, Funds, Method, Name, Rebalancing, Risk,
};
use evenkeel_domain::market::{RecordPrices, Source};
use evenkeel_domain::values::{
    Amount, Asset, EventKey, IndexId, OwnerId, Percent, Price, Span, Timestamp, WebhookId,
};
use evenkeel_domain::webhook::{Answer, AttemptResult};
use evenkeel_events::{EventLog, MemoryLog};
use evenkeel_snapshots::{MemorySnapshots, SnapshotStore};
use tokio::sync::watch;

use crate::engine::{Caller, IndexView, Ports, Settings};
use crate::ports::{
    Clock, Entropy, FeedError, Fetched, PriceFeed, SigningKey, UrlRefused, Venue, WebhookRequest,
    WebhookTransport,
};
use crate::{Engine, MemoryKeys};

mod time;
mod venue;

pub(crate) use time::time_passes;
pub(crate) use venue::{Fault, TestVenue};

/// A clock that is moved by hand.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn advance(&self, span: Span) {
        self.0.fetch_add(
            i64::try_from(span.as_millis() * 1_000).unwrap(),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A counter in place of randomness: the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A receiver in memory: what came, and what to answer.
#[derive(Debug)]
pub(crate) struct TestReceiver {
    pub(crate) received: watch::Sender<Vec<(String, String)>>,
    /// Answers in order; 200 when there is none left.
    pub(crate) answers: Mutex<Vec<u16>>,
    /// What it asks for with every refusal.
    pub(crate) retry_after: Mutex<Option<Span>>,
    /// Whether it takes messages and keeps its answers back.
    pub(crate) holds: watch::Sender<bool>,
}

impl Default for TestReceiver {
    fn default() -> Self {
        Self {
            received: watch::Sender::new(Vec::new()),
            answers: Mutex::default(),
            retry_after: Mutex::default(),
            holds: watch::Sender::new(false),
        }
    }
}

impl TestReceiver {
    /// Waits until so many messages have come.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<(String, String)> {
        self.received
            .subscribe()
            .wait_for(|all| all.len() >= count)
            .await
            .unwrap()
            .clone()
    }
}

#[async_trait]
impl WebhookTransport for TestReceiver {
    async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        let status = {
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() {
                200
            } else {
                answers.remove(0)
            }
        };
        self.received
            .send_modify(|all| all.push((request.message_id.clone(), request.event_type.clone())));
        let _ = self.holds.subscribe().wait_for(|holds| !holds).await;
        if status < 300 {
            return AttemptResult::Success { status };
        }
        AttemptResult::Failure {
            status: Some(status),
            reason: venue::reason("no"),
            retry_after: *self.retry_after.lock().unwrap(),
            answer: Answer::default(),
        }
    }

    async fn check_url(&self, url: &str) -> Result<(), UrlRefused> {
        if url.starts_with("https://") || url.starts_with("mailto:") {
            Ok(())
        } else {
            Err(UrlRefused("https only".to_owned()))
        }
    }

    fn secret(&self, id: WebhookId, key: &SigningKey) -> Option<String> {
        Some(format!("whsec_{id}_{}", key.generation))
    }
}

/// A feed that is told what to answer.
#[derive(Debug, Default)]
pub(crate) struct TestFeed {
    pub(crate) fetches: AtomicU64,
    pub(crate) answer: Mutex<Option<Vec<(Asset, Price)>>>,
}

#[async_trait]
impl PriceFeed for TestFeed {
    async fn fetch(&self, _: &[Asset]) -> Result<Fetched, FeedError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let prices = self.answer.lock().unwrap().clone();
        let prices = prices.ok_or_else(|| FeedError::Unreachable("down".to_owned()))?;
        Ok(Fetched { at: START, prices })
    }

    fn source(&self) -> Source {
        Source::Http
    }
}

/// Where time begins: 2026-01-05T10:00:00Z, a Monday.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_607_200_000_000);

/// Everything outside an engine; it outlives engines.
pub(crate) struct World {
    pub(crate) clock: Arc<HandClock>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) venue: Arc<TestVenue>,
    pub(crate) receiver: Arc<TestReceiver>,
    pub(crate) feed: Option<Arc<TestFeed>>,
    pub(crate) settings: Settings,
    pub(crate) entropy: Arc<Counter>,
    pub(crate) keys: Arc<MemoryKeys>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            clock: Arc::new(HandClock(AtomicI64::new(START.as_micros()))),
            log: Arc::new(MemoryLog::new()),
            snapshots: Arc::new(MemorySnapshots::new()),
            venue: Arc::default(),
            receiver: Arc::default(),
            feed: None,
            settings: Settings {
                drift_enabled: Some(false),
                reconciliation_enabled: Some(false),
                ..Settings::default()
            },
            entropy: Arc::default(),
            keys: Arc::default(),
        }
    }

    pub(crate) async fn engine(&self) -> Engine {
        self.engine_at(self.venue.clone()).await
    }

    /// An engine that trades at another venue.
    pub(crate) async fn engine_at(&self, venue: Arc<dyn Venue>) -> Engine {
        let ports = Ports {
            log: Arc::clone(&self.log),
            snapshots: Arc::clone(&self.snapshots),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            feed: self.feed.clone().map(|feed| feed as Arc<dyn PriceFeed>),
            venues: BTreeMap::from([("paper".to_owned(), venue)]),
            transport: self.receiver.clone(),
            personal: self.keys.clone(),
        };
        Engine::start(ports, self.settings.clone())
            .await
            .expect("the engine starts")
    }
}

/// An owner with all rights but administration.
pub(crate) fn owner(n: u128) -> Caller {
    Caller {
        owner: OwnerId::from_u128(n),
        token: None,
        scopes: Scope::DEFAULT.to_vec(),
        request: EventKey::from_u128(n),
    }
}

pub(crate) fn asset(symbol: &str) -> Asset {
    symbol.parse().unwrap()
}

pub(crate) fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Half A, half B.
pub(crate) fn halves(method: Method) -> Definition {
    let half = |symbol| Constituent::new(asset(symbol), Percent::FIFTY);
    Definition {
        name: Name::required("halves").unwrap(),
        description: Description::default(),
        constituents: vec![half("A"), half("B")].into(),
        cash_percentage: Percent::ZERO,
        rebalancing: Rebalancing {
            method,
            ..Rebalancing::default()
        },
        risk: Risk::default(),
        account: Account::required("paper").unwrap(),
        tags: Vec::new(),
    }
}

/// What the tests do with an engine.
pub(crate) trait Drive {
    async fn push(&self, a: &str, b: &str);
    async fn funded(&self, caller: &Caller, method: Method) -> IndexId;
    async fn at_rest(&self, caller: &Caller, id: IndexId) -> IndexView;
    async fn cycle(&self) -> crate::engine::RunView;
    async fn until(
        &self,
        caller: &Caller,
        id: IndexId,
        wanted: impl Fn(&evenkeel_domain::index::Index) -> bool + Send,
    ) -> IndexView;
}

impl Drive for Engine {
    async fn push(&self, a: &str, b: &str) {
        let prices = vec![
            (asset("A"), a.parse().unwrap()),
            (asset("B"), b.parse().unwrap()),
        ];
        let at = self.prices().as_of;
        let command = RecordPrices {
            source: Source::Push,
            at,
            prices,
            confirm: true,
        };
        self.push_prices(&owner(1), command)
            .await
            .expect("prices are taken");
    }

    /// Half A, half B, constructed from 10,000 at 100/100.
    async fn funded(&self, caller: &Caller, method: Method) -> IndexId {
        self.push("100", "100").await;
        let id = self
            .create_index(caller, halves(method))
            .await
            .unwrap()
            .index
            .index_id;
        self.deposit(caller, id, Funds::Cash(amount("10000")), true)
            .await
            .unwrap();
        self.at_rest(caller, id).await;
        id
    }

    /// The index when no rebalance runs.
    async fn at_rest(&self, caller: &Caller, id: IndexId) -> IndexView {
        self.until(caller, id, |index| index.rebalance.is_none())
            .await
    }

    /// The index when it is as wanted.
    async fn until(
        &self,
        caller: &Caller,
        id: IndexId,
        wanted: impl Fn(&evenkeel_domain::index::Index) -> bool + Send,
    ) -> IndexView {
        let mut positions = self.watch();
        loop {
            if let Ok(view) = self.index(caller, id).await
                && wanted(&view.index)
            {
                return view;
            }
            positions.changed().await.unwrap();
        }
    }

    async fn cycle(&self) -> crate::engine::RunView {
        self.run_job(&owner(1), "drift-monitor", true)
            .await
            .expect("the cycle runs")
    }
}
