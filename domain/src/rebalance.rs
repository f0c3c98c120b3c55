//! A rebalance: a saga over orders. Each order is an intent first, then has an outcome.
//!
//! ```text
//! started ─► sell intended ─► sold … ─► buy intended ─► bought … ─► completed
//!                 └─► trade failed ─┘        └─► trade failed ─┘ └─► failed
//!                 └─► stuck (nobody knows what became of the order) ─► asked again
//! ```

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::plan::{InstrumentRules, Side, TradePlan};
use crate::values::{
    Amount, ArithmeticError, Asset, Percent, Price, Quantity, RebalanceId, Text, Timestamp,
};

/// A sentence that says why.
pub type Reason = Text<300>;

/// What set a rebalance off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Trigger {
    /// The first investment, or a later deposit.
    Deposit,
    /// Drift above the threshold.
    Drift,
    /// The interval of `HYBRID`.
    Interval,
    /// An owner.
    Manual,
}

/// Where a rebalance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RebalanceStatus {
    /// Orders are being carried out.
    Executing,
    /// All orders ended well.
    Completed,
    /// At least one order failed.
    Failed,
    /// Nobody knows what became of an order.
    Stuck,
}

/// What is sent to a venue. The step makes its client order id unique for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Counts the orders of a rebalance from 1.
    pub step: u32,
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// The price of the decision.
    pub price: Price,
    /// Worst acceptable price, from the index's largest slippage.
    pub limit: Price,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderOutcome {
    /// It was filled, whole or in part, and is closed.
    Filled(Fill),
    /// The venue refused it, or it expired without a fill.
    Refused(Reason),
    /// The venue never heard of it, after every attempt to send it.
    NotSent(Reason),
    /// Nobody knows.
    Unknown(Reason),
}

/// What was traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// Quantity traded.
    pub quantity: Quantity,
    /// Average price.
    pub price: Price,
    /// Quantity × price as the venue booked it.
    pub notional: Amount,
    /// Fee in cash, on top of a buy, out of a sell.
    pub fee: Amount,
}

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

/// A running rebalance: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// What set it off.
    pub trigger: Trigger,
    /// Where it is: `Executing` or `Stuck`; ended ones leave the index.
    pub status: RebalanceStatus,
    /// The plan.
    pub plan: TradePlan,
    /// The prices it works with.
    pub prices: Vec<(Asset, Price)>,
    /// The intent without an outcome, if there is one.
    pub open: Option<Order>,
    /// Step of the last intent.
    pub last_step: u32,
    /// Assets and sides whose order has ended, in order.
    pub ended: Vec<(Asset, Side)>,
    /// How many trades were executed.
    pub executed: u32,
    /// The first failure.
    pub failure: Option<Reason>,
    /// When it began.
    pub started_at: Timestamp,
}

/// An event or a report that does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebalanceRefusal {
    /// No rebalance is running.
    #[error("no rebalance is running")]
    NotRunning,
    /// A report for an order that is not open.
    #[error("order {0} is not open")]
    NotOpen(u32),
    /// A number that does not fit, or a fill beyond what was held.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// What the saga actor has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Find out what became of the order; send it if the venue never heard of it.
    CarryOut(Order),
    /// Nothing: it has ended.
    Nothing,
}

/// Begins a rebalance: `Started` with the first intent, or `Started` with its end when the
/// plan has no orders.
pub fn start(
    index: &Index,
    started: RebalanceStarted,
    rules: &dyn Fn(Asset) -> InstrumentRules,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let _ = (index, started, rules);
    unimplemented!()
}

/// Takes in what became of the open order: the outcome, and the next intent or the end.
///
/// Sells run in the order of the plan. When all sells have ended, each buy is sized from the
/// cash that is really there. A fill that reports more than was ordered is booked as the venue
/// says only if holdings and cash stay at zero or above.
pub fn report(
    index: &Index,
    step: u32,
    outcome: OrderOutcome,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    now: Timestamp,
) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
    let _ = (index, step, outcome, rules, now);
    unimplemented!()
}

/// What to do next, for a fresh saga and for one that is resumed.
pub fn react(rebalance: &Rebalance) -> Effect {
    let _ = rebalance;
    unimplemented!()
}

/// The client order id of a step: unique for ever, the same after every restart.
pub fn client_order_id(rebalance_id: RebalanceId, step: u32) -> String {
    format!("{rebalance_id}-{step}")
}
