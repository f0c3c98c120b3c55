//! What happens in a rebalance. Each struct is a stored layout: add a version, never edit one.

use serde::{Deserialize, Serialize};

use super::{Order, Reason, Trigger};
use crate::plan::{Side, TradePlan};
use crate::values::{Amount, Asset, Percent, Price, Quantity, RebalanceId, Timestamp};

/// What happened in a rebalance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebalanceEvent {
    /// It began; the plan is fixed, buys are sized anew from real cash.
    Started(RebalanceStarted),
    /// Its plan was approved.
    Approved(RebalanceApproved),
    /// An order is about to be sent.
    OrderIntended(OrderIntended),
    /// The venue has an order and has not closed it yet.
    OrderAccepted(OrderAccepted),
    /// An order was filled; holdings and cash change with it.
    TradeExecuted(TradeExecuted),
    /// An order came to nothing.
    TradeFailed(TradeFailed),
    /// Nobody knows what became of an order.
    Stuck(RebalanceStuck),
    /// A new plan for what failed orders and partial fills left.
    Replanned(RebalanceReplanned),
    /// It is to be called off: no order follows the one that is on its way.
    CancelRequested(RebalanceCancelRequested),
    /// All orders ended well.
    Completed(RebalanceCompleted),
    /// Orders failed, also in the last round.
    Failed(RebalanceFailed),
    /// It was called off.
    Cancelled(RebalanceCancelled),
}

/// `rebalance.started` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStarted {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// What set it off.
    pub trigger: Trigger,
    /// Drift before, percentage points.
    pub drift_before: Percent,
    /// Value with cash.
    pub total_value: Amount,
    /// The plan.
    pub plan: TradePlan,
    /// The prices it works with: every asset of the index.
    pub prices: Vec<(Asset, Price)>,
    /// Until when it waits for approval; none when it needs none.
    pub approval_until: Option<Timestamp>,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.approved` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceApproved {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// When.
    pub at: Timestamp,
}

/// `order.intended` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderIntended {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// The order.
    pub order: Order,
    /// When.
    pub at: Timestamp,
}

/// `order.accepted` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAccepted {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// The order's step.
    pub step: u32,
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// When.
    pub at: Timestamp,
}

/// `trade.executed` v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeExecuted {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// The order's step.
    pub step: u32,
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// Quantity ordered: above the quantity traded when the order was filled in part.
    pub ordered: Quantity,
    /// Quantity traded.
    pub quantity: Quantity,
    /// Average price.
    pub price: Price,
    /// Quantity × price as the venue booked it.
    pub notional: Amount,
    /// Fee in cash, on top of a buy, out of a sell.
    pub fee: Amount,
    /// Fee in the asset itself, out of a buy, on top of a sell.
    pub base_fee: Quantity,
    /// When.
    pub at: Timestamp,
}

/// `trade.failed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeFailed {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// The order's step.
    pub step: u32,
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// How much was ordered.
    pub quantity: Quantity,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.stuck` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStuck {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// The order that nobody knows the fate of.
    pub step: u32,
    /// What is known.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.replanned` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceReplanned {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// Counts the plans of a rebalance from 1.
    pub round: u32,
    /// Value with cash.
    pub total_value: Amount,
    /// The plan.
    pub plan: TradePlan,
    /// The prices it works with: every asset of the index.
    pub prices: Vec<(Asset, Price)>,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.cancel_requested` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceCancelRequested {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.completed` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceCompleted {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// Drift after, percentage points, at the prices of the plan.
    pub drift_after: Percent,
    /// How many trades were executed.
    pub trades: u32,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.failed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceFailed {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// Drift after, percentage points, at the prices of the plan; none if it cannot be told.
    pub drift_after: Option<Percent>,
    /// How many trades were executed.
    pub trades: u32,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// `rebalance.cancelled` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceCancelled {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// How many trades were executed.
    pub trades: u32,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}
