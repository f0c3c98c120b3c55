//! A rebalance: a saga over orders. Each order is an intent first, then has an outcome.
//!
//! [`phase`] has the state machine, [`report()`] what follows from each outcome, [`settle()`] how a
//! round ends: with another plan for what is left, or for good.

mod apply;
mod approval;
mod decide;
mod event;
mod next;
mod old;
pub mod phase;
#[cfg(test)]
mod properties;
mod settle;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::plan::{InstrumentRules, Side, TradePlan};
use crate::trading::TradingMode;
use crate::values::{
    Amount, ArithmeticError, Asset, Price, Quantity, RebalanceId, Text, Timestamp,
};

pub use approval::{approve, cancel, expire};
pub use decide::{report, start};
pub use event::{
    OrderAccepted, OrderIntended, RebalanceApproved, RebalanceCancelRequested, RebalanceCancelled,
    RebalanceCompleted, RebalanceEvent, RebalanceFailed, RebalanceReplanned, RebalanceStarted,
    RebalanceStuck, TradeExecuted, TradeFailed,
};
pub use old::{RebalanceStartedV1, TradeExecutedV1};
pub use phase::Phase;
use phase::{IllegalTransition, Step};
pub use settle::{Held, prices_of, settle};

/// Plans of one rebalance: what failed, or was filled in part, is planned anew this many times
/// less one. A venue that goes on refusing has had its chances.
pub const ROUNDS_MAX: u32 = 3;

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
    /// It waits for approval.
    Planned,
    /// It was called off.
    Cancelled,
}

impl From<Phase> for RebalanceStatus {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Planned => Self::Planned,
            Phase::Selling | Phase::Buying | Phase::Reconciling => Self::Executing,
            Phase::Stuck => Self::Stuck,
            Phase::Completed => Self::Completed,
            Phase::Failed => Self::Failed,
            Phase::Cancelled => Self::Cancelled,
        }
    }
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
    /// The venue has it and has not closed it yet.
    Accepted,
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
    /// Fee in the asset itself, out of a buy, on top of a sell.
    pub base_fee: Quantity,
}

/// A running rebalance: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// The rebalance.
    pub rebalance_id: RebalanceId,
    /// What set it off.
    pub trigger: Trigger,
    /// Where it is; ended ones leave the index.
    pub phase: Phase,
    /// Counts its plans from 1.
    pub round: u32,
    /// Until when it waits for approval.
    pub approval_until: Option<Timestamp>,
    /// Why it is to be called off, if it is.
    pub cancelling: Option<Reason>,
    /// Value with cash when it began: targets are shares of it.
    pub total_value: Amount,
    /// The plan.
    pub plan: TradePlan,
    /// The prices it works with.
    pub prices: Vec<(Asset, Price)>,
    /// The intent without an outcome, if there is one.
    pub open: Option<Order>,
    /// The venue has the open order.
    pub accepted: bool,
    /// Step of the last intent.
    pub last_step: u32,
    /// Assets and sides of this round's ended orders, in order.
    pub ended: Vec<(Asset, Side)>,
    /// An order of this round was filled in part.
    pub partial: bool,
    /// How many trades were executed.
    pub executed: u32,
    /// The first failure of this round.
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
    /// Another rebalance is meant than the one that runs.
    #[error("rebalance {0} is not running")]
    NotThisOne(RebalanceId),
    /// Only what is stuck is resolved by hand.
    #[error("rebalance {0} is not stuck; it finds out by itself what became of its orders")]
    NotStuck(RebalanceId),
    /// A report for an order that is not open.
    #[error("order {0} is not open")]
    NotOpen(u32),
    /// Something that cannot follow.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The kill switch forbids it.
    #[error("trading is halted; set it to ACTIVE first")]
    Halted,
    /// The time for an approval has passed.
    #[error("the plan could be approved until {0}; start another rebalance")]
    ApprovalExpired(Timestamp),
    /// A number that does not fit, or a fill beyond what was held.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// What a decision depends on besides the index.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    /// What the venue demands of an order.
    pub rules: &'a dyn Fn(Asset) -> InstrumentRules,
    /// Which orders may be sent: the stricter of the two switches.
    pub mode: TradingMode,
    /// The time.
    pub now: Timestamp,
}

/// What has to be done next. A rebalance has one next thing, never several: each buy is sized
/// from the cash that the orders before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Wait until the plan is approved, called off, or its time has passed.
    AwaitApproval(Timestamp),
    /// Find out what became of the order; send it if the venue never heard of it.
    CarryOut(Order),
    /// Close the order at the venue and find out what became of it; never send it.
    Withdraw(Order),
    /// Ask the venue what it holds, for [`settle`].
    Reconcile,
    /// Nothing: it has ended.
    Nothing,
}

/// What to do next, for a fresh saga and for one that is resumed.
pub fn react(rebalance: &Rebalance) -> Effect {
    match (rebalance.phase, rebalance.open) {
        (Phase::Planned, _) => {
            Effect::AwaitApproval(rebalance.approval_until.unwrap_or(rebalance.started_at))
        }
        (Phase::Selling | Phase::Buying | Phase::Stuck, Some(order)) => {
            if rebalance.cancelling.is_some() {
                Effect::Withdraw(order)
            } else {
                Effect::CarryOut(order)
            }
        }
        (Phase::Reconciling | Phase::Selling | Phase::Buying | Phase::Stuck, _) => {
            Effect::Reconcile
        }
        (Phase::Completed | Phase::Failed | Phase::Cancelled, _) => Effect::Nothing,
    }
}

impl Rebalance {
    /// Where it is, as the world is told.
    pub fn status(&self) -> RebalanceStatus {
        self.phase.into()
    }

    /// The phase after a step, if the step may follow.
    fn step(&self, step: Step) -> Result<Phase, IllegalTransition> {
        phase::next(self.phase, step)
    }
}

/// The client order id of a step: unique for ever, the same after every restart.
pub fn client_order_id(rebalance_id: RebalanceId, step: u32) -> String {
    format!("{rebalance_id}-{step}")
}
