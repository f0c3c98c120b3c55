//! The books: every state that the log tells of, folded from its events. The audit's view: as
//! of any position or time, without an engine.

mod rebalances;

use std::collections::BTreeMap;

use evenkeel_domain::Event;
use evenkeel_domain::access::{self, Owner};
use evenkeel_domain::index::{self, Index};
use evenkeel_domain::job::{self, Job};
use evenkeel_domain::market::Market;
use evenkeel_domain::trading::Trading;
use evenkeel_domain::values::{IndexId, OwnerId, RebalanceId, Timestamp, WebhookId};
use evenkeel_domain::webhook::{self, Webhook};
use evenkeel_events::codec;
use evenkeel_events::{EventLog, Pages, Position, Recorded};

use crate::journal::{self, ReplayError};

pub use rebalances::{OrderRecord, OrderStatus, RebalanceRecord};

/// Events read per page.
const PAGE: usize = 2_048;

/// The layout of index states in snapshots that this program takes up.
pub const INDEX_SNAPSHOT_SCHEMA: u16 = crate::index::SNAPSHOT_SCHEMA;

/// How far to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end.
    Head,
    /// Up to and with this position.
    Position(Position),
    /// Up to and with the events recorded at this time.
    Time(Timestamp),
}

impl Until {
    fn includes(self, recorded: &Recorded) -> bool {
        match self {
            Self::Head => true,
            Self::Position(position) => recorded.position <= position,
            Self::Time(time) => recorded.metadata.recorded_at_us <= time.as_micros(),
        }
    }
}

/// All states at a position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Books {
    /// The last position folded.
    pub position: Position,
    /// Indexes, deleted ones too.
    pub indexes: BTreeMap<IndexId, Index>,
    /// Subscriptions, deleted ones too.
    pub webhooks: BTreeMap<WebhookId, Webhook>,
    /// Owners with their tokens in force.
    pub owners: BTreeMap<OwnerId, Owner>,
    /// Jobs by stream.
    pub jobs: BTreeMap<String, Job>,
    /// Prices.
    pub market: Market,
    /// The kill switch for all indexes.
    pub trading: Trading,
    /// Rebalances, ended ones too unless the books are of what runs only.
    pub rebalances: BTreeMap<RebalanceId, RebalanceRecord>,
    only_running: bool,
}

impl Books {
    /// Books that forget a rebalance when it has ended: they stay small over any history.
    pub fn of_what_runs() -> Self {
        Self {
            only_running: true,
            ..Self::default()
        }
    }

    /// Replays a log.
    pub async fn replay(log: &dyn EventLog, until: Until) -> Result<Self, ReplayError> {
        let mut books = Self::default();
        let mut pages = Pages::after(log, 0, PAGE);
        loop {
            let page = pages.next().await?;
            if page.is_empty() {
                return Ok(books);
            }
            for recorded in &page {
                if !books.adopt_until(recorded, until)? {
                    return Ok(books);
                }
            }
        }
    }

    /// Folds the next event of the log unless it lies beyond `until`; says whether it did.
    pub fn adopt_until(&mut self, recorded: &Recorded, until: Until) -> Result<bool, ReplayError> {
        let included = until.includes(recorded);
        if included {
            self.adopt(recorded)?;
        }
        Ok(included)
    }

    /// What a snapshot of this stream must say now; none for a stream that has no snapshots.
    pub fn snapshot_state(&self, stream: &str) -> Option<Vec<u8>> {
        let index = self.indexes.get(&stream.parse::<IndexId>().ok()?)?;
        codec::encode(index).ok()
    }

    /// Folds one event, the next one of the log.
    pub fn adopt(&mut self, recorded: &Recorded) -> Result<(), ReplayError> {
        let (stream, event) = (recorded.stream.as_str(), journal::decode(recorded)?);
        self.position = recorded.position;
        match &event {
            Event::Index(event) => fold(&mut self.indexes, stream, |state| {
                index::apply(state, event);
            }),
            Event::Rebalance(event) => {
                fold(&mut self.indexes, stream, |state| {
                    index::apply_rebalance(state, event);
                });
                if let Ok(index_id) = stream.parse() {
                    rebalances::apply(&mut self.rebalances, index_id, event, !self.only_running);
                }
            }
            Event::Webhook(event) => fold(&mut self.webhooks, stream, |state| {
                webhook::apply(state, event);
            }),
            Event::Access(event) => fold(&mut self.owners, stream, |state| {
                access::apply(state, event);
            }),
            Event::Market(event) => self.market.apply(event),
            Event::Trading(event) => self.trading.apply(event),
            // Nothing is decided by what a client was answered.
            Event::Request(_) => {}
            Event::Job(event) => {
                let mut state = self.jobs.remove(stream);
                job::apply(&mut state, event);
                self.jobs
                    .extend(state.map(|state| (stream.to_owned(), state)));
            }
        }
        Ok(())
    }
}

/// Folds an event into the state that its stream names.
fn fold<K: Ord + std::str::FromStr, S>(
    states: &mut BTreeMap<K, S>,
    stream: &str,
    apply: impl FnOnce(&mut Option<S>),
) {
    let Ok(id) = stream.parse::<K>() else { return };
    let mut state = states.remove(&id);
    apply(&mut state);
    states.extend(state.map(|state| (id, state)));
}
