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

use rust_decimal::Decimal;
use serde::Serialize;

use crate::index::Index;
use crate::market::{PriceProblem, PriceSnapshot};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

/// Drift below a millionth of a point is rounding dust of lots, not drift.
pub const DUST: Percent = Percent::new(Decimal::from_parts(1, 0, 0, false, 6));

/// One per cent: the total times this is what a target's points are multiplied with.
const ONE_PERCENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Marks a line without a holding, or an asset without a place in the snapshot.
const NOWHERE: u32 = u32::MAX;

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

/// Where a line's price stands in the snapshot, and its quantity among the holdings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    price: u32,
    holding: u32,
}

/// The places of an index's assets in a snapshot, found once per snapshot layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slots {
    layout: Option<u64>,
    /// Per line: constituents in their order, then other holdings.
    places: Box<[Place]>,
    /// How many holdings there were; each has exactly one line.
    holdings: usize,
}

impl Slots {
    fn new(index: &Index, prices: &PriceSnapshot) -> Self {
        let constituents = index.definition.constituents.iter().map(|c| c.asset);
        let foreign = index.foreign_holdings().map(|holding| holding.asset);
        let places = constituents.chain(foreign).map(|asset| Place {
            price: prices.slot(asset).unwrap_or(NOWHERE),
            holding: index
                .holdings
                .binary_search_by_key(&asset, |holding| holding.asset)
                .map_or(NOWHERE, |at| u32::try_from(at).unwrap_or(NOWHERE)),
        });
        Self {
            layout: Some(prices.layout),
            places: places.collect(),
            holdings: index.holdings.len(),
        }
    }

    /// Whether every place still names the asset that it was found for. An update or a trade
    /// may keep the number of lines, so the symbols themselves are compared.
    fn fit(&self, index: &Index, prices: &PriceSnapshot) -> bool {
        let constituents = &index.definition.constituents;
        if self.layout != Some(prices.layout)
            || self.holdings != index.holdings.len()
            || self.places.len() < constituents.len()
        {
            return false;
        }
        let (listed, foreign) = self.places.split_at(constituents.len());
        let names = |place: &Place, asset| {
            at(prices.entries(), place.price).is_some_and(|(found, _)| *found == asset)
        };
        let mut linked = foreign.len();
        for (place, constituent) in listed.iter().zip(constituents) {
            match at(&index.holdings, place.holding) {
                Some(holding) if holding.asset != constituent.asset => return false,
                Some(_) => linked += 1,
                None => {}
            }
            if !names(place, constituent.asset) {
                return false;
            }
        }
        let still = |place: &Place| {
            at(&index.holdings, place.holding).is_some_and(|holding| names(place, holding.asset))
        };
        linked == self.holdings && foreign.iter().all(still)
    }

    /// The lines in order: asset, target and value.
    fn lines<'a>(
        &'a self,
        index: &'a Index,
        prices: &'a PriceSnapshot,
    ) -> impl Iterator<Item = Result<Line, DriftError>> + 'a {
        let constituents = &index.definition.constituents;
        self.places
            .iter()
            .enumerate()
            .filter_map(move |(i, place)| {
                let holding = at(&index.holdings, place.holding);
                let (asset, target) = match constituents.get(i) {
                    Some(constituent) => (constituent.asset, constituent.target),
                    None => (holding?.asset, Percent::ZERO),
                };
                let quantity = holding.map_or(Quantity::ZERO, |holding| holding.quantity);
                Some(Line::new(
                    asset,
                    target,
                    quantity,
                    prices.at_slot(place.price),
                ))
            })
    }
}

fn at<T>(items: &[T], place: u32) -> Option<&T> {
    usize::try_from(place).ok().and_then(|at| items.get(at))
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

impl Line {
    #[inline]
    fn new(
        asset: Asset,
        target: Percent,
        quantity: Quantity,
        price: Result<Price, PriceProblem>,
    ) -> Result<Self, DriftError> {
        let price = price.map_err(|problem| DriftError::Price(asset, problem))?;
        if !price.is_positive() {
            return Err(DriftError::Price(asset, PriceProblem::Zero));
        }
        let value = quantity.value_at(price)?;
        Ok(Self {
            asset,
            target,
            quantity,
            price,
            value,
        })
    }
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
    let lines = slots
        .lines(index, prices)
        .collect::<Result<Vec<_>, DriftError>>()?;
    let total = lines
        .iter()
        .try_fold(index.cash, |sum, line| sum.add(line.value))?;
    if total.is_positive() {
        Ok(Valuation { total, lines })
    } else {
        Err(DriftError::NoValue)
    }
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
    if !slots.fit(index, prices) {
        *slots = Slots::new(index, prices);
    }
    let mut total = index.cash;
    for line in slots.lines(index, prices) {
        total = total.add(line?.value)?;
    }
    if !total.is_positive() {
        return Err(DriftError::NoValue);
    }
    let share = one_percent(total)?;
    let mut worst: Option<(Decimal, Asset)> = None;
    for line in slots.lines(index, prices) {
        let line = line?;
        let excess = excess(line.value, line.target, share)?.abs();
        if worst.is_none_or(|(largest, _)| excess > largest) {
            worst = Some((excess, line.asset));
        }
    }
    let (largest, worst) = worst.ok_or(DriftError::NoValue)?;
    Ok(Headline {
        total_value: total,
        drift: per_cent(largest, total)?,
        worst,
    })
}
