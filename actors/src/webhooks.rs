//! The supervisor of webhook actors: spawns them and restarts failed ones with backoff.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use evenkeel_domain::values::WebhookId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::dispatcher::Routes;
use crate::shell::Shell;
use crate::webhook::{WebhookActor, WebhookArguments, WebhookMsg};

/// First wait before a restart; doubles up to [`RESTART_WAIT_MAX`].
const RESTART_WAIT_FIRST: Duration = Duration::from_millis(200);

/// Longest wait before a restart: a subscription is never given up, its events wait in the log.
const RESTART_WAIT_MAX: Duration = Duration::from_mins(1);

/// The live actors by subscription.
#[derive(Default)]
pub(crate) struct WebhookRegistry {
    actors: RwLock<HashMap<WebhookId, ActorRef<WebhookMsg>>>,
}

impl WebhookRegistry {
    /// Each write is one insertion or removal, so a poisoned lock is used on.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, HashMap<WebhookId, ActorRef<WebhookMsg>>> {
        self.actors.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<WebhookId, ActorRef<WebhookMsg>>> {
        self.actors.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the supervisor is told.
pub(crate) enum WebhooksMsg {
    /// Start the actor of a subscription; answers when it is up.
    Spawn(WebhookId, oneshot::Sender<bool>),
    /// Start a failed one anew.
    Restart(WebhookId),
    /// End all; each notes its place in the log.
    StopAll(oneshot::Sender<()>),
}

/// The actor.
pub(crate) struct Webhooks;

/// What the supervisor works with.
pub(crate) struct WebhooksArguments {
    pub(crate) shell: Arc<Shell>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) registry: Arc<WebhookRegistry>,
    /// Subscriptions to start with.
    pub(crate) known: Vec<WebhookId>,
}

/// Its state.
pub(crate) struct WebhooksState {
    shell: Arc<Shell>,
    routes: Arc<Routes>,
    registry: Arc<WebhookRegistry>,
    ids: HashMap<ActorId, WebhookId>,
    failures: HashMap<WebhookId, u32>,
    stopping: bool,
}

impl Actor for Webhooks {
    type Msg = WebhooksMsg;
    type State = WebhooksState;
    type Arguments = WebhooksArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<WebhooksMsg>,
        with: WebhooksArguments,
    ) -> Result<WebhooksState, ActorProcessingErr> {
        let WebhooksArguments {
            shell,
            routes,
            registry,
            known,
        } = with;
        let (ids, failures) = (HashMap::new(), HashMap::new());
        let mut state = WebhooksState {
            shell,
            routes,
            registry,
            ids,
            failures,
            stopping: false,
        };
        for id in known {
            state.spawn(&myself, id).await;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WebhooksMsg>,
        message: WebhooksMsg,
        state: &mut WebhooksState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WebhooksMsg::Spawn(id, up) => {
                let _ = up.send(state.spawn(&myself, id).await);
            }
            WebhooksMsg::Restart(id) if !state.stopping => {
                state.spawn(&myself, id).await;
            }
            WebhooksMsg::Restart(_) => {}
            WebhooksMsg::StopAll(done) => {
                state.stop_all().await;
                let _ = done.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<WebhooksMsg>,
        event: SupervisionEvent,
        state: &mut WebhooksState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, reason) => {
                if let Some(id) = state.forget(cell.get_id()) {
                    state.failed(&myself, id, &reason.to_string());
                }
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.forget(cell.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl WebhooksState {
    async fn spawn(&mut self, myself: &ActorRef<WebhooksMsg>, id: WebhookId) -> bool {
        let with = WebhookArguments {
            id,
            shell: Arc::clone(&self.shell),
            routes: Arc::clone(&self.routes),
        };
        match WebhookActor::spawn_linked(None, WebhookActor, with, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.ids.insert(actor.get_id(), id);
                self.registry.write().insert(id, actor);
                true
            }
            Err(reason) => {
                self.failed(myself, id, &reason.to_string());
                false
            }
        }
    }

    fn forget(&mut self, actor: ActorId) -> Option<WebhookId> {
        let id = self.ids.remove(&actor)?;
        self.registry.write().remove(&id);
        Some(id)
    }

    fn failed(&mut self, myself: &ActorRef<WebhooksMsg>, id: WebhookId, reason: &str) {
        if self.stopping {
            return;
        }
        let failures = self.failures.entry(id).or_default();
        *failures = failures.saturating_add(1);
        let doublings = (*failures - 1).min(16);
        let wait = RESTART_WAIT_FIRST
            .saturating_mul(1 << doublings)
            .min(RESTART_WAIT_MAX);
        tracing::error!(webhook = %id, reason, failures, ?wait, "the webhook failed; it is restarted");
        myself.send_after(wait, move || WebhooksMsg::Restart(id));
    }

    async fn stop_all(&mut self) {
        self.stopping = true;
        let actors: Vec<_> = self.registry.read().values().cloned().collect();
        let told = actors.into_iter().filter_map(|actor| {
            let (done, end) = oneshot::channel();
            actor.cast(WebhookMsg::Stop(done)).is_ok().then_some(end)
        });
        // All at once: they wait for their receivers side by side.
        let ends: Vec<_> = told.collect();
        for end in ends {
            // An actor that failed meanwhile has dropped its sender: that is an end too.
            let _ = end.await;
        }
    }
}
