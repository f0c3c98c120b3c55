//! Why an index was traded, or not: its check at any time, made again from the log by the same
//! rules.

use std::collections::BTreeMap;

use evenkeel_domain::Event;
use evenkeel_domain::check::{self, Explanation};
use evenkeel_domain::index::{self, Index};
use evenkeel_domain::market::{Market, MarketEvent, PriceProblem, PriceSnapshot, Quote};
use evenkeel_domain::trading::Trading;
use evenkeel_domain::values::{Asset, IndexId, Price, Timestamp};
use evenkeel_events::{Direction, Recorded, StreamId, Version};

use super::audit::{read_error, replay_error};
use super::{Caller, Engine, EngineError};
use crate::journal;
use crate::ports::NO_RULES;
use crate::streams;

/// Events read at once.
const PAGE: usize = 256;

/// Price events that are looked at, from the newest on, for the prices that held then.
const PRICE_EVENTS_MAX: usize = 100_000;

/// An index as it was, and what a check says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedCheck {
    /// The time that it is explained at.
    pub at: Timestamp,
    /// The index then.
    pub index: Index,
    /// The version of its stream then.
    pub version: Version,
    /// Prices then, or what was wrong with them.
    pub prices: Vec<(Asset, Result<Price, PriceProblem>)>,
    /// What a check says.
    pub explanation: Explanation,
}

impl Engine {
    /// Explains the check of an index at a time: what it held, which prices there were, what the
    /// rules say. What a venue demands is not in the log: its rules are those of today.
    pub async fn explain(
        &self,
        caller: &Caller,
        id: IndexId,
        at: Timestamp,
    ) -> Result<ExplainedCheck, EngineError> {
        // It reads much: a place is held as for a command.
        let _place = self.admit()?;
        self.index(caller, id).await?;
        let (index, version) = self.index_at(id, at).await?;
        let assets = index.definition.constituents.iter().map(|line| line.asset);
        let held = index.holdings.iter().map(|holding| holding.asset);
        let mut assets: Vec<Asset> = assets.chain(held).collect();
        assets.sort_unstable();
        assets.dedup();
        let market = self.market_at(&assets, at).await?;
        let guard = &self.shell().settings.guard;
        let price = |asset: &Asset| (*asset, market.price(*asset, guard, at));
        let prices: Vec<_> = assets.iter().map(price).collect();
        let all = self.trading_at(at).await?.mode;
        let venue = self.shell().venues.get(index.definition.account.as_str());
        let rules = |asset| venue.map_or(NO_RULES, |venue| venue.rules(asset));
        let snapshot = PriceSnapshot::new(0, 0, prices.clone());
        let explanation = check::explain(&index, &snapshot, &rules, all, at);
        Ok(ExplainedCheck {
            at,
            index,
            version,
            prices,
            explanation,
        })
    }

    async fn index_at(&self, id: IndexId, at: Timestamp) -> Result<(Index, Version), EngineError> {
        let mut found = None;
        let adopt = |event: &Event| match event {
            Event::Index(event) => index::apply(&mut found, event),
            Event::Rebalance(event) => index::apply_rebalance(&mut found, event),
            _ => {}
        };
        let version = self.fold_until(&streams::index(id), at, adopt).await?;
        Ok((found.ok_or(EngineError::NotFound("index"))?, version))
    }

    async fn trading_at(&self, at: Timestamp) -> Result<Trading, EngineError> {
        let mut trading = Trading::default();
        let adopt = |event: &Event| {
            if let Event::Trading(event) = event {
                trading.apply(event);
            }
        };
        self.fold_until(&streams::trading(), at, adopt).await?;
        Ok(trading)
    }

    /// Feeds what a stream held at a time to `adopt`; gives its version then.
    async fn fold_until(
        &self,
        stream: &StreamId,
        at: Timestamp,
        mut adopt: impl FnMut(&Event) + Send,
    ) -> Result<Version, EngineError> {
        let mut after = 0;
        loop {
            let log = &self.shell().journal.log;
            let page = log.read_stream(stream, after, PAGE, Direction::Forward);
            let page = page.await.map_err(read_error)?;
            for recorded in &page {
                if is_later(recorded, at) {
                    return Ok(after);
                }
                adopt(&journal::decode(recorded).map_err(replay_error)?);
                after = recorded.version;
            }
            if page.len() < PAGE {
                return Ok(after);
            }
        }
    }

    /// The quotes of assets at a time, looked for from the newest price on.
    async fn market_at(&self, assets: &[Asset], at: Timestamp) -> Result<Market, EngineError> {
        let (mut quotes, mut held) = (BTreeMap::new(), BTreeMap::new());
        let (mut before, mut looked_at) = (Version::MAX, 0);
        let stream = streams::market();
        while quotes.len() < assets.len() && looked_at < PRICE_EVENTS_MAX {
            let log = &self.shell().journal.log;
            let page = log.read_stream(&stream, before, PAGE, Direction::Backward);
            let page = page.await.map_err(read_error)?;
            looked_at += page.len();
            for recorded in page.iter().filter(|recorded| !is_later(recorded, at)) {
                match journal::decode(recorded).map_err(replay_error)? {
                    Event::Market(MarketEvent::PricesRecorded(recorded)) => {
                        for (asset, price) in recorded.prices {
                            quotes.entry(asset).or_insert(Quote {
                                price,
                                at: recorded.at,
                                held: held.get(&asset).copied(),
                            });
                        }
                    }
                    // Newer than the price that it is held back against.
                    Event::Market(MarketEvent::PriceHeld(it)) => {
                        held.entry(it.asset).or_insert((it.seen, it.at));
                    }
                    _ => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => before = last.version,
                _ => break,
            }
            quotes.retain(|asset, _| assets.binary_search(asset).is_ok());
        }
        Ok(Market { quotes })
    }
}

fn is_later(recorded: &Recorded, at: Timestamp) -> bool {
    recorded.metadata.recorded_at_us > at.as_micros()
}
