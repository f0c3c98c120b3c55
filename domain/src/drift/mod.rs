//! Drift: how far current weights are from their targets, in percentage points of the
//! total value with cash.
//!
//! ```text
//! excess = value − target × total / 100        drift = excess × 100 / total
//! ```
//!
//! The line with the largest excess has the largest drift, so a check divides once per index
//! and not once per line. [`report`] and [`headline`] share these two formulas, which is why
//! they agree to the last digit.

mod slots;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::index::Index;
use crate::market::{PriceProblem, PriceSnapshot};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

pub use slots::Slots;

/// Drift below a millionth of a point is rounding dust of lots, not drift.
pub const DUST: Percent = Percent::new(Decimal::from_parts(1, 0, 0, false, 6));

/// One per cent: the total times this is what a target's points are multiplied with.
const ONE_PERCENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Lines whose values a headline keeps between its two passes: more than most indexes have, and
/// small enough to clear for each.
const VALUES_KEPT: usize = 32;

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

/// An asset of an index with its value: a constituent, or a holding with a target of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) asset: Asset,
    pub(crate) target: Percent,
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
        lines.push(Line {
            asset,
            target,
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

/// What a value has beyond its target share of the total; `share` is one per cent of the total.
#[inline]
fn excess(value: Amount, target: Percent, share: Decimal) -> Result<Decimal, ArithmeticError> {
    let aim = target.get().checked_mul(share).ok_or(ArithmeticError)?;
    value.get().checked_sub(aim).ok_or(ArithmeticError)
}

/// A part of the total in per cent. The larger numbers of the two orders of multiplying only
/// fit when divided first.
fn per_cent(part: Decimal, total: Amount) -> Result<Percent, ArithmeticError> {
    let total = total.get();
    part.checked_mul(Decimal::ONE_HUNDRED)
        .and_then(|part| part.checked_div(total))
        .or_else(|| part.checked_div(total)?.checked_mul(Decimal::ONE_HUNDRED))
        .map(|percent| Percent::new(percent.normalize()))
        .ok_or(ArithmeticError)
}

fn one_percent(total: Amount) -> Result<Decimal, ArithmeticError> {
    total.get().checked_mul(ONE_PERCENT).ok_or(ArithmeticError)
}

/// Drift of an index in full.
pub fn report(index: &Index, prices: &PriceSnapshot) -> Result<DriftReport, DriftError> {
    let Valuation { total, lines } = value(index, prices)?;
    let share = one_percent(total)?;
    let mut worst: Option<(Decimal, Asset)> = None;
    let mut drifts = per_cent(
        excess(index.cash, index.definition.cash_percentage, share)?,
        total,
    )?
    .abs();
    let mut assets = Vec::with_capacity(lines.len());
    for line in lines {
        let excess = excess(line.value, line.target, share)?;
        if worst.is_none_or(|(largest, _)| excess.abs() > largest) {
            worst = Some((excess.abs(), line.asset));
        }
        let drift = per_cent(excess, total)?;
        drifts = drifts.add(drift.abs())?;
        assets.push(asset_drift(&line, drift, total)?);
    }
    let (largest, worst) = worst.ok_or(DriftError::NoValue)?;
    Ok(DriftReport {
        total_value: total,
        drift: per_cent(largest, total)?,
        worst,
        turnover: half(drifts)?,
        assets,
    })
}

fn asset_drift(line: &Line, drift: Percent, total: Amount) -> Result<AssetDrift, ArithmeticError> {
    let relative_drift = if line.target.is_zero() {
        None
    } else {
        Some(per_cent(drift.get().abs(), Amount::new(line.target.get()))?)
    };
    Ok(AssetDrift {
        asset: line.asset,
        target: line.target,
        current: per_cent(line.value.get(), total)?,
        drift,
        relative_drift,
        quantity: line.quantity,
        value: line.value,
        price: line.price,
    })
}

fn half(percent: Percent) -> Result<Percent, ArithmeticError> {
    let half = percent.get().checked_div(Decimal::TWO);
    half.map(|half| Percent::new(half.normalize()))
        .ok_or(ArithmeticError)
}

/// The headline of the same drift, without allocating: the hot path of a cycle.
pub fn headline(
    index: &Index,
    prices: &PriceSnapshot,
    slots: &mut Slots,
) -> Result<Headline, DriftError> {
    slots.refresh(index, prices);
    let slots = &*slots;
    let value = |line: usize| -> Result<Amount, DriftError> {
        let (quantity, price) = quote(slots, index, prices, line)?;
        Ok(quantity.value_at(price)?)
    };
    let mut values = [Amount::ZERO; VALUES_KEPT];
    let mut total = index.cash;
    for line in 0..slots.len() {
        let value = value(line)?;
        total = total.add(value)?;
        if let Some(kept) = values.get_mut(line) {
            *kept = value;
        }
    }
    if !total.is_positive() {
        return Err(DriftError::NoValue);
    }
    let share = one_percent(total)?;
    let mut worst: Option<(Decimal, usize)> = None;
    for line in 0..slots.len() {
        let value = values
            .get(line)
            .map_or_else(|| value(line), |kept| Ok(*kept))?;
        let constituent = index.definition.constituents.get(line);
        let target = constituent.map_or(Percent::ZERO, |constituent| constituent.target);
        let excess = excess(value, target, share)?.abs();
        if worst.is_none_or(|(largest, _)| excess > largest) {
            worst = Some((excess, line));
        }
    }
    let (largest, line) = worst.ok_or(DriftError::NoValue)?;
    let (worst, _) = slots.target(index, line).ok_or(DriftError::NoValue)?;
    Ok(Headline {
        total_value: total,
        drift: per_cent(largest, total)?,
        worst,
    })
}
