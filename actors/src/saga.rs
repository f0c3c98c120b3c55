//! The saga actor: carries one rebalance's orders out at the venue and reports what became of
//! them. It decides nothing: what comes next is the index actor's to append.
//!
//! ```text
//! Send    ─► place ─► report
//! Resolve ─► find by client order id ─► known: report · never arrived: place · no answer: ask again
//! ```

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::rebalance::{Order, OrderOutcome, Reason, client_order_id};
use evenkeel_domain::values::{IndexId, RebalanceId};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::index::{IndexMsg, SagaReport};
use crate::ports::{Venue, VenueAccount, VenueError, VenueOrder, VenueReport};
use crate::shell::Shell;

/// Longest wait for one call to a venue; after it nobody knows what the call did.
const VENUE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls for one order before its fate counts as unknown: with the waits below about 12 s.
const CALLS_MAX: u32 = 8;

/// Wait before the second call; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two calls.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// What a saga is told.
pub(crate) enum SagaMsg {
    /// Send an order whose intent has just been appended.
    Send(Order),
    /// Find out what became of an order that may have been sent before.
    Resolve(Order),
}

/// The actor.
pub(crate) struct Saga;

/// What a saga works with.
pub(crate) struct SagaArguments {
    pub(crate) index: ActorRef<IndexMsg>,
    pub(crate) index_id: IndexId,
    pub(crate) rebalance_id: RebalanceId,
    pub(crate) venue: Arc<dyn Venue>,
    pub(crate) shell: Arc<Shell>,
}

impl Actor for Saga {
    type Msg = SagaMsg;
    type State = SagaArguments;
    type Arguments = SagaArguments;

    async fn pre_start(
        &self,
        _: ActorRef<SagaMsg>,
        arguments: SagaArguments,
    ) -> Result<SagaArguments, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        _: ActorRef<SagaMsg>,
        message: SagaMsg,
        saga: &mut SagaArguments,
    ) -> Result<(), ActorProcessingErr> {
        let (order, known) = match message {
            SagaMsg::Send(order) => (order, Arrival::No),
            SagaMsg::Resolve(order) => (order, Arrival::Unknown),
        };
        let outcome = saga.carry_out(order, known).await;
        let report = SagaReport {
            rebalance_id: saga.rebalance_id,
            step: order.step,
            outcome,
        };
        // An index actor that is gone starts a new saga from the log.
        let _ = saga.index.cast(IndexMsg::Report(Box::new(report)));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SagaMsg>,
        _: SupervisionEvent,
        _: &mut SagaArguments,
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// What is known about whether an order reached the venue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// It did not.
    No,
    /// It may have.
    Unknown,
    /// It did, and is not closed yet.
    Open,
}

/// What one call led to.
enum Answer {
    Ended(OrderOutcome),
    GoOn(Arrival, Reason),
}

impl SagaArguments {
    /// Calls the venue until the order's fate is known or the bound is reached. Only an order
    /// that certainly never arrived is sent.
    async fn carry_out(&self, order: Order, mut arrival: Arrival) -> OrderOutcome {
        let mut wait = WAIT_FIRST;
        let mut last = Reason::default();
        for call in 1..=CALLS_MAX {
            let answer = match arrival {
                Arrival::No => self.place(order).await,
                Arrival::Unknown | Arrival::Open => self.find(order).await,
            };
            match answer {
                Answer::Ended(outcome) => return outcome,
                Answer::GoOn(now, reason) => {
                    // Never sent, and the venue has just said so: sending needs no pause.
                    let pause = !(arrival == Arrival::Unknown && now == Arrival::No);
                    (arrival, last) = (now, reason);
                    if pause && call < CALLS_MAX {
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(WAIT_MAX);
                    }
                }
            }
        }
        match arrival {
            Arrival::No => OrderOutcome::NotSent(last),
            Arrival::Unknown | Arrival::Open => OrderOutcome::Unknown(last),
        }
    }

    async fn place(&self, order: Order) -> Answer {
        let order = VenueOrder {
            account: VenueAccount(self.index_id),
            client_order_id: client_order_id(self.rebalance_id, order.step),
            order,
            at: self.shell.now(),
        };
        match tokio::time::timeout(VENUE_TIMEOUT, self.venue.place(&order)).await {
            Ok(Ok(report)) => from_report(report),
            Ok(Err(VenueError::Refused(reason))) => Answer::Ended(OrderOutcome::Refused(reason)),
            Ok(Err(error @ (VenueError::Retryable(_) | VenueError::RateLimited { .. }))) => {
                Answer::GoOn(Arrival::No, error.reason())
            }
            Ok(Err(VenueError::Unknown(reason))) => Answer::GoOn(Arrival::Unknown, reason),
            Err(_) => Answer::GoOn(Arrival::Unknown, timed_out()),
        }
    }

    async fn find(&self, order: Order) -> Answer {
        let id = client_order_id(self.rebalance_id, order.step);
        match tokio::time::timeout(
            VENUE_TIMEOUT,
            self.venue.find(VenueAccount(self.index_id), &id),
        )
        .await
        {
            Ok(Ok(Some(report))) => from_report(report),
            Ok(Ok(None)) => Answer::GoOn(Arrival::No, Reason::default()),
            Ok(Err(error)) => Answer::GoOn(Arrival::Unknown, error.reason()),
            Err(_) => Answer::GoOn(Arrival::Unknown, timed_out()),
        }
    }
}

fn from_report(report: VenueReport) -> Answer {
    match report {
        VenueReport::Filled(fill) => Answer::Ended(OrderOutcome::Filled(fill)),
        VenueReport::Refused(reason) => Answer::Ended(OrderOutcome::Refused(reason)),
        VenueReport::Open => Answer::GoOn(
            Arrival::Open,
            reason("the order is open and not filled yet"),
        ),
    }
}

fn timed_out() -> Reason {
    reason("the venue did not answer in time")
}

/// A reason from a constant, which always fits.
fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap_or_default()
}
