//! The market actor: one fetch per cycle whatever the number of indexes, one shared snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::market::{
    self, Market, MarketEvent, PriceProblem, PriceSnapshot, RecordPrices,
};
use evenkeel_domain::values::{Asset, Price};
use evenkeel_events::StreamId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::engine::EngineError;
use crate::journal::Origin;
use crate::shell::Shell;
use crate::streams;

/// Longest wait for a feed: a cycle that waits longer has failed.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// What the market is told.
pub(crate) enum MarketMsg {
    /// Fetch (where a feed is polled) and publish what a cycle is to work on.
    Refresh(Origin, oneshot::Sender<Arc<PriceSnapshot>>),
    /// Take in pushed prices; answers the assets whose price is held back.
    Push(
        RecordPrices,
        Origin,
        oneshot::Sender<Result<Vec<Asset>, EngineError>>,
    ),
    /// The universe has grown.
    Track,
}

/// The actor.
pub(crate) struct MarketActor;

/// Its state.
pub(crate) struct MarketState {
    shell: Arc<Shell>,
    stream: StreamId,
    version: u64,
    market: Market,
    /// What was wrong with the last fetch, by asset.
    problems: BTreeMap<Asset, PriceProblem>,
}

impl Actor for MarketActor {
    type Msg = MarketMsg;
    type State = MarketState;
    type Arguments = Arc<Shell>;

    async fn pre_start(
        &self,
        _: ActorRef<MarketMsg>,
        shell: Arc<Shell>,
    ) -> Result<MarketState, ActorProcessingErr> {
        let (stream, mut market) = (streams::market(), Market::default());
        let version = shell
            .journal
            .replay(&stream, 0, |event| adopt(&mut market, event))
            .await?;
        let problems = BTreeMap::new();
        let mut state = MarketState {
            shell,
            stream,
            version,
            market,
            problems,
        };
        state.publish();
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<MarketMsg>,
        message: MarketMsg,
        state: &mut MarketState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MarketMsg::Refresh(origin, reply) => {
                state.poll(&origin).await?;
                state.publish();
                let _ = reply.send(state.shell.latest_prices());
            }
            MarketMsg::Push(command, origin, reply) => {
                let held = state.push(&command, &origin).await?;
                state.publish();
                let _ = reply.send(held);
            }
            MarketMsg::Track => state.publish(),
        }
        Ok(())
    }
}

fn adopt(market: &mut Market, event: &Event) {
    if let Event::Market(event) = event {
        market.apply(event);
    }
}

impl MarketState {
    /// One fetch of everything that is tracked. A failed one leaves every asset without a price
    /// for this cycle, and says why.
    async fn poll(&mut self, origin: &Origin) -> Result<(), ActorProcessingErr> {
        let Some(feed) = self.shell.feed.clone() else {
            return Ok(());
        };
        let assets: Vec<Asset> = self.shell.universe.all().iter().copied().collect();
        if assets.is_empty() {
            return Ok(());
        }
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, feed.fetch(&assets)).await;
        let fetched = match fetched {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(error)) => {
                tracing::warn!(%error, "no prices in this cycle");
                self.feed_failed(&assets);
                return Ok(());
            }
            Err(_) => {
                tracing::warn!(timeout = ?FETCH_TIMEOUT, "no prices in this cycle: the feed did not answer in time");
                self.feed_failed(&assets);
                return Ok(());
            }
        };
        self.problems = problems(&assets, &fetched.prices);
        let command = RecordPrices {
            source: feed.source(),
            at: fetched.at,
            prices: fetched.prices,
            confirm: false,
        };
        self.record(&command, origin).await?;
        Ok(())
    }

    fn feed_failed(&mut self, assets: &[Asset]) {
        self.problems = assets
            .iter()
            .map(|asset| (*asset, PriceProblem::FeedFailed))
            .collect();
    }

    async fn push(
        &mut self,
        command: &RecordPrices,
        origin: &Origin,
    ) -> Result<Result<Vec<Asset>, EngineError>, ActorProcessingErr> {
        if self.shell.feed.is_some() {
            return Ok(Err(EngineError::NotPushFeed));
        }
        self.record(command, origin).await?;
        let held = |(asset, _): &&(Asset, Price)| {
            self.market
                .quotes
                .get(asset)
                .is_some_and(|quote| quote.held.is_some())
        };
        Ok(Ok(command
            .prices
            .iter()
            .filter(held)
            .map(|(asset, _)| *asset)
            .collect()))
    }

    /// An append that fails ends the actor; the engine's supervisor starts it from the log.
    async fn record(
        &mut self,
        command: &RecordPrices,
        origin: &Origin,
    ) -> Result<(), ActorProcessingErr> {
        let decided = market::decide(&self.market, command, &self.shell.settings.guard);
        if decided.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = decided.into_iter().map(Event::Market).collect();
        self.version = self
            .shell
            .journal
            .append(&self.stream, self.version, &events, origin)
            .await?;
        for event in &events {
            adopt(&mut self.market, event);
            if let Event::Market(MarketEvent::PriceHeld(held)) = event {
                tracing::warn!(asset = %held.asset, accepted = %held.accepted, seen = %held.seen, "a price jumped and is held back until it is confirmed");
            }
        }
        Ok(())
    }

    /// Publishes what a cycle sees now, if it differs from what it saw before.
    fn publish(&mut self) {
        let (guard, now) = (self.shell.settings.guard, self.shell.now());
        let mut assets = self.shell.universe.all().clone();
        assets.extend(self.market.quotes.keys());
        let price = |asset: Asset| match self.problems.get(&asset) {
            Some(problem) => Err(*problem),
            None => self.market.price(asset, &guard, now),
        };
        let entries: Vec<_> = assets
            .into_iter()
            .map(|asset| (asset, price(asset)))
            .collect();
        let last = self.shell.latest_prices();
        if last.entries() == entries {
            return;
        }
        let same_assets = last
            .entries()
            .iter()
            .map(|e| e.0)
            .eq(entries.iter().map(|e| e.0));
        let layout = if same_assets {
            last.layout
        } else {
            last.layout + 1
        };
        // Larger than any number of an earlier process: an index remembers the last one it saw.
        let seq = u64::try_from(now.as_micros())
            .unwrap_or_default()
            .max(last.seq + 1);
        self.shell
            .prices
            .send_replace(Arc::new(PriceSnapshot::new(seq, layout, entries)));
    }
}

/// What a fetch says is wrong: assets it left out, and zeros.
fn problems(assets: &[Asset], prices: &[(Asset, Price)]) -> BTreeMap<Asset, PriceProblem> {
    let given: BTreeMap<Asset, Price> = prices.iter().copied().collect();
    let problem = |asset: &Asset| match given.get(asset) {
        None => Some((*asset, PriceProblem::Missing)),
        Some(price) if !price.is_positive() => Some((*asset, PriceProblem::Zero)),
        Some(_) => None,
    };
    assets.iter().filter_map(problem).collect()
}
