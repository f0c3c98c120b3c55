//! What people decide about a rebalance: approve it, call it off, say what became of an order.

use evenkeel_domain::Event;
use evenkeel_domain::index::Index;
use evenkeel_domain::rebalance::{
    self, OrderOutcome, Phase, Reason, RebalanceEvent, RebalanceRefusal, RebalanceStatus,
};
use evenkeel_domain::values::RebalanceId;
use evenkeel_events::AppendError;
use ractor::ActorRef;

use super::live::{Live, answer};
use super::{IndexMsg, Reply};
use crate::engine::{EngineError, IndexView};
use crate::journal::Origin;
use crate::saga::Urge;

/// What somebody decided.
pub(crate) enum Decision {
    /// The plan may be carried out.
    Approve,
    /// It shall not go on.
    Cancel(Reason),
    /// What became of the order that a stuck rebalance waits for.
    Resolve(u32, OrderOutcome),
}

/// A decision with its circumstances.
pub(crate) struct DecisionRequest {
    pub(crate) rebalance_id: RebalanceId,
    pub(crate) decision: Decision,
    pub(crate) origin: Origin,
    pub(crate) reply: Reply<IndexView>,
}

impl Live {
    pub(super) async fn take_decision(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        request: DecisionRequest,
    ) -> Result<(), AppendError> {
        let resolves = matches!(request.decision, Decision::Resolve(..));
        let is_stuck = self.status() == Some(RebalanceStatus::Stuck);
        if resolves && is_stuck && self.saga_is_busy() {
            // The saga may be about to send the very order: it lets go first.
            self.urge(Urge::Stop);
            self.deferred = Some(Box::new(request));
            return Ok(());
        }
        let DecisionRequest {
            rebalance_id,
            decision,
            origin,
            reply,
        } = request;
        let Some(index) = &self.index else {
            answer(reply, Err(EngineError::NotFound("index")));
            return Ok(());
        };
        let calls_off = matches!(decision, Decision::Cancel(_));
        match self.decided(index, rebalance_id, decision) {
            Err(refusal) => answer(reply, Err(refusal.into())),
            Ok(events) => {
                let events = events.into_iter().map(Event::Rebalance).collect();
                self.commit(events, &origin).await?;
                if calls_off {
                    self.call_off(myself, &origin).await?;
                } else {
                    self.after_report(myself, &origin).await;
                }
                answer(reply, self.view());
            }
        }
        Ok(())
    }

    /// Whoever carries an order out has it closed; where nobody does, somebody is sent.
    async fn call_off(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        origin: &Origin,
    ) -> Result<(), AppendError> {
        self.urge(Urge::CallOff);
        match self.status() {
            None => self.carry_on(myself, origin, None).await,
            Some(RebalanceStatus::Stuck) => self.resume(myself).await?,
            Some(_) => {}
        }
        Ok(())
    }

    fn decided(
        &self,
        index: &Index,
        rebalance_id: RebalanceId,
        decision: Decision,
    ) -> Result<Vec<RebalanceEvent>, RebalanceRefusal> {
        let rules = self.rules();
        let conditions = self.conditions(&rules);
        match decision {
            Decision::Approve => rebalance::approve(index, rebalance_id, &conditions),
            Decision::Cancel(reason) => {
                rebalance::cancel(index, rebalance_id, reason, conditions.now)
            }
            Decision::Resolve(step, outcome) => {
                let running = index.rebalance.as_deref();
                let running = running.filter(|running| running.rebalance_id == rebalance_id);
                let running = running.ok_or(RebalanceRefusal::NotThisOne(rebalance_id))?;
                if running.phase != Phase::Stuck {
                    return Err(RebalanceRefusal::NotStuck(rebalance_id));
                }
                rebalance::report(index, step, outcome, &conditions)
            }
        }
    }

    /// Calls off a rebalance that nobody approved in time.
    pub(super) async fn expire_approval(
        &mut self,
        myself: &ActorRef<IndexMsg>,
    ) -> Result<(), AppendError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let expired = rebalance::expire(index, self.shell.now()).unwrap_or_default();
        let origin = Origin::new(Some(index.owner), "system:approval", self.shell.new_key());
        let events = expired.into_iter().map(Event::Rebalance).collect();
        self.commit(events, &origin).await?;
        self.carry_on(myself, &origin, None).await;
        Ok(())
    }
}
