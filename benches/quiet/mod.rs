//! Quiet indexes of 20 assets in a log, with their snapshots, and ports at which nothing happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use evenkeel_actors::MemoryKeys;
use evenkeel_actors::catalogue;
use evenkeel_actors::engine::{Caller, Ports};
use evenkeel_actors::ports::{
    Balances, Clock, Entropy, SigningKey, UrlRefused, Venue, VenueAccount, VenueError, VenueOrder,
    VenueReport, VenueTransfer, WebhookRequest, WebhookTransport,
};
use evenkeel_actors::streams;
use evenkeel_domain::Event;
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::{
    self, Constituent, Definition, Funds, Holding, Index, IndexCommand, IndexEvent, Rebalancing,
    Risk,
};
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::Reason;
use evenkeel_domain::values::{
    Amount, Asset, EventKey, IndexId, OwnerId, Percent, Quantity, Text, Timestamp, TransferId,
    WebhookId,
};
use evenkeel_domain::webhook::AttemptResult;
use evenkeel_events::{
    Causation, EventLog, Expected, Metadata, NewEvent, OwnerKey, StreamAppend, codec,
};
use evenkeel_snapshots::{Snapshot, SnapshotStore};

pub const ASSETS: usize = 20;
pub const START_US: i64 = 1_767_607_200_000_000;

/// What the state of an index in a snapshot is laid out by.
pub const SCHEMA: u16 = evenkeel_actors::books::INDEX_SNAPSHOT_SCHEMA;

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START_US)
    }
}

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Nothing trades and nothing is sent here: what is asked for all the same is refused.
pub struct Nobody;

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
    async fn cancel(&self, _: VenueAccount, _: &str) -> Result<(), VenueError> {
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
            ..InstrumentRules::NONE
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
    fn secret(&self, _: WebhookId, _: &SigningKey) -> Option<String> {
        None
    }
}

pub fn asset(n: usize) -> Asset {
    format!("ASSET{n:02}").parse().unwrap()
}

fn definition() -> Definition {
    let line = |n| Constituent::new(asset(n), "5".parse().unwrap());
    Definition {
        name: Text::required("quiet").unwrap(),
        description: Text::default(),
        constituents: (0..ASSETS).map(line).collect(),
        cash_percentage: Percent::ZERO,
        rebalancing: Rebalancing::default(),
        risk: Risk {
            min_trade_notional: Amount::ZERO,
            ..Risk::default()
        },
        account: Text::required("paper").unwrap(),
        tags: Vec::new(),
    }
}

/// An index that holds all 20 assets, a little off target, with nothing left to settle.
pub fn held(id: IndexId, owner: OwnerId) -> (Vec<Event>, Index) {
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

pub fn new_event(event: &Event, owner: OwnerId) -> NewEvent {
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

pub async fn seed(log: &dyn EventLog, snapshots: &dyn SnapshotStore, count: usize) {
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
                schema: SCHEMA,
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

/// An engine's ports over these stores.
pub fn ports(log: Arc<dyn EventLog>, snapshots: Arc<dyn SnapshotStore>) -> Ports {
    let venue: Arc<dyn Venue> = Arc::new(Nobody);
    Ports {
        log,
        snapshots,
        clock: Arc::new(FixedClock),
        entropy: Arc::new(Counter::default()),
        feed: None,
        venues: BTreeMap::from([("paper".to_owned(), venue)]),
        transport: Arc::new(Nobody),
        personal: Arc::<MemoryKeys>::default(),
    }
}

pub fn operator() -> Caller {
    Caller {
        owner: OwnerId::from_u128(1),
        token: None,
        scopes: vec![Scope::Admin],
        request: EventKey::from_u128(1),
    }
}
