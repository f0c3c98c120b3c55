//! The trade plan: which trades lead from what is held to what should be held.

use serde::{Deserialize, Serialize};

use crate::drift::DriftError;
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::values::{Amount, Asset, Percent, Price, Quantity};

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
    /// Quantities are multiples of this.
    pub lot_step: Quantity,
    /// Orders below this value are refused.
    pub min_notional: Amount,
    /// Fee in per cent of the notional, taken in cash.
    pub fee: Percent,
    /// Expected distance of a fill from the snapshot price, per cent, against the trader.
    pub slippage: Percent,
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
    /// Trimmed to the largest trade; the rest follows in a later rebalance.
    TrimmedToMaxNotional,
    /// Trimmed to the cash that is there.
    TrimmedToCash,
    /// Numbers that do not fit.
    Arithmetic,
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

/// Plans the way from the holdings of an index to its targets at the given prices.
///
/// Targets are shares of the total value with cash before trading. Buys are sized from the
/// cash that is there after the sells, fees and expected slippage taken off; when it does not
/// suffice all buys shrink by the same factor. `rules` gives each asset's venue rules.
pub fn plan(
    index: &Index,
    prices: &PriceSnapshot,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<TradePlan, DriftError> {
    let _ = (index, prices, rules);
    unimplemented!()
}
