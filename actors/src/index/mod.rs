//! The index actor: the one writer of an index's stream.
//!
//! ```text
//! message ─► decide (pure) ─► append (durable) ─► adopt ─► effects (saga, venue, reply)
//! ```
//!
//! An append that fails ends the actor: what the log holds is not known any more. Its supervisor
//! starts it anew from the log.

mod beginning;
mod decisions;
mod figures;
mod live;
mod rebalancing;
mod reconciling;
mod transfers;

use std::sync::Arc;

use evenkeel_domain::index::IndexCommand;
use evenkeel_domain::values::IndexId;
use evenkeel_snapshots::Snapshot;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

pub(crate) use decisions::{Decision, DecisionRequest};
pub(crate) use live::{Live, SNAPSHOT_SCHEMA};
use reconciling::HeldAtVenue;

use crate::cycle::CheckTicket;
use crate::engine::{EngineError, IndexView, RebalanceAnswer};
use crate::journal::Origin;
use crate::reconciliation::ReconcileRequest;
use crate::saga::SagaReport;
use crate::shell::Shell;
use crate::streams;

/// Where an answer goes. A dropped one tells the caller that the actor is gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// What an index actor is asked.
pub(crate) enum IndexMsg {
    /// Check drift.
    Check(CheckTicket),
    /// Show the index.
    Get(Reply<IndexView>),
    /// Carry out an owner's command.
    Command(Box<CommandRequest>),
    /// Rebalance by hand.
    Rebalance(Box<RebalanceRequest>),
    /// What a saga says.
    Report(Box<SagaReport>),
    /// What somebody decided about the rebalance that runs.
    Decide(Box<DecisionRequest>),
    /// The time for an approval may have passed.
    ExpireApproval,
    /// Tell the venue of transfers that it may not know of yet.
    SettleTransfers,
    /// Compare the books with the venue.
    Reconcile(Box<ReconcileRequest>),
    /// What the venue holds, for the comparison.
    HeldAtVenue(Box<HeldAtVenue>),
    /// Start the saga again after it failed.
    RestartSaga,
    /// Reach a step boundary, save a snapshot, end.
    Stop(oneshot::Sender<()>),
    /// Panic: shows that a panic stays with one index.
    #[cfg(any(test, feature = "faults"))]
    Panic,
}

/// An owner's command with its circumstances.
pub(crate) struct CommandRequest {
    pub(crate) command: IndexCommand,
    pub(crate) if_version: Option<u64>,
    pub(crate) origin: Origin,
    pub(crate) reply: Reply<IndexView>,
}

/// A rebalance by hand.
pub(crate) struct RebalanceRequest {
    pub(crate) dry_run: bool,
    pub(crate) force: bool,
    pub(crate) origin: Origin,
    pub(crate) reply: Reply<RebalanceAnswer>,
}

/// The actor; its state is [`Live`].
pub(crate) struct IndexActor;

/// Which index, and what it shares with the others.
pub(crate) struct IndexArguments {
    pub(crate) id: IndexId,
    pub(crate) shell: Arc<Shell>,
    /// The newest snapshot; what has none is replayed from its first event.
    pub(crate) loaded: Option<Snapshot>,
}

impl IndexArguments {
    /// What one index starts with.
    pub(crate) async fn load(id: IndexId, shell: Arc<Shell>) -> Self {
        let stream = streams::index(id);
        let loaded = shell.snapshots.load(stream.as_str(), SNAPSHOT_SCHEMA).await;
        Self { id, shell, loaded }
    }
}

impl Actor for IndexActor {
    type Msg = IndexMsg;
    /// Boxed: the runtime keeps room for the state in several places of an actor's task.
    type State = Box<Live>;
    type Arguments = IndexArguments;

    async fn pre_start(
        &self,
        _: ActorRef<IndexMsg>,
        arguments: IndexArguments,
    ) -> Result<Box<Live>, ActorProcessingErr> {
        Ok(Box::new(Box::pin(Live::rehydrate(arguments)).await?))
    }

    async fn post_start(
        &self,
        myself: ActorRef<IndexMsg>,
        live: &mut Box<Live>,
    ) -> Result<(), ActorProcessingErr> {
        if live.has_open_work() {
            Box::pin(live.resume(&myself)).await?;
        }
        Ok(())
    }

    /// The quiet check runs right here and allocates nothing; everything else is boxed, so that
    /// an idle actor carries no large future.
    async fn handle(
        &self,
        myself: ActorRef<IndexMsg>,
        message: IndexMsg,
        live: &mut Box<Live>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IndexMsg::Check(ticket) => match live.look(&myself, ticket) {
                None => Ok(()),
                Some(found) => {
                    let shell = Arc::clone(&live.shell);
                    // Waiting for a place costs little; what follows up is made when it is there.
                    // The semaphore is never closed.
                    let _place = Box::pin(shell.follow_ups.acquire()).await;
                    Ok(Box::pin(live.follow_up(&myself, *found)).await?)
                }
            },
            IndexMsg::Get(reply) => {
                // The asker may have gone; nothing depends on the answer.
                let _ = reply.send(live.view());
                Ok(())
            }
            other => Ok(Box::pin(live.handle_rare(&myself, other)).await?),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<IndexMsg>,
        event: SupervisionEvent,
        live: &mut Box<Live>,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(saga, reason) => {
                live.saga_failed(&myself, saga.get_id(), &reason.to_string());
            }
            SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}
