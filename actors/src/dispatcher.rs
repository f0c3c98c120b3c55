//! The dispatcher: follows the log once for all subscriptions and wakes those that an event is
//! for. It hands over positions, never queues: a subscription reads the log at its own pace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use evenkeel_domain::index::Tag;
use evenkeel_domain::values::{OwnerId, WebhookId};
use evenkeel_domain::webhook::{EVENT_TYPES, Filter, SYSTEM_EVENT_TYPES, Target, Webhook};
use evenkeel_events::{OwnerKey, Position, Recorded, Subscription};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::shell::Shell;
use crate::streams;
use crate::webhook::WebhookMsg;

/// Events looked at per step: bounds the memory of the dispatcher whatever the log's pace.
const PAGE: usize = 512;

/// Where the first matching event that an actor has not been told of stands, and the last.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Wake {
    pub(crate) first: Option<Position>,
    pub(crate) last: Position,
}

/// Which of [`EVENT_TYPES`] a filter lets through, a bit each: what every event of an owner is
/// held against for each of its subscriptions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Types(u64);

impl Types {
    pub(crate) fn of(filter: &Filter) -> Self {
        let types = EVENT_TYPES.iter().enumerate();
        let passing = types.filter(|(_, event_type)| filter.matches(event_type));
        Self(passing.fold(0, |types, (at, _)| types | (1 << at)))
    }

    /// The type alone; none of one that nobody can subscribe to.
    fn one(event_type: &str) -> Option<Self> {
        let at = EVENT_TYPES.iter().position(|known| *known == event_type)?;
        Some(Self(1 << at))
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A subscription as the dispatcher sees it.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) types: Types,
    pub(crate) target: Target,
    pub(crate) enabled: bool,
    pub(crate) wake: Arc<Mutex<Wake>>,
    pub(crate) actor: ActorRef<WebhookMsg>,
}

impl Route {
    /// Notes a matching event; one message is out at a time, however many events come.
    fn note(&self, position: Position) {
        let mut wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        wake.last = wake.last.max(position);
        if wake.first.is_none() {
            wake.first = Some(position);
            drop(wake);
            // An actor that is gone starts anew from its place in the log.
            let _ = self.actor.cast(WebhookMsg::Wake);
        }
    }
}

/// Subscriptions by owner; the webhook actors keep it.
#[derive(Default)]
pub(crate) struct Routes {
    by_owner: RwLock<HashMap<OwnerId, HashMap<WebhookId, Route>>>,
}

impl Routes {
    /// Each write is one insertion or removal, so a poisoned lock is used on.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, HashMap<OwnerId, HashMap<WebhookId, Route>>> {
        self.by_owner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<OwnerId, HashMap<WebhookId, Route>>> {
        self.by_owner
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, owner: OwnerId, id: WebhookId, route: Route) {
        self.write().entry(owner).or_default().insert(id, route);
    }

    pub(crate) fn remove(&self, owner: OwnerId, id: WebhookId) {
        if let Some(of_owner) = self.write().get_mut(&owner) {
            of_owner.remove(&id);
        }
    }

    fn dispatch(&self, shell: &Shell, recorded: &Recorded) {
        // Most of a busy log is how deliveries ended, which nobody can subscribe to.
        let Some(event_type) = Types::one(&recorded.event_type) else {
            return;
        };
        let note = |of_owner: &HashMap<WebhookId, Route>| {
            for route in of_owner.values() {
                let may = route.enabled && route.types.has(event_type);
                if may && wants(shell, &route.target, recorded) {
                    route.note(recorded.position);
                }
            }
        };
        let routes = self.read();
        if is_of_system(recorded) {
            routes.values().for_each(note);
        } else {
            let owner = OwnerId::from_u128(recorded.metadata.owner.0);
            routes.get(&owner).into_iter().for_each(note);
        }
    }
}

/// Whether a target wants an event of its owner. Tags are those that the index has now.
fn wants(shell: &Shell, target: &Target, recorded: &Recorded) -> bool {
    let index = || recorded.stream.as_str().parse().ok();
    let has_tag = |id, tag: &Tag| {
        let directory = shell.directory.read();
        let tags = directory.get(&id).map(|entry| &entry.tags);
        tags.is_some_and(|tags| tags.iter().any(|has| **has == *tag.as_str()))
    };
    target.wants(&recorded.event_type, index, has_tag)
}

/// Whether an event concerns every owner.
fn is_of_system(recorded: &Recorded) -> bool {
    SYSTEM_EVENT_TYPES.contains(&&*recorded.event_type)
}

/// Whether an event is for this subscription and no other owner's. What becomes of it is told to
/// the owner's other ones.
pub(crate) fn is_for(shell: &Shell, webhook: &Webhook, recorded: &Recorded) -> bool {
    let own = recorded.metadata.owner == OwnerKey(webhook.owner.as_u128());
    let own = own || is_of_system(recorded);
    // The name of its own stream is made last: it is needed where everything else fits.
    let is_other = || recorded.stream != streams::webhook(webhook.webhook_id);
    own && wants(shell, &webhook.target, recorded) && is_other()
}

/// What the dispatcher is told: a page of the log, and where to say that it has been read.
pub(crate) struct Page(Vec<Recorded>, oneshot::Sender<()>);

/// The actor.
pub(crate) struct Dispatcher;

/// What the dispatcher works with.
pub(crate) struct DispatcherArguments {
    pub(crate) shell: Arc<Shell>,
    pub(crate) routes: Arc<Routes>,
    /// It follows the events after this position.
    pub(crate) after: Position,
}

/// Its state: the routes, and the task that reads ahead by one page.
pub(crate) struct DispatcherState {
    shell: Arc<Shell>,
    routes: Arc<Routes>,
    reader: tokio::task::JoinHandle<()>,
}

impl Actor for Dispatcher {
    type Msg = Page;
    type State = DispatcherState;
    type Arguments = DispatcherArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Page>,
        with: DispatcherArguments,
    ) -> Result<DispatcherState, ActorProcessingErr> {
        let subscription = Subscription::new(Arc::clone(&with.shell.journal.log), with.after);
        let reader = tokio::spawn(follow(subscription, myself));
        Ok(DispatcherState {
            shell: with.shell,
            routes: with.routes,
            reader,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Page>,
        Page(events, read): Page,
        state: &mut DispatcherState,
    ) -> Result<(), ActorProcessingErr> {
        for recorded in &events {
            state.routes.dispatch(&state.shell, recorded);
        }
        let _ = read.send(());
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Page>,
        state: &mut DispatcherState,
    ) -> Result<(), ActorProcessingErr> {
        state.reader.abort();
        Ok(())
    }
}

/// Reads the log page by page; the next page is read when the last has been dispatched.
async fn follow(mut subscription: Subscription, dispatcher: ActorRef<Page>) {
    loop {
        let page = match subscription.next_page(PAGE).await {
            Ok(page) if page.is_empty() => return,
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "the log cannot be followed; no webhook is woken until the restart");
                return dispatcher.stop(Some(error.to_string()));
            }
        };
        let (read, done) = oneshot::channel();
        if dispatcher.cast(Page(page, read)).is_err() || done.await.is_err() {
            return;
        }
    }
}
