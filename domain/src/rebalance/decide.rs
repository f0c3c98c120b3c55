//! The decisions of a rebalance: how it begins, and what follows from each outcome.
//!
//! The first event of a batch is applied to a copy of the index, so that the next order is
//! sized from the holdings and the cash that are there after it.

use super::{
    Fill, Order, OrderIntended, OrderOutcome, Reason, Rebalance, RebalanceCompleted,
    RebalanceEvent, RebalanceFailed, RebalanceRefusal, RebalanceStarted, RebalanceStatus,
    RebalanceStuck, TradeExecuted, TradeFailed,
};
use crate::drift::{self, DriftError, Slots};
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::plan::{
    InstrumentRules, Limits, PlannedOrder, Side, Wanted, fund, sell_limit, spendable,
};
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity, Timestamp};

/// Begins a rebalance: `Started` with the first intent, or `Started` with its end when the
/// plan has no orders.
pub fn start(
    index: &Index,
    started: RebalanceStarted,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    if let Some(running) = &index.rebalance {
        return Err(RebalanceRefusal::AlreadyRunning(running.rebalance_id));
    }
    // The end needs prices of every asset to tell the drift: without them, do not begin.
    drift_at(index, &started.prices)?;
    let at = started.at;
    go_on(index, RebalanceEvent::Started(started), rules, at)
}

/// Takes in what became of the open order: the outcome, and the next intent or the end.
///
/// Sells run in the order of the plan. When all sells have ended, each buy is sized from the
/// cash that is really there; one that fell below its minimum is left out without a word, for
/// the trades before it explain it. A fill that reports more than was ordered is booked as the
/// venue says only if holdings and cash stay at zero or above.
pub fn report(
    index: &Index,
    step: u32,
    outcome: OrderOutcome,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    now: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = index
        .rebalance
        .as_deref()
        .ok_or(RebalanceRefusal::NotRunning)?;
    let order = rebalance
        .open
        .filter(|order| order.step == step)
        .ok_or(RebalanceRefusal::NotOpen(step))?;
    let event = match outcome {
        OrderOutcome::Filled(fill) if fill.quantity.is_zero() => {
            let reason = sentence("the venue reported a fill of nothing");
            trade_failed(rebalance, &order, reason, now)
        }
        OrderOutcome::Filled(fill) => {
            require_covered(index, &order, &fill)?;
            trade_executed(rebalance, &order, fill, now)
        }
        OrderOutcome::Refused(reason) | OrderOutcome::NotSent(reason) => {
            trade_failed(rebalance, &order, reason, now)
        }
        OrderOutcome::Unknown(_) if rebalance.status == RebalanceStatus::Stuck => {
            return Ok(Vec::new());
        }
        OrderOutcome::Unknown(reason) => {
            return Ok(vec![RebalanceEvent::Stuck(RebalanceStuck {
                rebalance_id: rebalance.rebalance_id,
                step,
                reason,
                at: now,
            })]);
        }
    };
    go_on(index, event, rules, now)
}

/// A fill may not make cash or a holding negative, nor move either the wrong way.
fn require_covered(index: &Index, order: &Order, fill: &Fill) -> Result<(), ArithmeticError> {
    let held = index.quantity(order.asset);
    let (quantity, cash) = match order.side {
        Side::Sell => (
            held.sub(fill.quantity)?,
            index.cash.add(fill.notional)?.sub(fill.fee)?,
        ),
        Side::Buy => (
            held.add(fill.quantity)?,
            index.cash.sub(fill.notional)?.sub(fill.fee)?,
        ),
    };
    let plausible = fill.quantity.is_positive() && fill.notional >= Amount::ZERO;
    if plausible && quantity >= Quantity::ZERO && cash >= Amount::ZERO {
        Ok(())
    } else {
        Err(ArithmeticError)
    }
}

fn trade_executed(
    rebalance: &Rebalance,
    order: &Order,
    fill: Fill,
    at: Timestamp,
) -> RebalanceEvent {
    RebalanceEvent::TradeExecuted(TradeExecuted {
        rebalance_id: rebalance.rebalance_id,
        step: order.step,
        asset: order.asset,
        side: order.side,
        quantity: fill.quantity,
        price: fill.price,
        notional: fill.notional,
        fee: fill.fee,
        at,
    })
}

fn trade_failed(
    rebalance: &Rebalance,
    order: &Order,
    reason: Reason,
    at: Timestamp,
) -> RebalanceEvent {
    RebalanceEvent::TradeFailed(TradeFailed {
        rebalance_id: rebalance.rebalance_id,
        step: order.step,
        asset: order.asset,
        side: order.side,
        quantity: order.quantity,
        reason,
        at,
    })
}

/// The event and what follows from it: the next intent, or the end.
fn go_on(
    index: &Index,
    event: RebalanceEvent,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    at: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let mut after = index.clone();
    after.adopt_rebalance(&event);
    let rebalance = after
        .rebalance
        .as_deref()
        .ok_or(RebalanceRefusal::NotRunning)?;
    let next = match next_order(&after, rebalance, rules)? {
        Some(order) => RebalanceEvent::OrderIntended(OrderIntended {
            rebalance_id: rebalance.rebalance_id,
            order,
            at,
        }),
        None => end(&after, rebalance, at)?,
    };
    Ok(vec![event, next])
}

fn end(
    index: &Index,
    rebalance: &Rebalance,
    at: Timestamp,
) -> Result<RebalanceEvent, ArithmeticError> {
    let rebalance_id = rebalance.rebalance_id;
    let trades = rebalance.executed;
    let drift_after = drift_at(index, &rebalance.prices);
    Ok(match &rebalance.failure {
        None => RebalanceEvent::Completed(RebalanceCompleted {
            rebalance_id,
            drift_after: drift_after?,
            trades,
            at,
        }),
        Some(reason) => RebalanceEvent::Failed(RebalanceFailed {
            rebalance_id,
            drift_after: drift_after.ok(),
            trades,
            reason: reason.clone(),
            at,
        }),
    })
}

/// Drift at the prices of the plan; an index without value has none.
fn drift_at(index: &Index, prices: &[(Asset, Price)]) -> Result<Percent, ArithmeticError> {
    let entries = prices.iter().map(|(asset, price)| (*asset, Ok(*price)));
    let prices = PriceSnapshot::new(0, 0, entries.collect());
    match drift::headline(index, &prices, &mut Slots::default()) {
        Ok(headline) => Ok(headline.drift),
        Err(DriftError::NoValue) => Ok(Percent::ZERO),
        Err(DriftError::Price(..) | DriftError::Arithmetic(_)) => Err(ArithmeticError),
    }
}

fn next_order(
    index: &Index,
    rebalance: &Rebalance,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<Option<Order>, ArithmeticError> {
    let planned = match next_sell(index, rebalance, rules) {
        Some(sell) => Some(sell),
        None => next_buy(index, rebalance, rules)?,
    };
    let Some(planned) = planned else {
        return Ok(None);
    };
    let risk = &index.definition.risk;
    let limit = match planned.side {
        Side::Sell => sell_limit(planned.price, risk.max_slippage)?,
        Side::Buy => Limits::new(rules(planned.asset), risk).buy_limit(
            &planned,
            index.cash,
            risk.max_slippage,
        )?,
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

/// Orders of the plan on one side that have not ended, in its order.
fn open_lines(rebalance: &Rebalance, side: Side) -> impl Iterator<Item = &PlannedOrder> {
    rebalance
        .plan
        .orders
        .iter()
        .filter(move |order| order.side == side)
        .filter(|order| !rebalance.ended.contains(&(order.asset, order.side)))
}

/// The next sell of the plan, for no more than is held.
fn next_sell(
    index: &Index,
    rebalance: &Rebalance,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Option<PlannedOrder> {
    open_lines(rebalance, Side::Sell).find_map(|planned| {
        let held = index.quantity(planned.asset);
        if planned.quantity <= held {
            return Some(*planned);
        }
        let limits = Limits::new(rules(planned.asset), &index.definition.risk);
        let sized = limits.order(planned.asset, Side::Sell, held, planned.price);
        sized.ok().map(|sized| sized.order)
    })
}

/// The next buy of the plan that the cash suffices for, sized together with all later ones.
fn next_buy(
    index: &Index,
    rebalance: &Rebalance,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<Option<PlannedOrder>, ArithmeticError> {
    let mut buys = Vec::new();
    for planned in open_lines(rebalance, Side::Buy) {
        let limits = Limits::new(rules(planned.asset), &index.definition.risk);
        let missing = missing(index, rebalance, planned)?;
        let sized = limits.order(planned.asset, Side::Buy, missing, planned.price);
        if let Ok(sized) = sized {
            buys.push(Wanted {
                order: sized.order,
                first: planned.quantity.min(sized.order.quantity),
                limits,
            });
        }
    }
    let cash = spendable(index, index.cash, rebalance.total_value)?;
    Ok(fund(&buys, cash)?.orders.into_iter().flatten().next())
}

/// What a line lacks to its target value at the prices of the plan; nothing when it is above.
fn missing(
    index: &Index,
    rebalance: &Rebalance,
    planned: &PlannedOrder,
) -> Result<Quantity, ArithmeticError> {
    let mut constituents = index.definition.constituents.iter();
    let target = constituents
        .find(|constituent| constituent.asset == planned.asset)
        .map_or(Percent::ZERO, |constituent| constituent.target);
    let target = rebalance.total_value.percent(target)?;
    let value = index.quantity(planned.asset).value_at(planned.price)?;
    let missing = target.sub(value)?.max(Amount::ZERO);
    missing.quantity_at(planned.price)
}

fn sentence(text: &str) -> Reason {
    Reason::optional(text).unwrap_or_default()
}
