//! How an index actor begins a rebalance: after a check, a deposit, or by hand.

use evenkeel_domain::Event;
use evenkeel_domain::check::{self, Verdict};
use evenkeel_domain::drift::{self, DriftError, Slots};
use evenkeel_domain::index::{Index, IndexEvent, IndexRefusal, Status};
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::plan::{self, TradePlan};
use evenkeel_domain::rebalance::{self, RebalanceRefusal, RebalanceStarted, Trigger};
use evenkeel_domain::trading::TradingMode;
use evenkeel_domain::values::{RebalanceId, Timestamp};
use evenkeel_events::AppendError;
use ractor::ActorRef;

use super::live::{Live, answer};
use super::{IndexMsg, RebalanceRequest};
use crate::cycle::RebalanceTicket;
use crate::engine::{EngineError, RebalanceAnswer};
use crate::journal::Origin;

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
        let plan = self.plan(index, prices).ok()?;
        let conditions = self.conditions(&rules);
        let rebalance_id = RebalanceId::from_u128(self.shell.ids.next());
        let approval = index.definition.rebalancing.approval;
        let started = RebalanceStarted {
            rebalance_id,
            trigger,
            drift_before: headline.drift,
            total_value: headline.total_value,
            plan,
            prices: rebalance::prices_of(index, prices),
            approval_until: approval.map(|wait| conditions.now.plus(wait)),
            at: conditions.now,
        };
        match rebalance::start(index, started, &conditions) {
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
        let is_breach = |index| check::is_breach(index, &headline);
        let exceeded = self.index.as_ref().is_some_and(is_breach);
        let needed = !plan.orders.is_empty() && (force || exceeded);
        let drift = headline.drift;
        if dry_run {
            answer(reply, Ok(RebalanceAnswer::Planned { drift, plan }));
        } else if needed && self.mode_now() == TradingMode::Halted {
            answer(reply, Err(RebalanceRefusal::Halted.into()));
        } else if needed {
            let begun = self
                .begin(myself, Trigger::Manual, Vec::new(), &prices, &origin, None)
                .await?;
            let started = begun.map(|rebalance_id| RebalanceAnswer::Started {
                rebalance_id,
                approval_until: self.approval_until(),
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

    /// Until when the rebalance that has just begun waits for approval.
    fn approval_until(&self) -> Option<Timestamp> {
        self.index.as_ref()?.rebalance.as_ref()?.approval_until
    }

    /// What would be traded now: the one planner of dry runs and real ones.
    fn plan(&self, index: &Index, prices: &PriceSnapshot) -> Result<TradePlan, DriftError> {
        let plan = plan::plan(index, prices, &self.rules())?;
        Ok(match self.mode_now() {
            TradingMode::Reducing => plan.without_buys(),
            TradingMode::Active | TradingMode::Halted => plan,
        })
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
        let plan = self.plan(index, prices)?;
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
        // Halted, it stays due: the first check after that invests it.
        let halted = self.mode_now() == TradingMode::Halted;
        if found.verdict == Verdict::Rebalance(Trigger::Deposit) && !halted {
            self.begin(myself, Trigger::Deposit, Vec::new(), &prices, origin, None)
                .await?;
        }
        Ok(())
    }
}
