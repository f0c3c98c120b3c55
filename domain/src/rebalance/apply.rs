//! The fold of a rebalance's events. Total, like that of the index it stands in.

use super::{
    Phase, Rebalance, RebalanceEvent, RebalanceReplanned, RebalanceStarted, Step, TradeExecuted,
    phase,
};
use crate::plan::Side;
use crate::values::Asset;

impl Rebalance {
    pub(crate) fn started(started: &RebalanceStarted) -> Self {
        Self {
            rebalance_id: started.rebalance_id,
            trigger: started.trigger,
            phase: match started.approval_until {
                Some(_) => Phase::Planned,
                None => Phase::Reconciling,
            },
            round: 1,
            approval_until: started.approval_until,
            cancelling: None,
            total_value: started.total_value,
            plan: started.plan.clone(),
            prices: started.prices.clone(),
            open: None,
            accepted: false,
            last_step: 0,
            ended: Vec::new(),
            partial: false,
            executed: 0,
            failure: None,
            started_at: started.at,
        }
    }

    /// Adopts an event. A step that does not fit leaves the phase as it is: `decide` refuses such
    /// steps, so that only a log that something else wrote holds one.
    pub(crate) fn adopt(&mut self, event: &RebalanceEvent) {
        if let Some(phase) = Step::of(event).and_then(|step| phase::next(self.phase, step).ok()) {
            self.phase = phase;
        }
        match event {
            RebalanceEvent::OrderIntended(e) => {
                self.open = Some(e.order);
                self.accepted = false;
                self.last_step = e.order.step;
            }
            RebalanceEvent::OrderAccepted(_) => self.accepted = true,
            RebalanceEvent::TradeExecuted(e) => self.executed(e),
            RebalanceEvent::TradeFailed(e) => {
                self.end_order(e.asset, e.side);
                self.failure.get_or_insert_with(|| e.reason.clone());
            }
            RebalanceEvent::Replanned(e) => self.replanned(e),
            RebalanceEvent::CancelRequested(e) => self.cancelling = Some(e.reason.clone()),
            RebalanceEvent::Started(_)
            | RebalanceEvent::Approved(_)
            | RebalanceEvent::Stuck(_)
            | RebalanceEvent::Completed(_)
            | RebalanceEvent::Failed(_)
            | RebalanceEvent::Cancelled(_) => {}
        }
    }

    fn executed(&mut self, trade: &TradeExecuted) {
        self.end_order(trade.asset, trade.side);
        self.executed = self.executed.saturating_add(1);
        self.partial |= trade.quantity < trade.ordered;
    }

    fn end_order(&mut self, asset: Asset, side: Side) {
        self.open = None;
        self.ended.push((asset, side));
    }

    fn replanned(&mut self, replanned: &RebalanceReplanned) {
        self.round = replanned.round;
        self.total_value = replanned.total_value;
        self.plan = replanned.plan.clone();
        self.prices.clone_from(&replanned.prices);
        self.ended.clear();
        self.partial = false;
        self.failure = None;
    }
}
