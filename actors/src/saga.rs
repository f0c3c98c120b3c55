//! The saga actor: carries one rebalance's orders out at the venue and reports what became of
//! them. It decides nothing: what comes next is the index actor's to append.
//!
//! ```text
//! Send      ─► switches ─► place ─► report
//! Resolve   ─► find by client order id ─► known: report · never arrived: as Send · no answer: ask again
//! Withdraw  ─► cancel ─► find ─► report
//! Reconcile ─► balances ─► report
//! ```

mod errand;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::rebalance::{Order, OrderOutcome};
use evenkeel_domain::values::{IndexId, RebalanceId};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{Semaphore, watch};

use crate::index::IndexMsg;
use crate::ports::{Balances, Venue, VenueAccount, VenueError};
use crate::shell::Shell;
use crate::switch::Switch;

/// Longest wait for one call to a venue; after it nobody knows what the call did.
const VENUE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls without an answer, one after the other, before an order's fate counts as unknown: with
/// the waits below about 12 s.
const CALLS_MAX: u32 = 8;

/// Wait before the second call; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two calls.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// Longest wait that a venue may ask for: a saga that waits holds a place among the orders in
/// flight.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What a saga is told.
pub(crate) enum SagaMsg {
    /// Send an order whose intent has just been appended, after a pause.
    Send(Order, Duration),
    /// Find out what became of an order that may have been sent before.
    Resolve(Order),
    /// Have an order closed that may have been sent before, and find out what became of it.
    Withdraw(Order),
    /// Ask what the account holds, for an index at this version.
    Reconcile(u64),
}

/// What whoever waits inside a saga is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urge {
    /// Go on.
    None,
    /// The rebalance is called off: have the order closed.
    CallOff,
    /// The engine stops: leave things as they are.
    Stop,
}

/// What a saga says.
#[derive(Debug)]
pub(crate) enum Said {
    /// What became of the order of a step.
    Order(u32, OrderOutcome),
    /// A kill switch holds the order back: nobody should wait for it.
    Held,
    /// The engine stops, and things are left as they are.
    Left,
    /// What the account held when the index was at this version; none when the venue does not say.
    Balances(u64, Option<Balances>),
}

/// What a saga reports.
#[derive(Debug)]
pub(crate) struct SagaReport {
    pub(crate) rebalance_id: RebalanceId,
    pub(crate) said: Said,
}

/// The actor.
pub(crate) struct Saga;

/// What a saga works with.
pub(crate) struct SagaArguments {
    pub(crate) index: ActorRef<IndexMsg>,
    pub(crate) index_id: IndexId,
    pub(crate) rebalance_id: RebalanceId,
    pub(crate) venue: Arc<dyn Venue>,
    /// Orders in flight at the venue, of all indexes.
    pub(crate) in_flight: Arc<Semaphore>,
    /// The index's own kill switch.
    pub(crate) switch: Arc<Switch>,
    pub(crate) urge: watch::Receiver<Urge>,
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
        let said = match message {
            SagaMsg::Send(order, pause) => match saga.pause(pause).await {
                Urge::Stop => Said::Left,
                Urge::None | Urge::CallOff => saga.errand(order).send().await,
            },
            SagaMsg::Resolve(order) => saga.errand(order).resolve().await,
            SagaMsg::Withdraw(order) => saga.errand(order).withdraw().await,
            SagaMsg::Reconcile(version) => saga.reconcile(version).await,
        };
        saga.tell(said);
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

impl SagaArguments {
    fn tell(&self, said: Said) {
        let report = SagaReport {
            rebalance_id: self.rebalance_id,
            said,
        };
        // An index actor that is gone starts a new saga from the log.
        let _ = self.index.cast(IndexMsg::Report(Box::new(report)));
    }

    fn account(&self) -> VenueAccount {
        VenueAccount(self.index_id)
    }

    /// Waits, unless somebody outside says something new meanwhile; says what.
    async fn pause(&mut self, pause: Duration) -> Urge {
        if pause.is_zero() {
            return Urge::None;
        }
        // What was said wins over a wait that ends at the same instant, always: a seed replays.
        tokio::select! {
            biased;
            changed = self.urge.changed() => self.after(&changed),
            () = tokio::time::sleep(pause) => Urge::None,
        }
    }

    /// An index actor that is gone has no use for what is found out: the log knows all.
    fn after(&mut self, changed: &Result<(), watch::error::RecvError>) -> Urge {
        match changed {
            Ok(()) => *self.urge.borrow_and_update(),
            Err(_) => Urge::Stop,
        }
    }

    async fn reconcile(&mut self, version: u64) -> Said {
        let mut wait = WAIT_FIRST;
        for _ in 0..CALLS_MAX {
            let call = self.venue.balances(self.account());
            match tokio::time::timeout(VENUE_TIMEOUT, call).await {
                Ok(Ok(balances)) => return Said::Balances(version, Some(balances)),
                Ok(Err(VenueError::Refused(reason))) => {
                    tracing::warn!(index = %self.index_id, %reason, "the venue does not say what it holds");
                    break;
                }
                Ok(Err(VenueError::RateLimited { retry_after })) => {
                    wait = wait.max(retry_after.min(RETRY_AFTER_MAX));
                }
                Ok(Err(VenueError::Retryable(_) | VenueError::Unknown(_))) | Err(_) => {}
            }
            if self.pause(wait).await == Urge::Stop {
                return Said::Left;
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        Said::Balances(version, None)
    }
}
