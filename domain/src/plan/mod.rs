//! The trade plan: which trades lead from what is held to what should be held.
//!
//! ```text
//! lines ─► want: how far, by scope, band, destination ─► order: lots, minima, parts ─► turnover
//!                 ▲                                                                        │
//!                 └── the same from where these trades lead, costs taken off ◄─────────────┘
//!                     until nothing is left to trade
//! ```
//!
//! A plan is made in rounds because costs make the whole smaller, and with it every target: a
//! plan that ignored that would leave work for the next one. As the last round finds nothing, a
//! plan right after this one is carried out as expected is empty.

mod cost;
mod draft;
mod funding;
mod limits;
mod purse;
mod rounds;
mod want;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::drift::{self, DriftError};
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::values::{Amount, Asset, Percent, Price, Quantity};

pub use cost::{OrderCost, PlanCost, cost};
pub(crate) use funding::{Wanted, fund};
pub(crate) use limits::Limits;
pub(crate) use purse::{basis, purse};

/// Buy or sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// Sell.
    Sell,
    /// Buy.
    Buy,
}

/// What a venue demands of an order in one instrument, and what it charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstrumentRules {
    /// Quantities are multiples of this; zero for the finest that is kept.
    pub lot_step: Quantity,
    /// Limit prices are multiples of this; zero for any price.
    pub tick_size: Price,
    /// Smaller quantities are refused.
    pub min_quantity: Quantity,
    /// Orders below this value are refused.
    pub min_notional: Amount,
    /// Orders above this value are refused.
    pub max_notional: Option<Amount>,
    /// Fee in per cent of the notional, taken in cash.
    pub fee: Percent,
    /// Expected distance of a fill from the snapshot price, per cent, against the trader.
    pub slippage: Percent,
}

impl InstrumentRules {
    /// A venue that demands nothing and charges nothing.
    pub const NONE: Self = Self {
        lot_step: Quantity::ZERO,
        tick_size: Price::ZERO,
        min_quantity: Quantity::ZERO,
        min_notional: Amount::ZERO,
        max_notional: None,
        fee: Percent::ZERO,
        slippage: Percent::ZERO,
    };
}

/// Why a line is not traded, or not in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LineReason {
    /// On target already: nothing to trade. Not listed.
    OnTarget,
    /// Below the index's or the venue's minimum.
    BelowMinNotional,
    /// Less than one lot.
    BelowLotStep,
    /// Trimmed to as many orders of the largest size as a plan may have; the rest follows in a
    /// later rebalance.
    TrimmedToMaxNotional,
    /// Trimmed to the cash that is there.
    TrimmedToCash,
    /// Numbers that do not fit.
    Arithmetic,
    /// The kill switch lets nothing be bought.
    TradingReduced,
    /// The owner excludes it from trading.
    Locked,
    /// Off target, but where scope and destination leave it.
    WithinBand,
    /// Trimmed to the turnover of one rebalance, or left out for it; the rest follows later.
    TrimmedToTurnover,
    /// Below the index's minimum in per cent of its value.
    BelowMinPercent,
    /// Below the venue's smallest quantity.
    BelowMinQuantity,
}

/// One trade of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedOrder {
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// A multiple of the lot step, above zero.
    pub quantity: Quantity,
    /// The price that the plan works with.
    pub price: Price,
    /// Quantity × price.
    pub notional: Amount,
}

/// A line that is not traded, or not in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedLine {
    /// The asset.
    pub asset: Asset,
    /// Why.
    pub reason: LineReason,
}

/// A plan: sells first, then buys, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct TradePlan {
    /// The trades, in order.
    pub orders: Vec<PlannedOrder>,
    /// The lines that are skipped or trimmed.
    pub skipped: Vec<SkippedLine>,
}

impl TradePlan {
    /// What is left of it while nothing may be bought.
    #[must_use]
    pub fn without_buys(mut self) -> Self {
        let (sells, buys) = self
            .orders
            .into_iter()
            .partition(|order| order.side == Side::Sell);
        self.orders = sells;
        let buys: Vec<PlannedOrder> = buys;
        for buy in buys {
            self.note(buy.asset, LineReason::TradingReduced);
        }
        self
    }

    /// Notes why a line is not traded in full; the last reason of a line is the binding one.
    fn note(&mut self, asset: Asset, reason: LineReason) {
        match self.skipped.iter_mut().find(|line| line.asset == asset) {
            Some(line) => line.reason = reason,
            None => self.skipped.push(SkippedLine { asset, reason }),
        }
    }
}

/// Plans the way from the holdings of an index to its targets at the given prices.
///
/// Targets are shares of the value with cash, without the cash buffer and locked lines, that is
/// left when the plan has been carried out: fees and expected slippage are taken off. Buys are
/// sized from the cash that is there after the sells. `rules` gives each asset's venue rules.
///
/// The same input gives the same plan, byte for byte. When it is carried out as expected, a plan
/// from there is empty, unless a line was [`LineReason::TrimmedToTurnover`] or
/// [`LineReason::TrimmedToMaxNotional`].
pub fn plan(
    index: &Index,
    prices: &PriceSnapshot,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<TradePlan, DriftError> {
    let valuation = drift::value(index, prices)?;
    let start = draft::State::new(index, &valuation, rules)?;
    let settled = rounds::settle(index, &start, valuation.total)?;
    let mut plan = TradePlan::default();
    for (place, net) in start.places.iter().zip(&settled.net) {
        let (side, quantity) = rounds::side_of(*net);
        if !quantity.is_zero() {
            let orders = place
                .limits
                .split(place.line.asset, side, quantity, place.line.price)?;
            plan.orders.extend(orders);
        }
    }
    sort_orders(&mut plan.orders);
    for ((place, net), reason) in start.places.iter().zip(&settled.net).zip(settled.reasons) {
        if let Some(reason) = reason.filter(|reason| is_told(*reason, *net)) {
            plan.note(place.line.asset, reason);
        }
    }
    Ok(plan)
}

/// A line that is traded may be off by what rounding leaves, which is nothing to tell.
fn is_told(reason: LineReason, net: Decimal) -> bool {
    match reason {
        LineReason::OnTarget => false,
        LineReason::TrimmedToMaxNotional
        | LineReason::TrimmedToCash
        | LineReason::TrimmedToTurnover
        | LineReason::Arithmetic => true,
        LineReason::BelowMinNotional
        | LineReason::BelowLotStep
        | LineReason::TradingReduced
        | LineReason::Locked
        | LineReason::WithinBand
        | LineReason::BelowMinPercent
        | LineReason::BelowMinQuantity => net.is_zero(),
    }
}

/// Sells first, then buys, largest first, then by asset: the same input gives the same plan.
fn sort_orders(orders: &mut [PlannedOrder]) {
    orders.sort_by(|a, b| {
        let sells_first = (a.side == Side::Buy).cmp(&(b.side == Side::Buy));
        sells_first
            .then(b.notional.cmp(&a.notional))
            .then(a.asset.cmp(&b.asset))
    });
}
