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
    /// An order is about to be sent.
    OrderIntended(OrderIntended),
    /// An order was filled; holdings and cash change with it.
    TradeExecuted(TradeExecuted),
    /// An order came to nothing.
    TradeFailed(TradeFailed),
    /// Nobody knows what became of an order.
    Stuck(RebalanceStuck),
    /// All orders ended well.
    Completed(RebalanceCompleted),
    /// At least one order failed.
    Failed(RebalanceFailed),
}

/// `rebalance.started` v1.
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

/// `trade.executed` v1.
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
    /// Quantity traded.
    pub quantity: Quantity,
    /// Average price.
    pub price: Price,
    /// Quantity × price as the venue booked it.
    pub notional: Amount,
    /// Fee in cash, on top of a buy, out of a sell.
    pub fee: Amount,
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
