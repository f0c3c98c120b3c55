//! Rebalances as the log tells them, from their start to their end.

use std::collections::BTreeMap;

use evenkeel_domain::plan::TradePlan;
use evenkeel_domain::rebalance::{
    Order, OrderIntended, Reason, RebalanceEvent, RebalanceStarted, RebalanceStatus, TradeExecuted,
    TradeFailed, Trigger, client_order_id,
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
    /// Until when it waits for approval, or waited.
    pub approval_until: Option<Timestamp>,
    /// Drift before, percentage points.
    pub drift_before: Percent,
    /// Drift after, percentage points.
    pub drift_after: Option<Percent>,
    /// Its plan, the newest one.
    pub plan: TradePlan,
    /// Its orders with what became of them, in order.
    pub orders: Vec<OrderRecord>,
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

/// What is known of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// It is about to be sent, or was; nothing is known yet.
    Intended,
    /// The venue has it and has not closed it yet.
    Accepted,
    /// It was filled.
    Filled,
    /// It is closed, filled in part.
    PartiallyFilled,
    /// It came to nothing.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// An order of a rebalance, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRecord {
    /// What the venue knows it by.
    pub client_order_id: String,
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// What is known of it.
    pub status: OrderStatus,
    /// When it was decided.
    pub intended_at: Timestamp,
}

impl RebalanceRecord {
    fn order_is(&mut self, step: u32, status: OrderStatus) {
        let order = self.orders.iter_mut().rev().find(|o| o.order.step == step);
        if let Some(order) = order {
            order.status = status;
        }
    }

    fn new(index_id: IndexId, started: &RebalanceStarted) -> Self {
        Self {
            rebalance_id: started.rebalance_id,
            index_id,
            trigger: started.trigger,
            status: match started.approval_until {
                Some(_) => RebalanceStatus::Planned,
                None => RebalanceStatus::Executing,
            },
            approval_until: started.approval_until,
            orders: Vec::new(),
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
            RebalanceEvent::Started(_) => {}
            RebalanceEvent::Approved(_) => self.status = RebalanceStatus::Executing,
            RebalanceEvent::OrderIntended(intended) => {
                self.orders.push(OrderRecord::new(intended));
            }
            RebalanceEvent::OrderAccepted(accepted) => {
                self.status = RebalanceStatus::Executing;
                self.order_is(accepted.step, OrderStatus::Accepted);
            }
            RebalanceEvent::TradeExecuted(trade) => {
                self.status = RebalanceStatus::Executing;
                let whole = trade.quantity >= trade.ordered;
                let status = if whole {
                    OrderStatus::Filled
                } else {
                    OrderStatus::PartiallyFilled
                };
                self.order_is(trade.step, status);
                self.trades.push(*trade);
            }
            RebalanceEvent::TradeFailed(failed) => {
                self.status = RebalanceStatus::Executing;
                self.order_is(failed.step, OrderStatus::Failed);
                self.failures.push(failed.clone());
            }
            RebalanceEvent::Stuck(stuck) => {
                self.status = RebalanceStatus::Stuck;
                self.order_is(stuck.step, OrderStatus::Unknown);
                self.reason = Some(stuck.reason.clone());
            }
            RebalanceEvent::Replanned(replanned) => self.plan = replanned.plan.clone(),
            RebalanceEvent::CancelRequested(asked) => self.reason = Some(asked.reason.clone()),
            RebalanceEvent::Cancelled(cancelled) => {
                self.status = RebalanceStatus::Cancelled;
                self.reason = Some(cancelled.reason.clone());
                self.ended_at = Some(cancelled.at);
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

impl OrderRecord {
    fn new(intended: &OrderIntended) -> Self {
        let OrderIntended {
            rebalance_id,
            order,
            at,
        } = intended;
        Self {
            client_order_id: client_order_id(*rebalance_id, order.step),
            order: *order,
            status: OrderStatus::Intended,
            intended_at: *at,
        }
    }
}

fn id_of(event: &RebalanceEvent) -> RebalanceId {
    match event {
        RebalanceEvent::Started(event) => event.rebalance_id,
        RebalanceEvent::OrderIntended(event) => event.rebalance_id,
        RebalanceEvent::Approved(event) => event.rebalance_id,
        RebalanceEvent::OrderAccepted(event) => event.rebalance_id,
        RebalanceEvent::Replanned(event) => event.rebalance_id,
        RebalanceEvent::CancelRequested(event) => event.rebalance_id,
        RebalanceEvent::Cancelled(event) => event.rebalance_id,
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
