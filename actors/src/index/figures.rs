//! What an index adds to the figures that metrics show.

use std::sync::Arc;

use evenkeel_domain::Event;
use evenkeel_domain::rebalance::{RebalanceEvent, RebalanceStatus};

use super::live::Live;
use crate::shell::Shell;

/// One stuck rebalance in the figure of them, as long as it is there.
pub(super) struct StuckMark(Arc<Shell>);

impl StuckMark {
    fn new(shell: &Arc<Shell>) -> Self {
        shell.tally.rebalances_stuck.add(1);
        Self(Arc::clone(shell))
    }
}

impl Drop for StuckMark {
    fn drop(&mut self) {
        self.0.tally.rebalances_stuck.sub(1);
    }
}

impl Live {
    /// Keeps the figure of stuck rebalances true: over restarts of the process and of the actor.
    pub(super) fn mark_stuck(&mut self) {
        let is_stuck = self.status() == Some(RebalanceStatus::Stuck);
        if is_stuck != self.stuck.is_some() {
            self.stuck = is_stuck.then(|| StuckMark::new(&self.shell));
        }
    }

    pub(super) fn count(&self, event: &Event) {
        let tally = &self.shell.tally;
        match event {
            Event::Rebalance(RebalanceEvent::Started(_)) => tally.rebalances_started.add(1),
            Event::Rebalance(RebalanceEvent::Completed(_)) => tally.rebalances_completed.add(1),
            Event::Rebalance(RebalanceEvent::Failed(_)) => tally.rebalances_failed.add(1),
            Event::Rebalance(RebalanceEvent::Cancelled(_)) => tally.rebalances_cancelled.add(1),
            Event::Rebalance(RebalanceEvent::TradeExecuted(_)) => tally.trades_executed.add(1),
            Event::Rebalance(RebalanceEvent::TradeFailed(_)) => tally.trades_failed.add(1),
            _ => {}
        }
    }
}
