//! How a round ends: when no order is left, with another plan for what failed, or for good.
//!
//! A filled order is never undone: recovery goes forward, from what is really held.

use super::decide::{drift_at, go_on, running, snapshot};
use super::{
    Conditions, ROUNDS_MAX, Rebalance, RebalanceCancelled, RebalanceCompleted, RebalanceEvent,
    RebalanceFailed, RebalanceRefusal, RebalanceReplanned, Step,
};
use crate::drift::{self, Slots};
use crate::event::Event;
use crate::index::{self, Holding, Index, IndexEvent, IndexReconciled};
use crate::market::PriceSnapshot;
use crate::plan;
use crate::trading::TradingMode;
use crate::values::{Amount, Asset, Price, Timestamp};

/// What an account holds at the venue: cash and quantities.
pub type Held<'a> = (Amount, &'a [Holding]);

/// Ends the round: a new plan with its first intent while something is left to try, else the end.
///
/// Before that the books follow the venue where they differ, which is what a trade by hand or an
/// unknown fee leaves behind. `held` is none when the venue does not say; `prices` are the newest
/// ones; where they do not value the whole index, those of the plan serve.
///
/// # Errors
///
/// Refused while an order is open.
pub fn settle(
    index: &Index,
    held: Option<Held<'_>>,
    prices: &PriceSnapshot,
    conditions: &Conditions<'_>,
) -> Result<Vec<Event>, RebalanceRefusal> {
    let rebalance = running(index)?;
    if let Some(order) = rebalance.open {
        return Err(RebalanceRefusal::NotOpen(order.step));
    }
    let reconciled = held.and_then(|held| reconciled(index, held, conditions.now));
    let mut after = Some(index.clone());
    let mut events: Vec<Event> = Vec::new();
    if let Some(reconciled) = reconciled {
        let reconciled = IndexEvent::Reconciled(reconciled);
        index::apply(&mut after, &reconciled);
        events.push(Event::Index(reconciled));
    }
    let index = after.as_ref().unwrap_or(index);
    let rest = go_on_or_end(index, prices, conditions)?;
    events.extend(rest.into_iter().map(Event::Rebalance));
    Ok(events)
}

/// The event that makes the books follow the venue. None while a transfer is under way, and for an
/// asset without a price in the plan: the end could not be valued, so that is left to the job.
fn reconciled(index: &Index, (cash, holdings): Held<'_>, at: Timestamp) -> Option<IndexReconciled> {
    if !index.transfers.is_empty() {
        return None;
    }
    let prices = &index.rebalance.as_deref()?.prices;
    let reconciled = index::reconcile(index, cash, holdings, at).ok().flatten()?;
    let has_price = |asset: Asset| prices.iter().any(|(of, _)| *of == asset);
    let all = reconciled
        .holdings
        .iter()
        .all(|line| line.after.is_zero() || has_price(line.asset));
    all.then_some(reconciled)
}

fn go_on_or_end(
    index: &Index,
    prices: &PriceSnapshot,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = running(index)?;
    if is_worth_another_round(rebalance, conditions.mode) {
        let replanned = replan(index, rebalance, prices, conditions);
        if let Some(replanned) = replanned {
            rebalance.step(Step::Replanned)?;
            return go_on(index, RebalanceEvent::Replanned(replanned), conditions);
        }
    }
    Ok(vec![end(index, rebalance, conditions.now)?])
}

fn is_worth_another_round(rebalance: &Rebalance, mode: TradingMode) -> bool {
    let unfinished = rebalance.failure.is_some() || rebalance.partial;
    unfinished
        && rebalance.cancelling.is_none()
        && rebalance.round < ROUNDS_MAX
        && mode == TradingMode::Active
}

/// A plan for what is left; none when nothing is, or when it cannot be told.
fn replan(
    index: &Index,
    rebalance: &Rebalance,
    prices: &PriceSnapshot,
    conditions: &Conditions<'_>,
) -> Option<RebalanceReplanned> {
    let newest = drift::headline(index, prices, &mut Slots::default());
    let (prices, headline) = if let Ok(headline) = newest {
        (prices.clone(), headline)
    } else {
        let of_the_plan = snapshot(&rebalance.prices);
        let headline = drift::headline(index, &of_the_plan, &mut Slots::default());
        (of_the_plan, headline.ok()?)
    };
    let plan = plan::plan(index, &prices, conditions.rules).ok()?;
    if plan.orders.is_empty() {
        return None;
    }
    Some(RebalanceReplanned {
        rebalance_id: rebalance.rebalance_id,
        round: rebalance.round.checked_add(1)?,
        total_value: headline.total_value,
        plan,
        prices: prices_of(index, &prices),
        at: conditions.now,
    })
}

/// The price of every asset of an index that has one, sorted by asset.
pub fn prices_of(index: &Index, prices: &PriceSnapshot) -> Vec<(Asset, Price)> {
    let constituents = index.definition.constituents.iter().map(|line| line.asset);
    let mut assets: Vec<Asset> = constituents
        .chain(index.holdings.iter().map(|line| line.asset))
        .collect();
    assets.sort_unstable();
    assets.dedup();
    let found = assets
        .into_iter()
        .filter_map(|asset| Some((asset, prices.price(asset).ok()?)));
    found.collect()
}

fn end(
    index: &Index,
    rebalance: &Rebalance,
    at: Timestamp,
) -> Result<RebalanceEvent, RebalanceRefusal> {
    let rebalance_id = rebalance.rebalance_id;
    let trades = rebalance.executed;
    let drift_after = drift_at(index, &rebalance.prices);
    if let Some(reason) = &rebalance.cancelling {
        rebalance.step(Step::Cancelled)?;
        return Ok(RebalanceEvent::Cancelled(RebalanceCancelled {
            rebalance_id,
            trades,
            reason: reason.clone(),
            at,
        }));
    }
    Ok(match &rebalance.failure {
        None => {
            rebalance.step(Step::Completed)?;
            RebalanceEvent::Completed(RebalanceCompleted {
                rebalance_id,
                drift_after: drift_after?,
                trades,
                at,
            })
        }
        Some(reason) => {
            rebalance.step(Step::Failed)?;
            RebalanceEvent::Failed(RebalanceFailed {
                rebalance_id,
                drift_after: drift_after.ok(),
                trades,
                reason: reason.clone(),
                at,
            })
        }
    })
}
