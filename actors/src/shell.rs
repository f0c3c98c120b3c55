//! What every actor shares: the journal, the ports, the settings, the read models, the counters.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use evenkeel_domain::index::Index;
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::values::{Asset, EventKey, Timestamp};
use evenkeel_events::Position;
use evenkeel_snapshots::SnapshotStore;
use tokio::sync::{Semaphore, watch};

use crate::access::AccessBook;
use crate::directory::{Directory, Universe, WebhookBook};
use crate::engine::Settings;
use crate::ids::Ids;
use crate::journal::Journal;
use crate::lanes::Lanes;
use crate::market::MarketMsg;
use crate::ports::{Clock, PersonalKeys, PriceFeed, Venue, WebhookTransport};
use crate::root::Handles;
use crate::tally::Tally;
use crate::trading::TradingBook;

/// Shared by all actors of one engine.
pub(crate) struct Shell {
    pub(crate) journal: Journal,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) feed: Option<Arc<dyn PriceFeed>>,
    pub(crate) venues: BTreeMap<String, Arc<dyn Venue>>,
    pub(crate) transport: Arc<dyn WebhookTransport>,
    /// Where attempts of deliveries find their places.
    pub(crate) lanes: Lanes,
    pub(crate) personal: Arc<dyn PersonalKeys>,
    pub(crate) settings: Settings,
    pub(crate) tally: Tally,
    pub(crate) directory: Directory,
    pub(crate) webhooks: WebhookBook,
    pub(crate) access: AccessBook,
    pub(crate) trading: TradingBook,
    /// Orders in flight, by the name of the venue's account.
    pub(crate) in_flight: BTreeMap<String, Arc<Semaphore>>,
    pub(crate) universe: Universe,
    pub(crate) handles: Handles,
    /// Checks that have something to append, at once: a cycle that finds news in every index
    /// must not hold all of it in memory.
    pub(crate) follow_ups: Semaphore,
    /// The newest prices; the market actor writes, everybody reads.
    pub(crate) prices: watch::Sender<Arc<PriceSnapshot>>,
    /// Where the dispatcher of this process began.
    pub(crate) dispatched_from: OnceLock<Position>,
}

impl Shell {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn new_key(&self) -> EventKey {
        EventKey::from_u128(self.ids.next())
    }

    pub(crate) fn latest_prices(&self) -> Arc<PriceSnapshot> {
        Arc::clone(&self.prices.borrow())
    }

    /// Has the market keep prices for every asset of an index.
    pub(crate) fn track(&self, index: &Index) {
        let constituents = index.definition.constituents.iter().map(|line| line.asset);
        let assets: Vec<Asset> = constituents
            .chain(index.holdings.iter().map(|line| line.asset))
            .collect();
        if self.universe.extend(&assets) {
            // A market that is down reads the universe when it comes up.
            let _ = self.handles.market.cast(MarketMsg::Track);
        }
    }
}
