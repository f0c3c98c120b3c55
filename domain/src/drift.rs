//! Drift: how far current weights are from their targets, in percentage points of the
//! total value with cash.

use serde::Serialize;

use crate::index::{Constituent, Holding, Index};
use crate::market::{PriceProblem, PriceSnapshot};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

/// Drift below a millionth of a point is rounding dust of lots, not drift.
pub const DUST: Percent = Percent::new(rust_decimal::Decimal::from_parts(1, 0, 0, false, 6));

/// Why drift cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DriftError {
    /// An asset has no usable price.
    #[error("asset {0} cannot be valued: {1}")]
    Price(Asset, PriceProblem),
    /// The index holds nothing of value.
    #[error("the index has no value yet")]
    NoValue,
    /// A number that does not fit.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// One asset of a drift report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetDrift {
    /// The asset.
    pub asset: Asset,
    /// Target weight, per cent; 0 for a holding that is no constituent.
    pub target: Percent,
    /// Current weight, per cent.
    pub current: Percent,
    /// Current minus target, percentage points.
    pub drift: Percent,
    /// Absolute drift in per cent of the target; none without a target.
    pub relative_drift: Option<Percent>,
    /// Quantity held.
    pub quantity: Quantity,
    /// Value at the price.
    pub value: Amount,
    /// The price.
    pub price: Price,
}

/// Drift in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// Value of all holdings and cash.
    pub total_value: Amount,
    /// Largest absolute drift of an asset, percentage points.
    pub drift: Percent,
    /// The asset that has it.
    pub worst: Asset,
    /// Half the sum of absolute drifts, cash included: the share that must change hands.
    pub turnover: Percent,
    /// Constituents in their order, then other holdings.
    pub assets: Vec<AssetDrift>,
}

/// The two figures that a check needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// Value of all holdings and cash.
    pub total_value: Amount,
    /// Largest absolute drift, percentage points.
    pub drift: Percent,
    /// The asset that has it.
    pub worst: Asset,
}

/// The places of an index's assets in a snapshot, found once per snapshot layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    layout: Option<u64>,
    /// Per line (constituents, then other holdings): slot in the snapshot.
    slots: Box<[u32]>,
}

/// Drift of an index in full.
pub fn report(index: &Index, prices: &PriceSnapshot) -> Result<DriftReport, DriftError> {
    let _ = (index, prices);
    unimplemented!()
}

/// The headline of the same drift, without allocating: the hot path of a cycle.
pub fn headline(
    index: &Index,
    prices: &PriceSnapshot,
    slots: &mut Slots,
) -> Result<Headline, DriftError> {
    let _ = (index, prices, slots, None::<(Constituent, Holding)>);
    unimplemented!()
}
