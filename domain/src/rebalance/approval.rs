//! What people decide about a rebalance: that it may run, or shall not go on.

use super::decide::{go_on, running, sentence};
use super::{
    Conditions, Phase, Reason, Rebalance, RebalanceApproved, RebalanceCancelRequested,
    RebalanceCancelled, RebalanceEvent, RebalanceRefusal, Step,
};
use crate::index::Index;
use crate::trading::TradingMode;
use crate::values::{RebalanceId, Timestamp};

/// Lets a planned rebalance run: `Approved`, with the first intent.
pub fn approve(
    index: &Index,
    rebalance_id: RebalanceId,
    conditions: &Conditions<'_>,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = this_one(index, rebalance_id)?;
    rebalance.step(Step::Approved)?;
    if conditions.mode == TradingMode::Halted {
        return Err(RebalanceRefusal::Halted);
    }
    let at = conditions.now;
    if let Some(until) = rebalance.approval_until.filter(|until| at > *until) {
        return Err(RebalanceRefusal::ApprovalExpired(until));
    }
    let approved = RebalanceApproved { rebalance_id, at };
    go_on(index, RebalanceEvent::Approved(approved), conditions)
}

/// Calls a rebalance off: at once while it waits for approval, else when the order that is on
/// its way is closed. What was filled stays. Asking a second time changes nothing.
pub fn cancel(
    index: &Index,
    rebalance_id: RebalanceId,
    reason: Reason,
    at: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = this_one(index, rebalance_id)?;
    if rebalance.phase == Phase::Planned {
        return Ok(vec![called_off(rebalance, reason, at)?]);
    }
    if rebalance.cancelling.is_some() {
        return Ok(Vec::new());
    }
    rebalance.step(Step::CancelRequested)?;
    Ok(vec![RebalanceEvent::CancelRequested(
        RebalanceCancelRequested {
            rebalance_id,
            reason,
            at,
        },
    )])
}

/// Calls off a rebalance that has waited for approval too long; nothing while it may wait.
pub fn expire(index: &Index, now: Timestamp) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let rebalance = running(index)?;
    let waits = rebalance.phase == Phase::Planned;
    let passed = rebalance.approval_until.is_none_or(|until| now > until);
    if !(waits && passed) {
        return Ok(Vec::new());
    }
    let reason = sentence("nobody approved the plan in time");
    Ok(vec![called_off(rebalance, reason, now)?])
}

fn this_one(index: &Index, rebalance_id: RebalanceId) -> Result<&Rebalance, RebalanceRefusal> {
    let rebalance = index.rebalance.as_deref();
    rebalance
        .filter(|rebalance| rebalance.rebalance_id == rebalance_id)
        .ok_or(RebalanceRefusal::NotThisOne(rebalance_id))
}

fn called_off(
    rebalance: &Rebalance,
    reason: Reason,
    at: Timestamp,
) -> Result<RebalanceEvent, RebalanceRefusal> {
    rebalance.step(Step::Cancelled)?;
    Ok(RebalanceEvent::Cancelled(RebalanceCancelled {
        rebalance_id: rebalance.rebalance_id,
        trades: rebalance.executed,
        reason,
        at,
    }))
}
