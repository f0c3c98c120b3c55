//! How a rebalance begins, and what follows from what became of an order.
//!
//! The first event of a batch is applied to a copy of the index, so that the next order is
//! sized from the holdings and the cash that are there after it.

use super::next::next_order;
use super::{
    Conditions, Fill, Order, OrderAccepted, OrderIntended, OrderOutcome, Reason, Rebalance,
    RebalanceEvent, RebalanceRefusal, RebalanceStarted, RebalanceStuck, Step, TradeExecuted,
    TradeFailed,
};
use crate::drift::{self, DriftError, Slots};
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::plan::Side;
use crate::trading::TradingMode;
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity, Timestamp};

/// Begins a rebalance: `Started`, with the first intent unless it waits for approval or the plan
/// has no orders.
pub fn start(
    index: &Index,
    started: RebalanceStarted,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    if let Some(running) = &index.rebalance {
        return Err(RebalanceRefusal::AlreadyRunning(running.rebalance_id));
    }
    if conditions.mode == TradingMode::Halted {
        return Err(RebalanceRefusal::Halted);
    }
    // The end needs prices of every asset to tell the drift: without them, do not begin.
    drift_at(index, &started.prices)?;
    let waits = started.approval_until.is_some();
    let event = RebalanceEvent::Started(started);
    if waits {
        return Ok(vec![event]);
    }
    go_on(index, event, conditions)
}

/// Takes in what became of the open order: the outcome, and the next intent if there is one.
///
/// Sells run in the order of the plan. When all sells have ended, each buy is sized from the
/// cash that is really there; one that fell below its minimum is left out without a word, for
/// the trades before it explain it. A fill that reports more than was ordered is booked as the
/// venue says only if holdings and cash stay at zero or above.
pub fn report(
    index: &Index,
    step: u32,
    outcome: OrderOutcome,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = running(index)?;
    let order = rebalance
        .open
        .filter(|order| order.step == step)
        .ok_or(RebalanceRefusal::NotOpen(step))?;
    let now = conditions.now;
    let event = match outcome {
        OrderOutcome::Accepted => return accepted(rebalance, &order, now),
        OrderOutcome::Unknown(reason) => return lost(rebalance, step, reason, now),
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
    };
    rebalance.step(Step::Ended)?;
    go_on(index, event, conditions)
}

pub(super) fn running(index: &Index) -> Result<&Rebalance, RebalanceRefusal> {
    index
        .rebalance
        .as_deref()
        .ok_or(RebalanceRefusal::NotRunning)
}

/// Told once, not every time that the venue says so.
fn accepted(
    rebalance: &Rebalance,
    order: &Order,
    at: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    if rebalance.accepted && rebalance.phase != super::Phase::Stuck {
        return Ok(Vec::new());
    }
    rebalance.step(Step::Accepted(order.side))?;
    Ok(vec![RebalanceEvent::OrderAccepted(OrderAccepted {
        rebalance_id: rebalance.rebalance_id,
        step: order.step,
        asset: order.asset,
        side: order.side,
        at,
    })])
}

/// The same.
fn lost(
    rebalance: &Rebalance,
    step: u32,
    reason: Reason,
    at: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    if rebalance.phase == super::Phase::Stuck {
        return Ok(Vec::new());
    }
    rebalance.step(Step::Lost)?;
    Ok(vec![RebalanceEvent::Stuck(RebalanceStuck {
        rebalance_id: rebalance.rebalance_id,
        step,
        reason,
        at,
    })])
}

/// A fill may not make cash or a holding negative, nor move either the wrong way.
fn require_covered(index: &Index, order: &Order, fill: &Fill) -> Result<(), ArithmeticError> {
    let held = index.quantity(order.asset);
    let (quantity, cash) = match order.side {
        Side::Sell => (
            held.sub(fill.quantity)?.sub(fill.base_fee)?,
            index.cash.add(fill.notional)?.sub(fill.fee)?,
        ),
        Side::Buy => (
            held.add(fill.quantity)?.sub(fill.base_fee)?,
            index.cash.sub(fill.notional)?.sub(fill.fee)?,
        ),
    };
    let plausible = fill.quantity.is_positive()
        && fill.notional >= Amount::ZERO
        && fill.base_fee >= Quantity::ZERO
        && fill.base_fee <= fill.quantity;
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
        ordered: order.quantity,
        quantity: fill.quantity,
        price: fill.price,
        notional: fill.notional,
        fee: fill.fee,
        base_fee: fill.base_fee,
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

/// The event, and the next intent if an order is left in this round.
pub(super) fn go_on(
    index: &Index,
    event: RebalanceEvent,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let mut after = index.clone();
    after.adopt_rebalance(&event);
    let rebalance = running(&after)?;
    let mut events = vec![event];
    if let Some(order) = next_order(&after, rebalance, conditions)? {
        rebalance.step(Step::Intended(order.side))?;
        events.push(RebalanceEvent::OrderIntended(OrderIntended {
            rebalance_id: rebalance.rebalance_id,
            order,
            at: conditions.now,
        }));
    }
    Ok(events)
}

/// Drift at the prices of the plan; an index without value has none.
pub(super) fn drift_at(
    index: &Index,
    prices: &[(Asset, Price)],
) -> Result<Percent, ArithmeticError> {
    match drift::headline(index, &snapshot(prices), &mut Slots::default()) {
        Ok(headline) => Ok(headline.drift),
        Err(DriftError::NoValue) => Ok(Percent::ZERO),
        Err(DriftError::Price(..) | DriftError::Arithmetic(_)) => Err(ArithmeticError),
    }
}

/// The prices of a plan as a snapshot.
pub(super) fn snapshot(prices: &[(Asset, Price)]) -> PriceSnapshot {
    let entries = prices.iter().map(|(asset, price)| (*asset, Ok(*price)));
    PriceSnapshot::new(0, 0, entries.collect())
}

/// A constant that fits, as a reason.
pub(super) fn sentence(text: &str) -> Reason {
    Reason::optional(text).unwrap_or_default()
}
