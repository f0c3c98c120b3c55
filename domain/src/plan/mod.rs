//! The trade plan: which trades lead from what is held to what should be held.

mod cost;
mod funding;
mod limits;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::drift::{self, DriftError, Line, Valuation};
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity};

pub use cost::{OrderCost, PlanCost, cost};
pub(crate) use funding::{Wanted, fund};
use limits::Sized;
pub(crate) use limits::{Limits, sell_limit};

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
    /// The kill switch lets nothing be bought.
    TradingReduced,
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

    /// Adds the buys that the cash suffices for. A shortage up to `rounding` is not worth a word.
    fn buy(
        &mut self,
        buys: &[Wanted],
        cash: Amount,
        rounding: Amount,
    ) -> Result<(), ArithmeticError> {
        let funded = fund(buys, cash)?;
        let short = funded.shortfall > rounding;
        let mut orders = Vec::with_capacity(buys.len());
        for (buy, order) in buys.iter().zip(funded.orders) {
            let whole = order.is_some_and(|order| order.quantity >= buy.order.quantity);
            if order.is_none() || (short && !whole) {
                self.note(buy.order.asset, LineReason::TrimmedToCash);
            }
            orders.extend(order);
        }
        sort_largest_first(&mut orders, |order| order);
        self.orders.append(&mut orders);
        Ok(())
    }
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
    let Valuation { total, lines } = drift::value(index, prices)?;
    let mut plan = TradePlan::default();
    let mut buys = Vec::new();
    let mut cash = index.cash;
    // What rounding to lots may leave or lack.
    let mut rounding = Amount::ZERO;
    for line in &lines {
        let limits = Limits::new(rules(line.asset), &index.definition.risk);
        let sized = match size(line, total, &limits) {
            Ok(Some(sized)) => sized,
            Ok(None) => continue,
            Err(reason) => {
                plan.note(line.asset, reason);
                continue;
            }
        };
        if sized.trimmed {
            plan.note(line.asset, LineReason::TrimmedToMaxNotional);
        }
        rounding = rounding.add(limits.lot_value(line.price)?)?;
        match sized.order.side {
            Side::Sell => {
                cash = cash.add(limits.proceeds(sized.order.notional)?)?;
                plan.orders.push(sized.order);
            }
            Side::Buy => buys.push(Wanted {
                order: sized.order,
                first: sized.order.quantity,
                limits,
            }),
        }
    }
    sort_largest_first(&mut plan.orders, |order| order);
    sort_largest_first(&mut buys, |buy| &buy.order);
    plan.buy(&buys, spendable(index, cash, total)?, rounding)?;
    Ok(plan)
}

/// The order that brings a line to its target, if it is off.
fn size(line: &Line, total: Amount, limits: &Limits) -> Result<Option<Sized>, LineReason> {
    let Some((side, quantity)) = aim(line, total)? else {
        return Ok(None);
    };
    limits
        .order(line.asset, side, quantity, line.price)
        .map(Some)
}

/// Which way a line must go to its target value, and by what quantity before rounding.
fn aim(line: &Line, total: Amount) -> Result<Option<(Side, Quantity)>, LineReason> {
    let want = || -> Result<_, ArithmeticError> {
        let target = total.percent(line.target)?;
        Ok(match line.value.cmp(&target) {
            Ordering::Equal => None,
            Ordering::Less => {
                let missing = target.sub(line.value)?.quantity_at(line.price)?;
                Some((Side::Buy, missing))
            }
            Ordering::Greater if line.target.is_zero() => Some((Side::Sell, line.quantity)),
            Ordering::Greater => {
                let surplus = line.value.sub(target)?.quantity_at(line.price)?;
                Some((Side::Sell, surplus.min(line.quantity)))
            }
        })
    };
    want().map_err(|ArithmeticError| LineReason::Arithmetic)
}

/// Cash beyond the cash target, never below 0.
pub(crate) fn spendable(
    index: &Index,
    cash: Amount,
    total: Amount,
) -> Result<Amount, ArithmeticError> {
    let kept = total.percent(index.definition.cash_percentage)?;
    Ok(cash.sub(kept)?.max(Amount::ZERO))
}

/// Largest notional first, then by asset, so that the same input always gives the same plan.
fn sort_largest_first<T>(items: &mut [T], order: impl Fn(&T) -> &PlannedOrder) {
    items.sort_by(|a, b| {
        let (a, b) = (order(a), order(b));
        b.notional.cmp(&a.notional).then(a.asset.cmp(&b.asset))
    });
}
