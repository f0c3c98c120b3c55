//! Prices: what is accepted, what is held back, and the snapshot that a cycle works on.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::values::{Asset, Percent, Price, Span, Timestamp};

/// Prices in one event: 500 of them stay under 20 KiB encoded.
pub const PRICES_PER_EVENT_MAX: usize = 500;

/// Prices as they come from a feed or a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPrices {
    /// Where they come from: `push`, `csv`, `http`.
    pub source: Source,
    /// The time that the prices are of.
    pub at: Timestamp,
    /// Asset and price; a price of zero is not accepted.
    pub prices: Vec<(Asset, Price)>,
    /// The operator vouches for jumps.
    pub confirm: bool,
}

/// Where prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Pushed over the API or by the embedding program.
    Push,
    /// Replayed from a file.
    Csv,
    /// Fetched over HTTP.
    Http,
}

/// What happened to prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarketEvent {
    /// Prices were accepted.
    PricesRecorded(PricesRecorded),
    /// A price jumped too far and is held back until it is confirmed.
    PriceHeld(PriceHeld),
}

/// `prices.recorded` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PricesRecorded {
    /// Where they come from.
    pub source: Source,
    /// The time that the prices are of.
    pub at: Timestamp,
    /// Accepted prices, at most [`PRICES_PER_EVENT_MAX`].
    pub prices: Vec<(Asset, Price)>,
}

/// `price.held` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceHeld {
    /// The asset.
    pub asset: Asset,
    /// The last accepted price.
    pub accepted: Price,
    /// The price that was seen.
    pub seen: Price,
    /// When it was seen.
    pub at: Timestamp,
}

/// How far a price may move before it is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceGuard {
    /// Largest move against the last accepted price, in per cent of it.
    pub max_jump: Percent,
    /// How much later a second snapshot must say the same.
    pub confirm_after: Span,
    /// Older prices are stale.
    pub max_age: Span,
}

/// The last accepted price of an asset, and a held one if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The last accepted price.
    pub price: Price,
    /// The time that it is of.
    pub at: Timestamp,
    /// A price that is held back: the price, and when it was first seen.
    pub held: Option<(Price, Timestamp)>,
}

/// The market: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Market {
    /// By asset.
    pub quotes: BTreeMap<Asset, Quote>,
}

/// Why an asset cannot be traded now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum PriceProblem {
    /// No price was ever given, or the feed left it out.
    #[error("it has no price")]
    Missing,
    /// The feed gave zero.
    #[error("its price is zero")]
    Zero,
    /// The last price is too old.
    #[error("its price is stale")]
    Stale,
    /// The price jumped too far and waits for a confirmation.
    #[error("its price jumped and is not confirmed")]
    Jump,
    /// The feed failed as a whole.
    #[error("the price feed failed")]
    FeedFailed,
}

/// All prices as one cycle sees them: immutable, shared by all index actors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceSnapshot {
    /// Changes whenever any price or problem changes.
    pub seq: u64,
    /// Changes whenever the set of assets changes: until then a slot stays valid.
    pub layout: u64,
    entries: Vec<(Asset, Result<Price, PriceProblem>)>,
}

impl PriceSnapshot {
    /// A snapshot; entries are sorted by asset here.
    pub fn new(
        seq: u64,
        layout: u64,
        mut entries: Vec<(Asset, Result<Price, PriceProblem>)>,
    ) -> Self {
        entries.sort_unstable_by_key(|(asset, _)| *asset);
        entries.dedup_by_key(|(asset, _)| *asset);
        Self {
            seq,
            layout,
            entries,
        }
    }

    /// The price of an asset, or why there is none to trade on.
    pub fn price(&self, asset: Asset) -> Result<Price, PriceProblem> {
        self.slot(asset)
            .map_or(Err(PriceProblem::Missing), |slot| self.at_slot(slot))
    }

    /// The place of an asset, valid while [`Self::layout`] stays.
    pub fn slot(&self, asset: Asset) -> Option<u32> {
        let found = self
            .entries
            .binary_search_by_key(&asset, |(asset, _)| *asset)
            .ok()?;
        u32::try_from(found).ok()
    }

    /// The price at a slot.
    pub fn at_slot(&self, slot: u32) -> Result<Price, PriceProblem> {
        let entry = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.entries.get(slot));
        entry.map_or(Err(PriceProblem::Missing), |(_, price)| *price)
    }

    /// All assets with their prices or problems, sorted.
    pub fn entries(&self) -> &[(Asset, Result<Price, PriceProblem>)] {
        &self.entries
    }
}

/// Which events a batch of prices leads to: accepted ones in chunks, held ones one by one.
///
/// A price of zero is left out (the caller reports it as [`PriceProblem::Zero`]). A price that
/// moves more than `max_jump` per cent against the last accepted one is held, unless the
/// operator confirms it or an earlier held price at least `confirm_after` before lies within
/// `max_jump` per cent of it.
///
/// A price that is older than the last accepted one of its asset came out of order and is left
/// out. Of an asset that is given twice the last price counts.
pub fn decide(market: &Market, command: &RecordPrices, guard: &PriceGuard) -> Vec<MarketEvent> {
    let given: BTreeMap<Asset, Price> = command.prices.iter().copied().collect();
    let mut accepted = Vec::with_capacity(given.len());
    let mut held = Vec::new();
    for (asset, price) in given {
        match judge(market.quotes.get(&asset), price, command, guard) {
            Judgement::Accept => accepted.push((asset, price)),
            Judgement::Hold(last) => held.push(MarketEvent::PriceHeld(PriceHeld {
                asset,
                accepted: last,
                seen: price,
                at: command.at,
            })),
            Judgement::Ignore => {}
        }
    }
    let recorded = accepted.chunks(PRICES_PER_EVENT_MAX).map(|prices| {
        MarketEvent::PricesRecorded(PricesRecorded {
            source: command.source,
            at: command.at,
            prices: prices.to_vec(),
        })
    });
    recorded.chain(held).collect()
}

/// What becomes of one price.
enum Judgement {
    Accept,
    /// Held back; the last accepted price stays.
    Hold(Price),
    /// Out of order, not a price, or held already.
    Ignore,
}

fn judge(
    quote: Option<&Quote>,
    price: Price,
    command: &RecordPrices,
    guard: &PriceGuard,
) -> Judgement {
    if !price.is_positive() {
        return Judgement::Ignore;
    }
    let Some(quote) = quote else {
        return Judgement::Accept;
    };
    if command.at < quote.at {
        return Judgement::Ignore;
    }
    if command.confirm || is_within(quote.price, price, guard.max_jump) {
        return Judgement::Accept;
    }
    match quote.held {
        Some((_, since)) if command.at < since => Judgement::Ignore,
        Some((candidate, since)) if is_within(candidate, price, guard.max_jump) => {
            if command.at >= since.plus(guard.confirm_after) {
                Judgement::Accept
            } else {
                Judgement::Ignore
            }
        }
        _ => Judgement::Hold(quote.price),
    }
}

/// Whether a price lies within `jump` per cent of another. Numbers that do not fit are a jump.
fn is_within(from: Price, to: Price, jump: Percent) -> bool {
    let moved = to.get().checked_sub(from.get());
    let moved = moved.and_then(|moved| moved.abs().checked_mul(Decimal::ONE_HUNDRED));
    let allowed = from.get().checked_mul(jump.get());
    matches!((moved, allowed), (Some(moved), Some(allowed)) if moved <= allowed)
}

impl Market {
    /// Adopts an event.
    pub fn apply(&mut self, event: &MarketEvent) {
        match event {
            MarketEvent::PricesRecorded(e) => {
                for (asset, price) in &e.prices {
                    let quote = Quote {
                        price: *price,
                        at: e.at,
                        held: None,
                    };
                    self.quotes.insert(*asset, quote);
                }
            }
            MarketEvent::PriceHeld(e) => {
                if let Some(quote) = self.quotes.get_mut(&e.asset) {
                    quote.held = Some((e.seen, e.at));
                }
            }
        }
    }

    /// What a cycle sees at `now` of one asset: the accepted price, or `Jump`, `Stale`, `Missing`.
    pub fn price(
        &self,
        asset: Asset,
        guard: &PriceGuard,
        now: Timestamp,
    ) -> Result<Price, PriceProblem> {
        let quote = self.quotes.get(&asset).ok_or(PriceProblem::Missing)?;
        if quote.held.is_some() {
            Err(PriceProblem::Jump)
        } else if now.since(quote.at) > guard.max_age {
            Err(PriceProblem::Stale)
        } else {
            Ok(quote.price)
        }
    }
}

#[cfg(test)]
mod tests;
