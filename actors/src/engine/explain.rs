//! Why an index was traded, or not: its check at any time, made again from the log by the same
//! rules.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use evenkeel_domain::Event;
use evenkeel_domain::check::{self, Explanation};
use evenkeel_domain::index::{self, Index};
use evenkeel_domain::market::{Market, MarketEvent, PriceProblem, PriceSnapshot, Quote};
use evenkeel_domain::trading::Trading;
use evenkeel_domain::values::{Asset, IndexId, Price, Timestamp};
use evenkeel_events::{Recorded, StreamId, Version};

use super::audit::replay_error;
use super::{Caller, Engine, EngineError};
use crate::journal;
use crate::ports::NO_RULES;
use crate::streams;

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
        self.allowed(caller, id)?;
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
        let version = self.state_at(&streams::index(id), at, adopt).await?;
        Ok((found.ok_or(EngineError::NotFound("index"))?, version))
    }

    async fn trading_at(&self, at: Timestamp) -> Result<Trading, EngineError> {
        let mut trading = Trading::default();
        let adopt = |event: &Event| {
            if let Event::Trading(event) = event {
                trading.apply(event);
            }
        };
        self.state_at(&streams::trading(), at, adopt).await?;
        Ok(trading)
    }

    async fn state_at(
        &self,
        stream: &StreamId,
        at: Timestamp,
        adopt: impl FnMut(&Event) + Send,
    ) -> Result<Version, EngineError> {
        let journal = &self.shell().journal;
        let replayed = journal.replay_until(stream, 0, Some(at), adopt).await;
        replayed.map_err(replay_error)
    }

    /// The quotes of assets at a time, looked for from the newest price on.
    async fn market_at(&self, assets: &[Asset], at: Timestamp) -> Result<Market, EngineError> {
        let (mut quotes, mut held) = (BTreeMap::new(), BTreeMap::new());
        let mut looked_at = 0;
        let visit = |recorded: &Recorded| {
            looked_at += 1;
            if journal::recorded_at(recorded) <= at {
                note(&journal::decode(recorded)?, assets, &mut quotes, &mut held);
            }
            let is_done = quotes.len() == assets.len() || looked_at == PRICE_EVENTS_MAX;
            Ok(if is_done {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        let (journal, stream) = (&self.shell().journal, streams::market());
        let walked = journal.walk_back(&stream, Version::MAX, visit).await;
        walked.map_err(replay_error)?;
        Ok(Market { quotes })
    }
}

/// Notes the newest price of each asset, and one that is held back against it, which is newer.
fn note(
    event: &Event,
    assets: &[Asset],
    quotes: &mut BTreeMap<Asset, Quote>,
    held: &mut BTreeMap<Asset, (Price, Timestamp)>,
) {
    match event {
        Event::Market(MarketEvent::PricesRecorded(recorded)) => {
            let wanted = recorded.prices.iter();
            let wanted = wanted.filter(|(asset, _)| assets.binary_search(asset).is_ok());
            for (asset, price) in wanted {
                quotes.entry(*asset).or_insert_with(|| Quote {
                    price: *price,
                    at: recorded.at,
                    held: held.get(asset).copied(),
                });
            }
        }
        Event::Market(MarketEvent::PriceHeld(it)) => {
            held.entry(it.asset).or_insert((it.seen, it.at));
        }
        _ => {}
    }
}
