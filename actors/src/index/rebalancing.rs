//! How an index actor runs a rebalance: it decides and appends, its saga child carries out.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::index::{Index, IndexEvent};
use evenkeel_domain::rebalance::{
    self, Effect, OrderOutcome, Reason, Rebalance, RebalanceRefusal, RebalanceStatus,
};
use evenkeel_domain::values::RebalanceId;
use evenkeel_events::AppendError;
use ractor::{Actor, ActorId, ActorRef};
use tokio::sync::watch;

use super::IndexMsg;
use super::live::Live;
use crate::cycle::RebalanceTicket;
use crate::journal::Origin;
use crate::ports::Balances;
use crate::saga::{Saga, SagaArguments, SagaMsg, SagaReport, Said, Urge};
use crate::switch::Switch;

/// Restarts of one saga before its order counts as unknown: a venue adapter that panics every
/// time must not spin.
const SAGA_RESTARTS_MAX: u32 = 5;

/// Wait before a failed saga is started again, in milliseconds; doubles each time.
const SAGA_RESTART_MS: u64 = 100;

/// Wait before the first order of a second plan; doubles with each further one. A venue that has
/// just refused should find something changed.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// Wait before the end of a round is tried again that numbers did not let through.
const SETTLE_AGAIN: Duration = Duration::from_secs(5);

/// The saga child of a rebalance that runs.
pub(crate) struct RunningSaga {
    actor: ActorRef<SagaMsg>,
    urge: watch::Sender<Urge>,
    pub(super) switch: Arc<Switch>,
    /// It has been told something and has not reported yet. It is told one thing at a time: a
    /// second one would wait in its mailbox until it is of the past.
    busy: bool,
    /// The last step that it was told to send. No step is sent twice: at a venue that forgets the
    /// ids of closed orders that would be a second trade.
    sent: u32,
    origin: Origin,
    /// Dropped with the saga: the cycle that waits for it goes on.
    ticket: Option<RebalanceTicket>,
}

impl Live {
    fn running(&self) -> Option<&Rebalance> {
        self.index.as_ref()?.rebalance.as_deref()
    }

    /// Where the rebalance is that runs.
    pub(super) fn status(&self) -> Option<RebalanceStatus> {
        self.running().map(Rebalance::status)
    }

    /// Takes in what the saga says; the next order's intent is in the same append.
    pub(super) async fn take_report(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        report: SagaReport,
    ) -> Result<(), AppendError> {
        let running = self.running().map(|running| running.rebalance_id);
        let Some(index) = self
            .index
            .as_ref()
            .filter(|_| running == Some(report.rebalance_id))
        else {
            return Ok(());
        };
        let origin = match &self.saga {
            Some(saga) => saga.origin.clone(),
            None => Origin::new(Some(index.owner), "system:resume", self.shell.new_key()),
        };
        let settles =
            matches!(&report.said, Said::Balances(version, _) if *version == self.version);
        let decided = match report.said {
            Said::Held => {
                self.let_the_cycle_go();
                return Ok(());
            }
            Said::Order(step, OrderOutcome::Accepted) => {
                let decided = self.decide_report(index, step, OrderOutcome::Accepted);
                self.let_the_cycle_go();
                return self.commit(decided, &origin).await;
            }
            Said::Order(step, outcome) => self.decide_report(index, step, outcome),
            Said::Balances(version, balances) if version == self.version => {
                self.decide_balances(index, balances.as_ref())
            }
            // The index moved while the venue was asked: what it said is of before.
            Said::Balances(..) | Said::Left => Vec::new(),
        };
        if let Some(saga) = &mut self.saga {
            saga.busy = false;
        }
        if settles && decided.is_empty() {
            // It cannot end, which is logged: not at once again, and not never.
            myself.send_after(SETTLE_AGAIN, || IndexMsg::RestartSaga);
            return Ok(());
        }
        self.commit(decided, &origin).await?;
        self.after_report(myself, &origin).await;
        Ok(())
    }

    fn decide_report(&self, index: &Index, step: u32, outcome: OrderOutcome) -> Vec<Event> {
        let rules = self.rules();
        let conditions = self.conditions(&rules);
        let decided = match rebalance::report(index, step, outcome, &conditions) {
            Err(RebalanceRefusal::Arithmetic(_)) => {
                let reason =
                    Reason::optional("the venue reports a fill that does not fit the books");
                let unknown = OrderOutcome::Unknown(reason.unwrap_or_default());
                rebalance::report(index, step, unknown, &conditions)
            }
            other => other,
        };
        let decided = decided.inspect_err(
            |error| tracing::warn!(index = %self.id, step, %error, "a report was left aside"),
        );
        let decided = decided.unwrap_or_default();
        decided.into_iter().map(Event::Rebalance).collect()
    }

    /// The end of a round.
    fn decide_balances(&self, index: &Index, balances: Option<&Balances>) -> Vec<Event> {
        let rules = self.rules();
        let conditions = self.conditions(&rules);
        let lines = balances.map(Balances::lines).unwrap_or_default();
        let held = balances.map(|balances| (balances.cash, lines.as_slice()));
        let prices = self.shell.latest_prices();
        let settled = rebalance::settle(index, held, &prices, &conditions);
        let settled = settled.inspect_err(
            |error| tracing::error!(index = %self.id, %error, "the rebalance cannot end"),
        );
        let settled = settled.unwrap_or_default();
        let differs = |event: &Event| matches!(event, Event::Index(IndexEvent::Reconciled(_)));
        if settled.iter().any(differs) {
            tracing::warn!(index = %self.id, "the venue holds something else than the books say; they follow it");
        }
        settled
    }

    /// What follows from what was appended.
    pub(super) async fn after_report(&mut self, myself: &ActorRef<IndexMsg>, origin: &Origin) {
        let is = self.status();
        if let Some(done) = self.stopping.take() {
            return self.finish(myself, done).await;
        }
        if let Some(request) = self.deferred.take() {
            // The actor is alive, it is handling a message: the cast reaches it.
            let _ = myself.cast(IndexMsg::Decide(request));
        }
        if is == Some(RebalanceStatus::Stuck) {
            self.let_the_cycle_go();
            return;
        }
        self.carry_on(myself, origin, None).await;
    }

    /// Nobody waits for a rebalance that is stuck, held back, or has an order open.
    fn let_the_cycle_go(&mut self) {
        drop(self.saga.as_mut().and_then(|saga| saga.ticket.take()));
    }

    /// Has the saga do what is next, or ends it.
    pub(super) async fn carry_on(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        origin: &Origin,
        ticket: Option<RebalanceTicket>,
    ) {
        let next = self.next_for_saga(false);
        let Some((rebalance_id, effect, message)) = next else {
            if let Some(saga) = self.saga.take() {
                saga.actor.stop(None);
            }
            return;
        };
        if let Effect::AwaitApproval(until) = effect {
            let wait = until.since(self.shell.now());
            let wait = Duration::from_millis(wait.as_millis().saturating_add(1));
            myself.send_after(wait, || IndexMsg::ExpireApproval);
            return;
        }
        if self.saga.is_none() {
            self.spawn_saga(myself, rebalance_id, origin.clone(), ticket)
                .await;
        }
        self.send_to_saga(message);
    }

    /// What is next, and as a message to a saga; none when nothing runs.
    fn next_for_saga(&self, resumed: bool) -> Option<(RebalanceId, Effect, Option<SagaMsg>)> {
        let running = self.running()?;
        let effect = rebalance::react(running);
        let message = match effect {
            Effect::CarryOut(order) if resumed => Some(SagaMsg::Resolve(order)),
            Effect::CarryOut(order) => Some(SagaMsg::Send(order, pause(running))),
            Effect::Withdraw(order) => Some(SagaMsg::Withdraw(order)),
            Effect::Reconcile => Some(SagaMsg::Reconcile(self.version)),
            Effect::AwaitApproval(_) => None,
            Effect::Nothing => return None,
        };
        Some((running.rebalance_id, effect, message))
    }

    async fn spawn_saga(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        rebalance_id: RebalanceId,
        origin: Origin,
        ticket: Option<RebalanceTicket>,
    ) {
        let (Some(venue), Some(index)) = (self.venue.clone(), &self.index) else {
            return;
        };
        let account = index.definition.account.as_str();
        let Some(in_flight) = self.shell.in_flight.get(account).map(Arc::clone) else {
            return;
        };
        let switch = Arc::new(Switch::new(index.mode));
        let urge = watch::Sender::new(Urge::None);
        let arguments = SagaArguments {
            index: myself.clone(),
            index_id: self.id,
            rebalance_id,
            venue,
            in_flight,
            switch: Arc::clone(&switch),
            urge: urge.subscribe(),
            shell: self.shell.clone(),
        };
        match Saga::spawn_linked(None, Saga, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.saga = Some(Box::new(RunningSaga {
                    actor,
                    urge,
                    switch,
                    busy: false,
                    sent: 0,
                    origin,
                    ticket,
                }));
            }
            Err(error) => {
                tracing::error!(index = %self.id, %error, "the saga cannot start; the next check tries again");
            }
        }
    }

    /// After a restart: asks the venue what became of the open order, never just sends it.
    pub(crate) async fn resume(&mut self, myself: &ActorRef<IndexMsg>) -> Result<(), AppendError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let owner = index.owner;
        if !index.transfers.is_empty() {
            self.settle_transfers(myself).await?;
        }
        let Some((rebalance_id, effect, message)) = self.next_for_saga(true) else {
            return Ok(());
        };
        let origin = Origin::new(Some(owner), "system:resume", self.shell.new_key());
        if let Effect::AwaitApproval(_) = effect {
            self.carry_on(myself, &origin, None).await;
            return Ok(());
        }
        if self.saga.is_none() {
            self.spawn_saga(myself, rebalance_id, origin, None).await;
        }
        self.send_to_saga(message);
        Ok(())
    }

    fn send_to_saga(&mut self, message: Option<SagaMsg>) {
        let idle = self.saga.as_mut().filter(|saga| !saga.busy);
        let (Some(saga), Some(message)) = (idle, message) else {
            return;
        };
        let message = match message {
            SagaMsg::Send(order, _) if order.step <= saga.sent => SagaMsg::Resolve(order),
            other => other,
        };
        if let SagaMsg::Send(order, _) = &message {
            saga.sent = order.step;
        }
        saga.busy = true;
        // What it was urged to is done; a rebalance that is called off says so by its state.
        saga.urge.send_replace(Urge::None);
        // A saga that has just failed is started again by its supervision event.
        let _ = saga.actor.cast(message);
    }

    /// Whether the saga is at work on something.
    pub(super) fn saga_is_busy(&self) -> bool {
        self.saga.as_ref().is_some_and(|saga| saga.busy)
    }

    /// Tells whoever waits inside the saga.
    pub(super) fn urge(&self, urge: Urge) {
        if let Some(saga) = &self.saga {
            saga.urge.send_replace(urge);
        }
    }

    /// A saga that failed is started again with backoff, then its order counts as unknown.
    pub(super) fn saga_failed(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        failed: ActorId,
        reason: &str,
    ) {
        if self
            .saga
            .take_if(|saga| saga.actor.get_id() == failed)
            .is_none()
        {
            return;
        }
        if let Some(request) = self.deferred.take() {
            let _ = myself.cast(IndexMsg::Decide(request));
        }
        self.saga_failures += 1;
        tracing::error!(index = %self.id, reason, failures = self.saga_failures, "the saga failed");
        if self.saga_failures <= SAGA_RESTARTS_MAX {
            let delay = SAGA_RESTART_MS << (self.saga_failures - 1);
            myself.send_after(Duration::from_millis(delay), || IndexMsg::RestartSaga);
        } else if let Some(report) = self.unknown_report() {
            self.saga_failures = 0;
            // The actor is alive, it is handling an event: the cast reaches it.
            let _ = myself.cast(IndexMsg::Report(Box::new(report)));
        }
    }

    /// What is reported for a saga that fails every time.
    fn unknown_report(&self) -> Option<SagaReport> {
        let running = self.running()?;
        let said = match running.open {
            Some(order) => {
                let reason = Reason::optional(
                    "carrying the order out failed again and again; see the log output",
                );
                Said::Order(
                    order.step,
                    OrderOutcome::Unknown(reason.unwrap_or_default()),
                )
            }
            None => Said::Balances(self.version, None),
        };
        Some(SagaReport {
            rebalance_id: running.rebalance_id,
            said,
        })
    }

    pub(crate) fn has_open_work(&self) -> bool {
        self.index
            .as_ref()
            .is_some_and(|index| index.rebalance.is_some() || !index.transfers.is_empty())
    }
}

/// The pause before an order: only the first one of a second or third plan waits.
fn pause(running: &Rebalance) -> Duration {
    if running.round > 1 && running.ended.is_empty() {
        ROUND_PAUSE * (1 << (running.round - 2).min(8))
    } else {
        Duration::ZERO
    }
}
