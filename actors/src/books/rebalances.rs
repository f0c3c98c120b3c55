//! Rebalances as the log tells them, from their start to their end.

use std::collections::BTreeMap;

use evenkeel_domain::plan::TradePlan;
use evenkeel_domain::rebalance::{
    Reason, RebalanceEvent, RebalanceStarted, RebalanceStatus, TradeExecuted, TradeFailed, Trigger,
};
use evenkeel_domain::values::{IndexId, Percent, RebalanceId, Timestamp};
use serde::Serialize;

/// A rebalance: its plan, what became of it, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceRecord {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// Whose.
    pub index_id: IndexId,
    /// What set it off.
    pub trigger: Trigger,
    /// Where it is.
    pub status: RebalanceStatus,
    /// Drift before, percentage points.
    pub drift_before: Percent,
    /// Drift after, percentage points.
    pub drift_after: Option<Percent>,
    /// Its plan.
    pub plan: TradePlan,
    /// Executed trades, in order.
    pub trades: Vec<TradeExecuted>,
    /// Failed trades, in order.
    pub failures: Vec<TradeFailed>,
    /// Why it failed or is stuck.
    pub reason: Option<Reason>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl RebalanceRecord {
    fn new(index_id: IndexId, started: &RebalanceStarted) -> Self {
        Self {
            rebalance_id: started.rebalance_id,
            index_id,
            trigger: started.trigger,
            status: RebalanceStatus::Executing,
            drift_before: started.drift_before,
            drift_after: None,
            plan: started.plan.clone(),
            trades: Vec::new(),
            failures: Vec::new(),
            reason: None,
            started_at: started.at,
            ended_at: None,
        }
    }

    /// A rebalance from its events, in order.
    pub(crate) fn of(
        index_id: IndexId,
        events: impl Iterator<Item = RebalanceEvent>,
    ) -> Option<Self> {
        let mut record: Option<Self> = None;
        for event in events {
            match (&event, &mut record) {
                (RebalanceEvent::Started(started), record) => {
                    *record = Some(Self::new(index_id, started));
                }
                (event, Some(record)) => record.take(event),
                (_, None) => {}
            }
        }
        record
    }

    fn take(&mut self, event: &RebalanceEvent) {
        match event {
            RebalanceEvent::Started(_) | RebalanceEvent::OrderIntended(_) => {}
            RebalanceEvent::TradeExecuted(trade) => {
                self.status = RebalanceStatus::Executing;
                self.trades.push(*trade);
            }
            RebalanceEvent::TradeFailed(failed) => {
                self.status = RebalanceStatus::Executing;
                self.failures.push(failed.clone());
            }
            RebalanceEvent::Stuck(stuck) => {
                self.status = RebalanceStatus::Stuck;
                self.reason = Some(stuck.reason.clone());
            }
            RebalanceEvent::Completed(completed) => {
                self.status = RebalanceStatus::Completed;
                self.drift_after = Some(completed.drift_after);
                self.reason = None;
                self.ended_at = Some(completed.at);
            }
            RebalanceEvent::Failed(failed) => {
                self.status = RebalanceStatus::Failed;
                self.drift_after = failed.drift_after;
                self.reason = Some(failed.reason.clone());
                self.ended_at = Some(failed.at);
            }
        }
    }
}

fn id_of(event: &RebalanceEvent) -> RebalanceId {
    match event {
        RebalanceEvent::Started(event) => event.rebalance_id,
        RebalanceEvent::OrderIntended(event) => event.rebalance_id,
        RebalanceEvent::TradeExecuted(event) => event.rebalance_id,
        RebalanceEvent::TradeFailed(event) => event.rebalance_id,
        RebalanceEvent::Stuck(event) => event.rebalance_id,
        RebalanceEvent::Completed(event) => event.rebalance_id,
        RebalanceEvent::Failed(event) => event.rebalance_id,
    }
}

/// Folds an event of the stream of an index.
pub(super) fn apply(
    records: &mut BTreeMap<RebalanceId, RebalanceRecord>,
    index_id: IndexId,
    event: &RebalanceEvent,
    keep_ended: bool,
) {
    let id = id_of(event);
    if let RebalanceEvent::Started(started) = event {
        records.insert(id, RebalanceRecord::new(index_id, started));
    }
    let Some(record) = records.get_mut(&id) else {
        return;
    };
    record.take(event);
    if record.ended_at.is_some() && !keep_ended {
        records.remove(&id);
    }
}
