//! How an index has done: what a unit of it is worth, day by day, beside what holding the targets
//! without ever rebalancing would have given.
//!
//! Money that comes in buys units at what one is worth at that moment, money that goes out sells
//! them, as funds do it: so the value of a unit is the time-weighted return, and neither deposits
//! nor withdrawals count (CFA Institute, GIPS 2020, 2.A.21: sub-periods are linked at each flow).
//! A correction after a reconciliation counts as a flow: nobody earned it.
//!
//! ```text
//! prices ─┐
//! index  ─┼─► adopt, in the order of the log ─► a point a day ─► returns, volatility, drawdown
//! trades ─┘
//! ```

use std::collections::BTreeMap;

use rust_decimal::{Decimal, MathematicalOps};
use serde::Serialize;

use crate::event::Event;
use crate::index::{self, Index, IndexEvent};
use crate::market::MarketEvent;
use crate::values::{Amount, Asset, Percent, Price, Span, Timestamp};

/// What a unit is worth at the beginning.
const UNIT: Decimal = Decimal::ONE_HUNDRED;

/// Days of a year, on average.
const YEAR_DAYS: Decimal = Decimal::from_parts(36_525, 0, 0, false, 2);

/// Seconds of a day.
const DAY_SECS: i64 = 86_400;

/// Digits after the point of a figure that is computed from others.
const FIGURE_DIGITS: u32 = 6;

/// Days over which a return is told.
pub const PERIODS: [u64; 5] = [1, 7, 30, 90, 365];

/// The last of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When the last event of the day was.
    pub at: Timestamp,
    /// Value with cash.
    pub value: Amount,
    /// What a unit is worth: 100 at the beginning.
    pub unit: Amount,
    /// What a unit of bought and held targets is worth.
    pub buy_and_hold: Amount,
}

/// How many units there are, and what one is worth.
#[derive(Debug, Clone, Copy)]
struct Units {
    count: Decimal,
    worth: Decimal,
}

impl Units {
    const NONE: Self = Self {
        count: Decimal::ZERO,
        worth: UNIT,
    };

    /// Takes in what all of them are worth together.
    fn value(&mut self, value: Decimal) {
        if let Some(worth) = value
            .checked_div(self.count)
            .filter(|_| value.is_sign_positive())
        {
            self.worth = worth;
        }
    }

    /// An amount comes in, or goes out, while all are worth `before`.
    fn flow(&mut self, before: Decimal, amount: Decimal) {
        self.value(before);
        let more = amount.checked_div(self.worth).unwrap_or_default();
        let count = self.count.checked_add(more).unwrap_or(self.count);
        self.count = count.max(Decimal::ZERO);
    }
}

/// Somebody who buys the targets with all that comes in, and holds.
#[derive(Debug, Clone, Default)]
struct Holder {
    held: BTreeMap<Asset, Decimal>,
    /// The part of the targets that is cash.
    cash: Decimal,
    /// What came in and could not be invested yet: a price was missing.
    waiting: Decimal,
}

impl Holder {
    fn value(&self, prices: &BTreeMap<Asset, Price>) -> Decimal {
        let worth = |(asset, held): (&Asset, &Decimal)| worth(prices, *asset, *held);
        let held = self.held.iter().map(worth);
        sum(held.chain([self.cash, self.waiting]))
    }

    fn flow(&mut self, before: Decimal, amount: Decimal) {
        if amount.is_sign_positive() {
            self.waiting = self.waiting.saturating_add(amount);
            return;
        }
        // A part of everything is sold.
        let left = before
            .checked_add(amount)
            .and_then(|left| left.checked_div(before));
        let left = left.unwrap_or_default().clamp(Decimal::ZERO, Decimal::ONE);
        let rest = |all: &mut Decimal| *all = all.saturating_mul(left);
        self.held.values_mut().for_each(rest);
        rest(&mut self.cash);
        rest(&mut self.waiting);
    }

    /// Invests what waits, when all targets have a price.
    fn invest(&mut self, index: &Index, prices: &BTreeMap<Asset, Price>) {
        let constituents = &index.definition.constituents;
        let all_known = constituents
            .iter()
            .all(|line| prices.contains_key(&line.asset));
        if self.waiting.is_zero() || !all_known {
            return;
        }
        let part = |share: Percent| self.waiting.saturating_mul(share.get()) / Decimal::ONE_HUNDRED;
        let cash = part(index.definition.cash_percentage);
        let bought: Vec<(Asset, Decimal)> = constituents
            .iter()
            .filter_map(|line| {
                let price = prices.get(&line.asset)?.get();
                Some((line.asset, part(line.target).checked_div(price)?))
            })
            .collect();
        for (asset, quantity) in bought {
            let held = self.held.entry(asset).or_default();
            *held = held.saturating_add(quantity);
        }
        self.cash = self.cash.saturating_add(cash);
        self.waiting = Decimal::ZERO;
    }
}

/// What a quantity is worth; nothing without a price, or beyond 28 digits.
fn worth(prices: &BTreeMap<Asset, Price>, asset: Asset, quantity: Decimal) -> Decimal {
    let price = prices.get(&asset).map(|price| price.get());
    price
        .and_then(|price| price.checked_mul(quantity))
        .unwrap_or_default()
}

/// A sum that stays within what a decimal holds.
fn sum(parts: impl Iterator<Item = Decimal>) -> Decimal {
    parts.fold(Decimal::ZERO, Decimal::saturating_add)
}

/// An index on its way through the log.
#[derive(Debug, Clone)]
pub struct Track {
    index: Option<Index>,
    prices: BTreeMap<Asset, Price>,
    units: Units,
    holder: Holder,
    held_units: Units,
    /// When the last event was, if the index is worth anything.
    last: Option<Timestamp>,
    points: Vec<Point>,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            index: None,
            prices: BTreeMap::new(),
            units: Units::NONE,
            holder: Holder::default(),
            held_units: Units::NONE,
            last: None,
            points: Vec::new(),
        }
    }
}

impl Track {
    /// Takes in an event of the index's stream or of the market, in the order of the log.
    pub fn adopt(&mut self, event: &Event, at: Timestamp) {
        self.end_day(at);
        match event {
            Event::Market(MarketEvent::PricesRecorded(recorded)) => {
                let prices = recorded.prices.iter();
                prices.for_each(|(asset, price)| self.price(*asset, *price));
            }
            Event::Index(
                event @ (IndexEvent::Deposited(_)
                | IndexEvent::Withdrawn(_)
                | IndexEvent::Reconciled(_)),
            ) => {
                let before = self.value();
                index::apply(&mut self.index, event);
                self.flow(before);
            }
            Event::Index(event) => index::apply(&mut self.index, event),
            Event::Rebalance(event) => index::apply_rebalance(&mut self.index, event),
            Event::Market(MarketEvent::PriceHeld(_))
            | Event::Job(_)
            | Event::Webhook(_)
            | Event::Access(_)
            | Event::Trading(_)
            | Event::Request(_) => {}
        }
        if let Some(index) = &self.index {
            self.holder.invest(index, &self.prices);
        }
        self.last = (self.units.count > Decimal::ZERO).then_some(at);
    }

    /// A price; the first one of what is held makes it worth something, which nobody earned.
    fn price(&mut self, asset: Asset, price: Price) {
        let before = self.value();
        let is_first = self.prices.insert(asset, price).is_none();
        if is_first && self.value() != before {
            self.flow(before);
        }
    }

    /// What has changed since all was worth `before` came from outside, or went there.
    fn flow(&mut self, before: Decimal) {
        let amount = self.value().saturating_sub(before);
        self.units.flow(before, amount);
        let held = self.holder.value(&self.prices);
        self.held_units.flow(held, amount);
        self.holder.flow(held, amount);
    }

    fn value(&self) -> Decimal {
        let Some(index) = &self.index else {
            return Decimal::ZERO;
        };
        let holdings = index.holdings.iter();
        let held = holdings.map(|line| worth(&self.prices, line.asset, line.quantity.get()));
        sum(held.chain([index.cash.get()]))
    }

    /// Notes the last of a day when the next event is of another one.
    fn end_day(&mut self, at: Timestamp) {
        let day = |at: Timestamp| at.as_secs().div_euclid(DAY_SECS);
        if let Some(last) = self.last.filter(|last| day(*last) != day(at)) {
            let point = self.point(last);
            self.points.push(point);
        }
    }

    fn point(&mut self, at: Timestamp) -> Point {
        let value = self.value();
        self.units.value(value);
        self.held_units.value(self.holder.value(&self.prices));
        let rounded = |worth: Decimal| Amount::new(worth.round_dp(FIGURE_DIGITS).normalize());
        Point {
            at,
            value: Amount::new(value.normalize()),
            unit: rounded(self.units.worth),
            buy_and_hold: rounded(self.held_units.worth),
        }
    }

    /// The points, the last one as things stand.
    pub fn points(mut self) -> Vec<Point> {
        if let Some(last) = self.last {
            let point = self.point(last);
            self.points.push(point);
        }
        self.points
    }
}

/// The return of a period, of the index and of bought and held targets, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    /// Days back from the end; none for all that there is.
    pub days: Option<u64>,
    /// Of the index; none when there is no point that long ago.
    pub index: Option<Percent>,
    /// Of bought and held targets.
    pub buy_and_hold: Option<Percent>,
}

/// The deepest fall from a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawdown {
    /// In per cent of the height; zero when it only rose.
    pub depth: Percent,
    /// When the height was.
    pub peak_at: Timestamp,
    /// When it was deepest.
    pub trough_at: Timestamp,
}

/// Figures of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Over [`PERIODS`], and over all.
    pub returns: Vec<Return>,
    /// The return of all, as one per year, in per cent; none below a year.
    pub annualised: Option<Percent>,
    /// Standard deviation of the returns from point to point, as one per year, in per cent; none
    /// below three points.
    pub volatility: Option<Percent>,
    /// The mean return of a year beyond the risk-free one, in volatilities (Sharpe 1994); none
    /// without a volatility.
    pub sharpe: Option<Amount>,
    /// The deepest fall; none without a point.
    pub max_drawdown: Option<Drawdown>,
}

/// The figures of points in the order of time. `risk_free` is in per cent a year.
pub fn summary(points: &[Point], risk_free: Percent) -> Summary {
    let moments = moments(points);
    let yearly = |moments: &Moments| moments.deviation.checked_mul(moments.per_year.sqrt()?);
    let volatility = moments.as_ref().and_then(yearly);
    let sharpe = moments
        .as_ref()
        .zip(volatility)
        .and_then(|(moments, volatility)| {
            let mean = moments.mean.checked_mul(moments.per_year)?;
            let beyond = mean.checked_sub(risk_free.get() / Decimal::ONE_HUNDRED)?;
            beyond.checked_div(volatility)
        });
    Summary {
        returns: returns(points),
        annualised: annualised(points).map(in_per_cent),
        volatility: volatility.map(in_per_cent),
        sharpe: sharpe.map(|sharpe| Amount::new(figure(sharpe))),
        max_drawdown: max_drawdown(points),
    }
}

fn figure(value: Decimal) -> Decimal {
    value.round_dp(FIGURE_DIGITS).normalize()
}

fn in_per_cent(share: Decimal) -> Percent {
    Percent::new(figure(share.saturating_mul(Decimal::ONE_HUNDRED)))
}

/// What has been gained from one worth to another.
fn gain(from: Amount, to: Amount) -> Option<Decimal> {
    Some(to.get().checked_div(from.get())? - Decimal::ONE)
}

fn returns(points: &[Point]) -> Vec<Return> {
    let Some(last) = points.last() else {
        return Vec::new();
    };
    let since = |days: Option<u64>, from: Option<&Point>| Return {
        days,
        index: from
            .and_then(|from| gain(from.unit, last.unit))
            .map(in_per_cent),
        buy_and_hold: from
            .and_then(|from| gain(from.buy_and_hold, last.buy_and_hold))
            .map(in_per_cent),
    };
    let periods = PERIODS.iter().map(|days| {
        let before = last.at.minus(Span::from_hours(24 * days));
        let from = points.iter().rev().find(|point| point.at <= before);
        since(Some(*days), from)
    });
    periods.chain([since(None, points.first())]).collect()
}

/// Years from the first point to the last.
fn years(points: &[Point]) -> Option<Decimal> {
    let (first, last) = (points.first()?, points.last()?);
    let days = Decimal::from(last.at.since(first.at).as_millis()) / Decimal::from(DAY_SECS * 1_000);
    let years = days / YEAR_DAYS;
    (years > Decimal::ZERO).then_some(years)
}

fn annualised(points: &[Point]) -> Option<Decimal> {
    let years = years(points).filter(|years| *years >= Decimal::ONE)?;
    let whole = points
        .last()?
        .unit
        .get()
        .checked_div(points.first()?.unit.get())?;
    let yearly = whole.checked_powd(Decimal::ONE / years)?;
    Some(yearly - Decimal::ONE)
}

/// Returns from point to point.
struct Moments {
    mean: Decimal,
    deviation: Decimal,
    /// How many there are in a year, at the pace at which points came.
    per_year: Decimal,
}

fn moments(points: &[Point]) -> Option<Moments> {
    let steps = points.windows(2);
    let gains: Vec<Decimal> = steps
        .filter_map(|pair| gain(pair.first()?.unit, pair.last()?.unit))
        .collect();
    let count = Decimal::from(gains.len());
    if gains.len() < 2 {
        return None;
    }
    let mean = sum(gains.iter().copied()) / count;
    let square = |gain: &Decimal| {
        let off = gain.saturating_sub(mean);
        off.saturating_mul(off)
    };
    let variance = sum(gains.iter().map(square)) / (count - Decimal::ONE);
    Some(Moments {
        mean,
        deviation: variance.sqrt()?,
        per_year: count / years(points)?,
    })
}

fn max_drawdown(points: &[Point]) -> Option<Drawdown> {
    let first = points.first()?;
    let mut peak = first;
    let mut deepest = Drawdown {
        depth: Percent::ZERO,
        peak_at: first.at,
        trough_at: first.at,
    };
    for point in points {
        if point.unit > peak.unit {
            peak = point;
        }
        let depth = in_per_cent(-gain(peak.unit, point.unit).unwrap_or_default());
        if depth > deepest.depth {
            deepest = Drawdown {
                depth,
                peak_at: peak.at,
                trough_at: point.at,
            };
        }
    }
    Some(deepest)
}

#[cfg(test)]
mod tests;
