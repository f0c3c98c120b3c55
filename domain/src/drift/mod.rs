//! Drift: how far current weights are from their targets, in percentage points of the
//! total value with cash.
//!
//! ```text
//! shared = total − cash buffer − locked lines
//! aim    = target × shared / (100 − targets of locked lines)
//! excess = value − aim                          drift = excess × 100 / shared
//! ```
//!
//! Without a buffer and locks `shared` is the total. The line with the largest excess has the
//! largest absolute drift, so a check divides once per index and not once per line. [`report`]
//! and [`headline`] share these formulas, which is why they agree to the last digit.

mod basis;
mod headline;
mod report;
mod slots;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

use crate::index::{Band, Index};
use crate::market::{PriceProblem, PriceSnapshot};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

pub(crate) use basis::{Basis, Locked};
pub use headline::{Headline, Outside, headline};
pub use report::{AssetDrift, DriftReport, report};
pub use slots::Slots;

/// Drift below a millionth of a point is rounding dust of lots, not drift.
pub const DUST: Percent = Percent::new(Decimal::from_parts(1, 0, 0, false, 6));

/// Why drift cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DriftError {
    /// An asset has no usable price.
    #[error("asset {0} cannot be valued: {1}")]
    Price(Asset, PriceProblem),
    /// The index holds nothing of value beyond its cash buffer and its locked lines.
    #[error("the index has no value yet")]
    NoValue,
    /// A number that does not fit.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// An asset of an index with its value: a constituent, or a holding with a target of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) asset: Asset,
    pub(crate) target: Percent,
    pub(crate) band: Option<Band>,
    pub(crate) locked: bool,
    pub(crate) quantity: Quantity,
    pub(crate) price: Price,
    pub(crate) value: Amount,
}

/// An index at given prices: its lines and its value with cash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Valuation {
    pub(crate) total: Amount,
    /// Constituents in their order, then other holdings.
    pub(crate) lines: Vec<Line>,
}

/// Values every line of an index; any asset without a usable price is an error.
pub(crate) fn value(index: &Index, prices: &PriceSnapshot) -> Result<Valuation, DriftError> {
    let slots = Slots::new(index, prices);
    let mut total = index.cash;
    let mut lines = Vec::with_capacity(slots.len());
    for at in 0..slots.len() {
        let (asset, target) = slots.target(index, at).ok_or(DriftError::NoValue)?;
        let (quantity, price) = quote(&slots, index, prices, at)?;
        let value = quantity.value_at(price)?;
        total = total.add(value)?;
        let constituent = index.definition.constituents.get(at);
        lines.push(Line {
            asset,
            target,
            band: constituent.and_then(|constituent| constituent.band),
            locked: constituent.is_some_and(|constituent| constituent.locked),
            quantity,
            price,
            value,
        });
    }
    if total.is_positive() {
        Ok(Valuation { total, lines })
    } else {
        Err(DriftError::NoValue)
    }
}

#[inline]
fn quote(
    slots: &Slots,
    index: &Index,
    prices: &PriceSnapshot,
    line: usize,
) -> Result<(Quantity, Price), DriftError> {
    slots
        .quote(index, prices, line)
        .map_err(|problem| match slots.target(index, line) {
            Some((asset, _)) => DriftError::Price(asset, problem),
            None => DriftError::NoValue,
        })
}

/// A part of a total in per cent. The larger numbers of the two orders of multiplying only
/// fit when divided first.
fn per_cent(part: Decimal, total: Amount) -> Result<Percent, ArithmeticError> {
    let total = total.get();
    part.checked_mul(Decimal::ONE_HUNDRED)
        .and_then(|part| part.checked_div(total))
        .or_else(|| part.checked_div(total)?.checked_mul(Decimal::ONE_HUNDRED))
        .map(|percent| Percent::new(percent.normalize()))
        .ok_or(ArithmeticError)
}
