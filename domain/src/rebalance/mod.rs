//! A rebalance: a saga over orders. Each order is an intent first, then has an outcome.
//!
//! ```text
//! started ─► sell intended ─► sold … ─► buy intended ─► bought … ─► completed
//!                 └─► trade failed ─┘        └─► trade failed ─┘ └─► failed
//!                 └─► stuck (nobody knows what became of the order) ─► asked again
//! ```

mod decide;
mod event;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::plan::{Side, TradePlan};
use crate::values::{
    Amount, ArithmeticError, Asset, Price, Quantity, RebalanceId, Text, Timestamp,
};

pub use decide::{report, start};
pub use event::{
    OrderIntended, RebalanceCompleted, RebalanceEvent, RebalanceFailed, RebalanceStarted,
    RebalanceStuck, TradeExecuted, TradeFailed,
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
    /// Worst acceptable price: from the index's largest slippage, and for a buy never beyond
    /// what the cash there pays for.
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

/// A running rebalance: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// What set it off.
    pub trigger: Trigger,
    /// Where it is: `Executing` or `Stuck`; ended ones leave the index.
    pub status: RebalanceStatus,
    /// Value with cash when it began: targets are shares of it.
    pub total_value: Amount,
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
    /// Another one is running.
    #[error("rebalance {0} is running; try again when it has ended")]
    AlreadyRunning(RebalanceId),
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

/// What to do next, for a fresh saga and for one that is resumed.
pub fn react(rebalance: &Rebalance) -> Effect {
    rebalance.open.map_or(Effect::Nothing, Effect::CarryOut)
}

/// The client order id of a step: unique for ever, the same after every restart.
pub fn client_order_id(rebalance_id: RebalanceId, step: u32) -> String {
    format!("{rebalance_id}-{step}")
}
