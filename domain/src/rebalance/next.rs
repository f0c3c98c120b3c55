//! The order that comes next: sells in the order of the plan, then buys from the cash there.

use super::{Conditions, Order, Rebalance};
use crate::drift::Basis;
use crate::index::Index;
use crate::plan::{Limits, LineReason, PlannedOrder, Side, Wanted, basis, fund, purse};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Quantity};

/// The next order; none when the round has none left, or is being called off.
pub(super) fn next_order(
    index: &Index,
    rebalance: &Rebalance,
    conditions: &Conditions<'_>,
) -> Result<Option<Order>, ArithmeticError> {
    if rebalance.cancelling.is_some() {
        return Ok(None);
    }
    let planned = match next_sell(index, rebalance, conditions) {
        Some(sell) => Some(sell),
        // A switch that was set on the way: what was sold stays cash.
        None if !conditions.mode.may_buy_later() => None,
        None => next_buy(index, rebalance, conditions)?,
    };
    let Some(planned) = planned else {
        return Ok(None);
    };
    let risk = &index.definition.risk;
    let limits = limits(index, conditions, planned.asset);
    let limit = match planned.side {
        Side::Sell => limits.sell_limit(planned.price, risk.max_slippage)?,
        Side::Buy => limits.buy_limit(&planned, index.cash, risk.max_slippage)?,
    };
    Ok(Some(Order {
        step: rebalance.last_step.checked_add(1).ok_or(ArithmeticError)?,
        asset: planned.asset,
        side: planned.side,
        quantity: planned.quantity,
        price: planned.price,
        limit,
    }))
}

fn limits(index: &Index, conditions: &Conditions<'_>, asset: Asset) -> Limits {
    Limits::new((conditions.rules)(asset), &index.definition.risk)
}

/// Orders of the plan on one side that have not ended, in its order. A line may be split into
/// several orders: as many of them have ended as are listed.
fn open_lines(rebalance: &Rebalance, side: Side) -> impl Iterator<Item = &PlannedOrder> {
    let mut ended = rebalance.ended.clone();
    rebalance
        .plan
        .orders
        .iter()
        .filter(move |order| order.side == side)
        .filter(move |order| {
            let at = ended.iter().position(|e| *e == (order.asset, order.side));
            at.map(|at| ended.swap_remove(at)).is_none()
        })
}

/// The next sell of the plan, for no more than is held.
fn next_sell(
    index: &Index,
    rebalance: &Rebalance,
    conditions: &Conditions<'_>,
) -> Option<PlannedOrder> {
    open_lines(rebalance, Side::Sell).find_map(|planned| {
        let held = index.quantity(planned.asset);
        if planned.quantity <= held {
            return Some(*planned);
        }
        let limits = limits(index, conditions, planned.asset);
        let sized = limits.order(planned.asset, Side::Sell, held, planned.price);
        sized.ok().map(|sized| sized.order)
    })
}

/// The next buy of the plan that the cash suffices for, sized together with all later ones.
fn next_buy(
    index: &Index,
    rebalance: &Rebalance,
    conditions: &Conditions<'_>,
) -> Result<Option<PlannedOrder>, ArithmeticError> {
    let aims = basis(index, &rebalance.prices, rebalance.total_value)?;
    let mut buys = Vec::new();
    for planned in open_lines(rebalance, Side::Buy) {
        let limits = limits(index, conditions, planned.asset);
        let wanted = wanted(index, rebalance, planned, aims.as_ref())?;
        let sized = limits.order(planned.asset, Side::Buy, wanted, planned.price);
        if let Ok(sized) = sized {
            buys.push(Wanted {
                order: sized.order,
                first: planned.quantity.min(sized.order.quantity),
                limits,
            });
        }
    }
    let cash = purse(index, &rebalance.prices, &buys)?;
    Ok(fund(&buys, cash)?.orders.into_iter().flatten().next())
}

/// What a buy may grow to when there is more cash than the plan expected: only a line that the
/// plan trimmed for want of cash, and only to its target value.
fn wanted(
    index: &Index,
    rebalance: &Rebalance,
    planned: &PlannedOrder,
    aims: Option<&Basis>,
) -> Result<Quantity, ArithmeticError> {
    let missing = missing(index, planned, aims)?;
    let mut skipped = rebalance.plan.skipped.iter();
    let trimmed =
        skipped.any(|line| line.asset == planned.asset && line.reason == LineReason::TrimmedToCash);
    let split = rebalance.plan.orders.iter();
    let split = split.filter(|o| (o.asset, o.side) == (planned.asset, Side::Buy));
    let is_limited = index.definition.risk.max_turnover.is_some();
    if trimmed && !is_limited && split.count() == 1 {
        Ok(missing)
    } else {
        Ok(missing.min(planned.quantity))
    }
}

/// What a line lacks to its target value at the prices of the plan; nothing when it is above.
fn missing(
    index: &Index,
    planned: &PlannedOrder,
    aims: Option<&Basis>,
) -> Result<Quantity, ArithmeticError> {
    let mut constituents = index.definition.constituents.iter();
    let target = constituents
        .find(|constituent| constituent.asset == planned.asset)
        .map_or(Percent::ZERO, |constituent| constituent.target);
    let target = aims.map_or(Ok(Amount::ZERO), |aims| aims.aim(target))?;
    let value = index.quantity(planned.asset).value_at(planned.price)?;
    let missing = target.sub(value)?.max(Amount::ZERO);
    missing.quantity_at(planned.price)
}
