//! How a round ends: when no order is left, with another plan for what failed, or for good.
//!
//! A filled order is never undone: recovery goes forward, from what is really held.

use super::decide::{drift_at, go_on, running, snapshot};
use super::{
    Conditions, ROUNDS_MAX, Rebalance, RebalanceCancelled, RebalanceCompleted, RebalanceEvent,
    RebalanceFailed, RebalanceRefusal, RebalanceReplanned, Step,
};
use crate::drift::{self, Slots};
use crate::index::Index;
use crate::market::PriceSnapshot;
use crate::plan;
use crate::trading::TradingMode;
use crate::values::{Asset, Price, Timestamp};

/// Ends the round: a new plan with its first intent while something is left to try, else the end.
///
/// `prices` are the newest ones; where they do not value the whole index, those of the plan serve.
pub fn settle(
    index: &Index,
    prices: &PriceSnapshot,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = running(index)?;
    if let Some(order) = rebalance.open {
        return Err(RebalanceRefusal::NotOpen(order.step));
    }
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
    let (prices, headline) = match drift::headline(index, prices, &mut Slots::default()) {
        Ok(headline) => (prices.clone(), headline),
        Err(_) => {
            let of_the_plan = snapshot(&rebalance.prices);
            let headline = drift::headline(index, &of_the_plan, &mut Slots::default()).ok()?;
            (of_the_plan, headline)
        }
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
    let priced = assets
        .into_iter()
        .filter_map(|asset| Some((asset, prices.price(asset).ok()?)));
    priced.collect()
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
