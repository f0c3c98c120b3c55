//! The state machine of a rebalance: which event may follow which.
//!
//! ```text
//!            ┌─ approved ─┐                        ┌── order ended ──────────┐
//!  PLANNED ──┤            ▼                        │                         │
//!     │      └────► RECONCILING ── order intended ─┴─► SELLING · BUYING ── lost ─► STUCK
//!     │               │  ▲  └─ replanned ─┘  ▲                                   │
//!     └─ cancelled    │  └───────────────────┴────────── order ended ────────────┘
//!                     └─► COMPLETED · FAILED · CANCELLED
//! ```
//!
//! [`next`] is the whole table; whoever decides asks it first, so that the log holds no illegal
//! sequence.

use serde::{Deserialize, Serialize};

use super::RebalanceEvent;
use crate::plan::Side;

/// Where a rebalance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// It waits for approval.
    Planned,
    /// A sell is on its way.
    Selling,
    /// A buy is on its way.
    Buying,
    /// No order is on its way: the books are compared with the venue, then it goes on or ends.
    Reconciling,
    /// Nobody knows what became of an order.
    Stuck,
    /// All orders ended well.
    Completed,
    /// Orders failed, also in the last round.
    Failed,
    /// It was called off.
    Cancelled,
}

/// What happens to a rebalance, as far as its phase is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The plan was approved.
    Approved,
    /// An order is about to be sent.
    Intended(Side),
    /// The venue has the order.
    Accepted(Side),
    /// The order is closed, filled or not.
    Ended,
    /// Nobody knows what became of the order.
    Lost,
    /// A new plan for what is left.
    Replanned,
    /// It is to be called off.
    CancelRequested,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was called off.
    Cancelled,
}

/// A step that does not fit the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step:?} cannot follow while the rebalance is {phase:?}")]
pub struct IllegalTransition {
    /// Where the rebalance is.
    pub phase: Phase,
    /// What was to happen.
    pub step: Step,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Planned,
        Self::Selling,
        Self::Buying,
        Self::Reconciling,
        Self::Stuck,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 12] = [
        Self::Approved,
        Self::Intended(Side::Sell),
        Self::Intended(Side::Buy),
        Self::Accepted(Side::Sell),
        Self::Accepted(Side::Buy),
        Self::Ended,
        Self::Lost,
        Self::Replanned,
        Self::CancelRequested,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The step that an event is; none for the first one, which no phase precedes.
    pub fn of(event: &RebalanceEvent) -> Option<Self> {
        Some(match event {
            RebalanceEvent::Started(_) => return None,
            RebalanceEvent::Approved(_) => Self::Approved,
            RebalanceEvent::OrderIntended(intended) => Self::Intended(intended.order.side),
            RebalanceEvent::OrderAccepted(accepted) => Self::Accepted(accepted.side),
            RebalanceEvent::TradeExecuted(_) | RebalanceEvent::TradeFailed(_) => Self::Ended,
            RebalanceEvent::Stuck(_) => Self::Lost,
            RebalanceEvent::Replanned(_) => Self::Replanned,
            RebalanceEvent::CancelRequested(_) => Self::CancelRequested,
            RebalanceEvent::Completed(_) => Self::Completed,
            RebalanceEvent::Failed(_) => Self::Failed,
            RebalanceEvent::Cancelled(_) => Self::Cancelled,
        })
    }
}

/// The phase after a step.
pub fn next(phase: Phase, step: Step) -> Result<Phase, IllegalTransition> {
    use Phase::{Buying, Cancelled, Completed, Failed, Planned, Reconciling, Selling, Stuck};
    let illegal = Err(IllegalTransition { phase, step });
    match phase {
        Planned => match step {
            Step::Approved => Ok(Reconciling),
            Step::Cancelled => Ok(Cancelled),
            _ => illegal,
        },
        Reconciling => match step {
            Step::Intended(Side::Sell) => Ok(Selling),
            Step::Intended(Side::Buy) => Ok(Buying),
            Step::Replanned | Step::CancelRequested => Ok(Reconciling),
            Step::Completed => Ok(Completed),
            Step::Failed => Ok(Failed),
            Step::Cancelled => Ok(Cancelled),
            _ => illegal,
        },
        Selling => on_its_way(phase, step, Side::Sell),
        Buying => on_its_way(phase, step, Side::Buy),
        Stuck => match step {
            Step::Accepted(Side::Sell) => Ok(Selling),
            Step::Accepted(Side::Buy) => Ok(Buying),
            Step::Ended => Ok(Reconciling),
            Step::CancelRequested => Ok(Stuck),
            _ => illegal,
        },
        Completed | Failed | Cancelled => illegal,
    }
}

fn on_its_way(phase: Phase, step: Step, side: Side) -> Result<Phase, IllegalTransition> {
    match step {
        Step::Accepted(accepted) if accepted == side => Ok(phase),
        Step::CancelRequested => Ok(phase),
        Step::Ended => Ok(Phase::Reconciling),
        Step::Lost => Ok(Phase::Stuck),
        _ => Err(IllegalTransition { phase, step }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{Buying, Cancelled, Completed, Failed, Planned, Reconciling, Selling, Stuck};
    use Side::{Buy, Sell};

    /// All that is legal, written down a second time.
    const LEGAL: [(Phase, Step, Phase); 21] = [
        (Planned, Step::Approved, Reconciling),
        (Planned, Step::Cancelled, Cancelled),
        (Reconciling, Step::Intended(Sell), Selling),
        (Reconciling, Step::Intended(Buy), Buying),
        (Reconciling, Step::Replanned, Reconciling),
        (Reconciling, Step::CancelRequested, Reconciling),
        (Reconciling, Step::Completed, Completed),
        (Reconciling, Step::Failed, Failed),
        (Reconciling, Step::Cancelled, Cancelled),
        (Selling, Step::Accepted(Sell), Selling),
        (Selling, Step::CancelRequested, Selling),
        (Selling, Step::Ended, Reconciling),
        (Selling, Step::Lost, Stuck),
        (Buying, Step::Accepted(Buy), Buying),
        (Buying, Step::CancelRequested, Buying),
        (Buying, Step::Ended, Reconciling),
        (Buying, Step::Lost, Stuck),
        (Stuck, Step::Accepted(Sell), Selling),
        (Stuck, Step::Accepted(Buy), Buying),
        (Stuck, Step::Ended, Reconciling),
        (Stuck, Step::CancelRequested, Stuck),
    ];

    #[test]
    fn every_pair_of_phase_and_step_is_in_the_table_or_illegal() {
        for phase in Phase::ALL {
            for step in Step::ALL {
                let mut legal = LEGAL.iter();
                let expected = legal.find(|row| (row.0, row.1) == (phase, step));
                let expected =
                    expected.map_or(Err(IllegalTransition { phase, step }), |row| Ok(row.2));
                assert_eq!(next(phase, step), expected);
            }
        }
    }

    #[test]
    fn nothing_follows_an_end_and_every_other_phase_can_reach_one() {
        for phase in Phase::ALL {
            let mut reached = vec![phase];
            let mut at = 0;
            while let Some(from) = reached.get(at).copied() {
                let after = Step::ALL.iter().filter_map(|step| next(from, *step).ok());
                for to in after {
                    if !reached.contains(&to) {
                        reached.push(to);
                    }
                }
                at += 1;
            }
            let ends = reached.iter().any(|phase| phase.is_terminal());
            assert!(ends, "{phase:?} leads nowhere");
            if phase.is_terminal() {
                assert_eq!(reached, [phase]);
            }
        }
    }
}
