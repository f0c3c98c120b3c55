//! How an index actor runs a rebalance: it decides and appends, its saga child carries out.

use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::check::{self, Verdict};
use evenkeel_domain::drift::{self, Slots};
use evenkeel_domain::index::{Index, IndexEvent, IndexRefusal, Status};
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::plan::{self, TradePlan};
use evenkeel_domain::rebalance::{
    self, Effect, OrderOutcome, Reason, RebalanceRefusal, RebalanceStarted, RebalanceStatus,
    Trigger,
};
use evenkeel_domain::values::{Asset, Price, RebalanceId};
use evenkeel_events::AppendError;
use ractor::{Actor, ActorId, ActorRef};

use super::live::{Live, answer};
use super::{IndexMsg, RebalanceRequest, SagaReport};
use crate::cycle::RebalanceTicket;
use crate::engine::{EngineError, RebalanceAnswer};
use crate::journal::Origin;
use crate::saga::{Saga, SagaArguments, SagaMsg};

/// Restarts of one saga before its order counts as unknown: a venue adapter that panics every
/// time must not spin.
const SAGA_RESTARTS_MAX: u32 = 5;

/// Wait before a failed saga is started again, in milliseconds; doubles each time.
const SAGA_RESTART_MS: u64 = 100;

/// The saga child of a rebalance that runs.
pub(crate) struct RunningSaga {
    actor: ActorRef<SagaMsg>,
    origin: Origin,
    /// Dropped with the saga: the cycle that waits for it goes on.
    ticket: Option<RebalanceTicket>,
}

impl Live {
    /// Appends the beginning of a rebalance with what led to it, and starts its saga.
    pub(super) async fn begin(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        trigger: Trigger,
        found: Vec<IndexEvent>,
        prices: &PriceSnapshot,
        origin: &Origin,
        ticket: Option<RebalanceTicket>,
    ) -> Result<Option<RebalanceId>, AppendError> {
        let mut events: Vec<Event> = found.into_iter().map(Event::Index).collect();
        let begun = self
            .index
            .as_ref()
            .and_then(|index| self.beginning(index, trigger, prices));
        let rebalance_id = begun.as_ref().map(|(id, _)| *id);
        events.extend(begun.into_iter().flat_map(|(_, events)| events));
        self.commit(events, origin).await?;
        self.carry_on(myself, origin, ticket).await;
        Ok(rebalance_id)
    }

    /// The events that begin a rebalance; none when numbers do not fit, which the check reports.
    fn beginning(
        &self,
        index: &Index,
        trigger: Trigger,
        prices: &PriceSnapshot,
    ) -> Option<(RebalanceId, Vec<Event>)> {
        let rules = self.rules();
        let headline = drift::headline(index, prices, &mut Slots::default()).ok()?;
        let plan = plan::plan(index, prices, &rules).ok()?;
        let rebalance_id = RebalanceId::from_u128(self.shell.ids.next());
        let started = RebalanceStarted {
            rebalance_id,
            trigger,
            drift_before: headline.drift,
            total_value: headline.total_value,
            plan,
            prices: prices_of(index, prices),
            at: self.shell.now(),
        };
        match rebalance::start(index, started, &rules) {
            Ok(events) => Some((
                rebalance_id,
                events.into_iter().map(Event::Rebalance).collect(),
            )),
            Err(error) => {
                tracing::error!(index = %self.id, %error, "the rebalance cannot begin");
                None
            }
        }
    }

    /// A rebalance by hand, or what it would do.
    pub(super) async fn rebalance(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        request: RebalanceRequest,
    ) -> Result<(), AppendError> {
        let RebalanceRequest {
            dry_run,
            force,
            origin,
            reply,
        } = request;
        let prices = self.shell.latest_prices();
        let planned = match self.plan_by_hand(&prices) {
            Ok(planned) => planned,
            Err(refusal) => {
                answer(reply, Err(refusal));
                return Ok(());
            }
        };
        let (headline, threshold, plan) = planned;
        let needed = !plan.orders.is_empty() && (force || headline.drift > threshold);
        let drift = headline.drift;
        if dry_run {
            answer(reply, Ok(RebalanceAnswer::Planned { drift, plan }));
        } else if needed {
            let begun = self
                .begin(myself, Trigger::Manual, Vec::new(), &prices, &origin, None)
                .await?;
            let started = begun.map(|rebalance_id| RebalanceAnswer::Started {
                rebalance_id,
                drift,
                plan,
            });
            answer(
                reply,
                started.ok_or(EngineError::Unavailable("the rebalance")),
            );
        } else {
            answer(
                reply,
                Ok(RebalanceAnswer::NotNeeded {
                    drift,
                    threshold,
                    plan,
                }),
            );
        }
        Ok(())
    }

    fn plan_by_hand(
        &self,
        prices: &PriceSnapshot,
    ) -> Result<(drift::Headline, evenkeel_domain::values::Percent, TradePlan), EngineError> {
        let index = self
            .index
            .as_ref()
            .filter(|index| index.status != Status::Deleted);
        let index = index.ok_or(EngineError::NotFound("index"))?;
        if index.status != Status::Active {
            return Err(IndexRefusal::Status {
                status: index.status,
                action: "a rebalance",
            }
            .into());
        }
        if let Some(running) = &index.rebalance {
            return Err(IndexRefusal::RebalanceRunning(running.rebalance_id).into());
        }
        if let Some(transfer) = index.transfers.first() {
            return Err(IndexRefusal::TransferPending(transfer.transfer_id).into());
        }
        if self.venue.is_none() {
            return Err(EngineError::Unavailable("the venue of the index's account"));
        }
        let headline = drift::headline(index, prices, &mut Slots::default())?;
        let plan = plan::plan(index, prices, &self.rules())?;
        Ok((headline, index.definition.rebalancing.drift_threshold, plan))
    }

    /// A deposit that is to be invested starts its rebalance at once where prices allow;
    /// otherwise the next check does.
    pub(super) async fn invest_if_due(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        origin: &Origin,
    ) -> Result<(), AppendError> {
        let Some(index) = self.index.as_ref().filter(|index| index.investment_due) else {
            return Ok(());
        };
        let prices = self.shell.latest_prices();
        let found = check::check(
            index,
            &prices,
            &mut Slots::default(),
            &self.rules(),
            self.shell.now(),
        );
        if found.verdict == Verdict::Rebalance(Trigger::Deposit) {
            self.begin(myself, Trigger::Deposit, Vec::new(), &prices, origin, None)
                .await?;
        }
        Ok(())
    }

    /// Takes in what became of an order; the next order's intent is in the same append.
    pub(super) async fn take_report(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        report: SagaReport,
    ) -> Result<(), AppendError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let current = index
            .rebalance
            .as_ref()
            .map(|running| (running.rebalance_id, running.status));
        let Some((_, was)) = current.filter(|(id, _)| *id == report.rebalance_id) else {
            return Ok(());
        };
        let origin = match &self.saga {
            Some(saga) => saga.origin.clone(),
            None => Origin::new(Some(index.owner), "system:resume", self.shell.new_key()),
        };
        let decided = self.decide_report(index, report);
        self.commit(decided, &origin).await?;
        self.after_report(myself, was, &origin).await;
        Ok(())
    }

    fn decide_report(&self, index: &Index, report: SagaReport) -> Vec<Event> {
        let (rules, now, step) = (self.rules(), self.shell.now(), report.step);
        let decided = match rebalance::report(index, step, report.outcome, &rules, now) {
            Err(RebalanceRefusal::Arithmetic(_)) => {
                let reason =
                    Reason::optional("the venue reports a fill that does not fit the books");
                let unknown = OrderOutcome::Unknown(reason.unwrap_or_default());
                rebalance::report(index, step, unknown, &rules, now)
            }
            other => other,
        };
        let decided = decided.inspect_err(
            |error| tracing::warn!(index = %self.id, step, %error, "a report was left aside"),
        );
        decided
            .unwrap_or_default()
            .into_iter()
            .map(Event::Rebalance)
            .collect()
    }

    async fn after_report(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        was: RebalanceStatus,
        origin: &Origin,
    ) {
        let is = self
            .index
            .as_ref()
            .and_then(|index| index.rebalance.as_ref())
            .map(|running| running.status);
        if was == RebalanceStatus::Stuck && is != Some(RebalanceStatus::Stuck) {
            self.shell.tally.rebalances_stuck.sub(1);
        }
        if let Some(done) = self.stopping.take() {
            return self.finish(myself, done).await;
        }
        if is == Some(RebalanceStatus::Stuck) {
            // Nobody waits for a stuck rebalance: the cycle that started it goes on.
            drop(self.saga.as_mut().and_then(|saga| saga.ticket.take()));
            return;
        }
        self.carry_on(myself, origin, None).await;
    }

    /// Hands the next order to the saga, or ends the saga.
    async fn carry_on(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        origin: &Origin,
        ticket: Option<RebalanceTicket>,
    ) {
        let running = self
            .index
            .as_ref()
            .and_then(|index| index.rebalance.as_deref());
        let Some(running) = running else {
            if let Some(saga) = self.saga.take() {
                saga.actor.stop(None);
            }
            return;
        };
        let rebalance_id = running.rebalance_id;
        let Effect::CarryOut(order) = rebalance::react(running) else {
            return;
        };
        if self.saga.is_none() {
            self.spawn_saga(myself, rebalance_id, origin.clone(), ticket)
                .await;
        }
        self.send_to_saga(SagaMsg::Send(order));
    }

    async fn spawn_saga(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        rebalance_id: RebalanceId,
        origin: Origin,
        ticket: Option<RebalanceTicket>,
    ) {
        let Some(venue) = self.venue.clone() else {
            return;
        };
        let arguments = SagaArguments {
            index: myself.clone(),
            index_id: self.id,
            rebalance_id,
            venue,
            shell: self.shell.clone(),
        };
        match Saga::spawn_linked(None, Saga, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.saga = Some(Box::new(RunningSaga {
                    actor,
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
        if !index.transfers.is_empty() {
            self.settle_transfers(myself).await?;
        }
        let running = self
            .index
            .as_ref()
            .and_then(|index| index.rebalance.as_deref());
        let Some(rebalance_id) = running.map(|running| running.rebalance_id) else {
            return Ok(());
        };
        if self.saga.is_none() {
            let owner = self.index.as_ref().map(|index| index.owner);
            let origin = Origin::new(owner, "system:resume", self.shell.new_key());
            self.spawn_saga(myself, rebalance_id, origin, None).await;
        }
        self.ask_again();
        Ok(())
    }

    /// Has the saga ask the venue what became of the open order.
    pub(super) fn ask_again(&self) {
        let running = self
            .index
            .as_ref()
            .and_then(|index| index.rebalance.as_deref());
        if let Some(Effect::CarryOut(order)) = running.map(rebalance::react) {
            self.send_to_saga(SagaMsg::Resolve(order));
        }
    }

    fn send_to_saga(&self, message: SagaMsg) {
        if let Some(saga) = &self.saga {
            // A saga that has just failed is started again by its supervision event.
            let _ = saga.actor.cast(message);
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

    fn unknown_report(&self) -> Option<SagaReport> {
        let running = self.index.as_ref()?.rebalance.as_deref()?;
        let Effect::CarryOut(order) = rebalance::react(running) else {
            return None;
        };
        let reason =
            Reason::optional("carrying the order out failed again and again; see the log output");
        let outcome = OrderOutcome::Unknown(reason.unwrap_or_default());
        Some(SagaReport {
            rebalance_id: running.rebalance_id,
            step: order.step,
            outcome,
        })
    }

    pub(crate) fn has_open_work(&self) -> bool {
        self.index
            .as_ref()
            .is_some_and(|index| index.rebalance.is_some() || !index.transfers.is_empty())
    }
}

/// The price of every asset of an index; all are there when a check has passed.
fn prices_of(index: &Index, prices: &PriceSnapshot) -> Vec<(Asset, Price)> {
    let constituents = index.definition.constituents.iter().map(|line| line.asset);
    let mut assets: Vec<Asset> = constituents
        .chain(index.holdings.iter().map(|line| line.asset))
        .collect();
    assets.sort_unstable();
    assets.dedup();
    assets
        .into_iter()
        .filter_map(|asset| Some((asset, prices.price(asset).ok()?)))
        .collect()
}
