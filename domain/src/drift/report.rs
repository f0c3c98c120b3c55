//! Drift in full: every figure, and every line.

use serde::Serialize;

use super::basis::{Basis, Locked};
use super::headline::{Scan, relative, turnover};
use super::{DriftError, Line, Valuation, per_cent, value};
use crate::index::{Band, DriftMeasure, Index};
use crate::market::PriceSnapshot;
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

/// One asset of a drift report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssetDrift {
    /// The asset.
    pub asset: Asset,
    /// Target weight, per cent of what is shared out (of the value without the buffer for a
    /// locked line); 0 for a holding that is no constituent.
    pub target: Percent,
    /// Current weight, of the same.
    pub current: Percent,
    /// Current minus target, percentage points.
    pub drift: Percent,
    /// Absolute drift in per cent of the target; none without a target.
    pub relative_drift: Option<Percent>,
    /// Its own band.
    pub band: Option<Band>,
    /// Whether it is outside that band, or outside the index threshold where it has none. Never
    /// true for a locked line.
    pub outside: bool,
    /// Whether it is left alone.
    pub locked: bool,
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
    /// Drift by the measure of the index.
    pub drift: Percent,
    /// Which of the three figures it is.
    pub measure: DriftMeasure,
    /// The asset that has it, or the largest part of it.
    pub worst: Asset,
    /// Largest absolute drift of an asset, percentage points.
    pub absolute: Percent,
    /// Largest drift of an asset in per cent of its target.
    pub relative: Percent,
    /// Half the sum of absolute drifts, cash included: the share that must change hands.
    pub turnover: Percent,
    /// Whether drift is above the threshold, or a line outside its own band.
    pub exceeded: bool,
    /// Constituents in their order, then other holdings.
    pub assets: Vec<AssetDrift>,
}

/// Drift of an index in full.
pub fn report(index: &Index, prices: &PriceSnapshot) -> Result<DriftReport, DriftError> {
    let Valuation { total, lines } = value(index, prices)?;
    let rebalancing = &index.definition.rebalancing;
    let basis = Basis::new(index, total, Locked::of(&lines)?)?;
    let mut scan = Scan::new(index, basis)?;
    let cash = index.cash.sub(index.definition.risk.cash_buffer)?;
    let mut sum = basis.excess(cash, index.definition.cash_percentage)?.abs();
    let (mut absolute, mut largest) = (Amount::ZERO, Percent::ZERO);
    let mut assets = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        scan.look(at, index.definition.constituents.get(at), line.value)?;
        if line.locked {
            assets.push(locked(index, line, total)?);
            continue;
        }
        let excess = basis.excess(line.value, line.target)?;
        sum = sum.add(excess.abs())?;
        absolute = absolute.max(excess.abs());
        largest = largest.max(relative(&basis, excess.abs(), line.target)?);
        let width = basis.width(line, rebalancing)?;
        let outside = basis.is_beyond(excess.abs(), width)?;
        let target = target(&basis, index, line)?;
        assets.push(asset(line, target, &basis, excess, outside)?);
    }
    let worst = scan.worst().and_then(|line| lines.get(line));
    let worst = worst.ok_or(DriftError::NoValue)?.asset;
    let drift = scan.drift()?;
    Ok(DriftReport {
        total_value: total,
        drift,
        measure: rebalancing.measure,
        worst,
        absolute: per_cent(absolute.get(), basis.shared)?,
        relative: largest,
        turnover: turnover(sum, &basis)?,
        exceeded: drift > rebalancing.drift_threshold || scan.is_any_outside(),
        assets,
    })
}

/// The target as a share of what is shared out: what stands in the definition unless lines are
/// locked.
fn target(basis: &Basis, index: &Index, line: &Line) -> Result<Percent, ArithmeticError> {
    if index.definition.constituents.iter().any(|c| c.locked) {
        per_cent(basis.aim(line.target)?.get(), basis.shared)
    } else {
        Ok(line.target)
    }
}

fn asset(
    line: &Line,
    target: Percent,
    basis: &Basis,
    excess: Amount,
    outside: bool,
) -> Result<AssetDrift, ArithmeticError> {
    let drift = per_cent(excess.get(), basis.shared)?;
    Ok(AssetDrift {
        asset: line.asset,
        target,
        current: per_cent(line.value.get(), basis.shared)?,
        drift,
        relative_drift: relative_drift(drift, target)?,
        band: line.band,
        outside,
        locked: false,
        quantity: line.quantity,
        value: line.value,
        price: line.price,
    })
}

/// A locked line against its own target: for the reader, it counts nowhere.
fn locked(index: &Index, line: &Line, total: Amount) -> Result<AssetDrift, ArithmeticError> {
    let whole = total.sub(index.definition.risk.cash_buffer)?;
    let current = per_cent(line.value.get(), whole)?;
    let drift = current.sub(line.target)?;
    Ok(AssetDrift {
        asset: line.asset,
        target: line.target,
        current,
        drift,
        relative_drift: relative_drift(drift, line.target)?,
        band: line.band,
        outside: false,
        locked: true,
        quantity: line.quantity,
        value: line.value,
        price: line.price,
    })
}

fn relative_drift(drift: Percent, target: Percent) -> Result<Option<Percent>, ArithmeticError> {
    if target.is_zero() {
        return Ok(None);
    }
    per_cent(drift.get().abs(), Amount::new(target.get())).map(Some)
}
