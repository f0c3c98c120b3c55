//! Payloads of earlier versions, frozen, and what they are now.

use serde::{Deserialize, Serialize};

use super::{RebalanceStarted, TradeExecuted, Trigger};
use crate::plan::{Side, TradePlan};
use crate::values::{Amount, Asset, Percent, Price, Quantity, RebalanceId, Timestamp};

/// `rebalance.started` v1: nobody was asked for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceStartedV1 {
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
    /// The prices it works with.
    pub prices: Vec<(Asset, Price)>,
    /// When.
    pub at: Timestamp,
}

impl From<RebalanceStartedV1> for RebalanceStarted {
    fn from(old: RebalanceStartedV1) -> Self {
        Self {
            rebalance_id: old.rebalance_id,
            trigger: old.trigger,
            drift_before: old.drift_before,
            total_value: old.total_value,
            plan: old.plan,
            prices: old.prices,
            approval_until: None,
            at: old.at,
        }
    }
}

/// `trade.executed` v1: fees were taken in cash, and what was ordered stands in `order.intended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeExecutedV1 {
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
    /// Fee in cash.
    pub fee: Amount,
    /// When.
    pub at: Timestamp,
}

impl From<TradeExecutedV1> for TradeExecuted {
    fn from(old: TradeExecutedV1) -> Self {
        Self {
            rebalance_id: old.rebalance_id,
            step: old.step,
            asset: old.asset,
            side: old.side,
            ordered: old.quantity,
            quantity: old.quantity,
            price: old.price,
            notional: old.notional,
            fee: old.fee,
            base_fee: Quantity::ZERO,
            at: old.at,
        }
    }
}
