//! The root supervisor: the engine's own actors, each restarted with backoff when it fails.
//!
//! Senders find an actor through [`Handles`], so a successor takes over without anybody being
//! told. A message to an actor that is down is refused, and its sender says "unavailable".

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use evenkeel_domain::values::WebhookId;
use evenkeel_events::Position;
use ractor::{
    Actor, ActorId, ActorProcessingErr, ActorRef, ActorStatus, Message, SupervisionEvent,
};

use crate::dispatcher::{Dispatcher, DispatcherArguments, Page, Routes};
use crate::indexes::{Indexes, IndexesMsg, Registry};
use crate::market::{MarketActor, MarketMsg};
use crate::scheduler::{Scheduler, SchedulerArguments, SchedulerMsg};
use crate::shell::Shell;
use crate::webhooks::{WebhookRegistry, Webhooks, WebhooksArguments, WebhooksMsg};
use crate::work::Work;

/// First wait before a restart; doubles up to [`RESTART_WAIT_MAX`].
const RESTART_WAIT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait before a restart. These actors are never given up: without them nothing works,
/// and a log that takes no more writes says so at every try.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where an actor is found.
pub(crate) struct Handle<M>(RwLock<Option<ActorRef<M>>>);

impl<M> Default for Handle<M> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<M: Message> Handle<M> {
    pub(crate) fn get(&self) -> Option<ActorRef<M>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends; false when the actor is down.
    pub(crate) fn cast(&self, message: M) -> bool {
        self.get().is_some_and(|actor| actor.cast(message).is_ok())
    }

    fn set(&self, actor: Option<ActorRef<M>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = actor;
    }
}

/// The engine's own actors.
#[derive(Default)]
pub(crate) struct Handles {
    pub(crate) market: Handle<MarketMsg>,
    pub(crate) indexes: Handle<IndexesMsg>,
    pub(crate) dispatcher: Handle<Page>,
    pub(crate) webhooks: Handle<WebhooksMsg>,
    pub(crate) scheduler: Handle<SchedulerMsg>,
    pub(crate) reconciler: Handle<SchedulerMsg>,
}

impl Handles {
    /// Whether every part runs.
    pub(crate) fn all_up(&self) -> bool {
        fn up<M: Message>(handle: &Handle<M>) -> bool {
            handle
                .get()
                .is_some_and(|actor| actor.get_status() == ActorStatus::Running)
        }
        up(&self.market)
            && up(&self.indexes)
            && up(&self.dispatcher)
            && up(&self.webhooks)
            && up(&self.scheduler)
            && up(&self.reconciler)
    }

    /// The scheduler of a job.
    pub(crate) fn of(&self, work: Work) -> &Handle<SchedulerMsg> {
        match work {
            Work::DriftMonitor => &self.scheduler,
            Work::Reconciliation => &self.reconciler,
        }
    }
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Market,
    Indexes,
    Dispatcher,
    Webhooks,
    Scheduler(Work),
}

/// What the root supervisor works with.
pub(crate) struct RootArguments {
    pub(crate) shell: Arc<Shell>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) webhook_registry: Arc<WebhookRegistry>,
    pub(crate) routes: Arc<Routes>,
}

/// What the root supervisor is told.
pub(crate) enum RootMsg {
    /// Start a failed part anew.
    Restart(Part),
}

/// The actor.
pub(crate) struct Root;

/// Its state: the parts by actor, and how often each has failed.
pub(crate) struct RootState {
    with: RootArguments,
    parts: Vec<(ActorId, Part)>,
    failures: u32,
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        with: RootArguments,
    ) -> Result<RootState, ActorProcessingErr> {
        let mut state = RootState {
            with,
            parts: Vec::new(),
            failures: 0,
        };
        for part in [
            Part::Market,
            Part::Indexes,
            Part::Dispatcher,
            Part::Webhooks,
            Part::Scheduler(Work::DriftMonitor),
            Part::Scheduler(Work::Reconciliation),
        ] {
            state.start(&myself, part).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        RootMsg::Restart(part): RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(error) = state.start(&myself, part).await {
            state.failed(&myself, part, &error.to_string());
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorFailed(cell, reason) => (cell, reason.to_string()),
            // The dispatcher ends by itself when the log cannot be read.
            SupervisionEvent::ActorTerminated(cell, _, Some(reason)) => (cell, reason),
            _ => return Ok(()),
        };
        if let Some(at) = state.parts.iter().position(|(id, _)| *id == cell.get_id()) {
            let (_, part) = state.parts.remove(at);
            state.failed(&myself, part, &reason);
        }
        Ok(())
    }
}

impl RootState {
    fn failed(&mut self, myself: &ActorRef<RootMsg>, part: Part, reason: &str) {
        let wait = RESTART_WAIT_FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(RESTART_WAIT_MAX);
        self.failures = self.failures.saturating_add(1);
        tracing::error!(
            ?part,
            reason,
            ?wait,
            "a part of the engine failed; it is restarted"
        );
        myself.send_after(wait, move || RootMsg::Restart(part));
    }

    async fn start(
        &mut self,
        myself: &ActorRef<RootMsg>,
        part: Part,
    ) -> Result<(), ActorProcessingErr> {
        let (with, cell) = (&self.with, myself.get_cell());
        let (shell, handles) = (Arc::clone(&with.shell), &with.shell.handles);
        let id = match part {
            Part::Market => {
                let (actor, _) = MarketActor::spawn_linked(None, MarketActor, shell, cell).await?;
                keep(&handles.market, actor)
            }
            Part::Indexes => {
                let arguments = (shell, Arc::clone(&with.registry));
                keep(
                    &handles.indexes,
                    Indexes::spawn_linked(None, Indexes, arguments, cell)
                        .await?
                        .0,
                )
            }
            Part::Dispatcher => {
                let (routes, after) = (Arc::clone(&with.routes), self.dispatch_from());
                let arguments = DispatcherArguments {
                    shell,
                    routes,
                    after,
                };
                keep(
                    &handles.dispatcher,
                    Dispatcher::spawn_linked(None, Dispatcher, arguments, cell)
                        .await?
                        .0,
                )
            }
            Part::Webhooks => {
                let (routes, registry) =
                    (Arc::clone(&with.routes), Arc::clone(&with.webhook_registry));
                let known: Vec<WebhookId> = with.shell.webhooks.known();
                let arguments = WebhooksArguments {
                    shell,
                    routes,
                    registry,
                    known,
                };
                keep(
                    &handles.webhooks,
                    Webhooks::spawn_linked(None, Webhooks, arguments, cell)
                        .await?
                        .0,
                )
            }
            Part::Scheduler(work) => {
                let registry = Arc::clone(&with.registry);
                let arguments = SchedulerArguments {
                    work,
                    shell,
                    registry,
                };
                keep(
                    handles.of(work),
                    Scheduler::spawn_linked(None, Scheduler, arguments, cell)
                        .await?
                        .0,
                )
            }
        };
        self.parts.push((id, part));
        Ok(())
    }

    /// The first dispatcher begins at the head, before any subscription looks at it. A successor
    /// begins where the first one did: waking a subscription twice does no harm.
    fn dispatch_from(&self) -> Position {
        *self
            .with
            .shell
            .dispatched_from
            .get_or_init(|| self.with.shell.journal.log.head().position)
    }
}

fn keep<M: Message>(handle: &Handle<M>, actor: ActorRef<M>) -> ActorId {
    let id = actor.get_id();
    handle.set(Some(actor));
    id
}
