//! A live subscription: its state, its window of deliveries, its place in the log.

mod aside;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::values::{Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    self, AttemptResult, Signature, Webhook, WebhookCommand, WebhookEvent, WebhookRefusal,
};
use evenkeel_events::{AppendError, Position, ReadError, StreamId};
use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{CommandRequest, WebhookArguments, WebhookMsg};
use crate::dispatcher::{Route, Routes, Types, Wake};
use crate::engine::{EngineError, WebhookView};
use crate::journal::{Origin, ReplayError};
use crate::ports::SigningKey;
use crate::shell::Shell;
use crate::streams;

/// A place in the log is noted when it is this far ahead of the last one that is: below that,
/// looking at the events anew after a restart costs less than the note.
pub(crate) const CHECKPOINT_EVERY: u64 = 1_000;

/// How long an orderly stop waits for attempts under way: half of what one may take, so that a
/// receiver that hangs does not make the process miss the ten seconds that supervisors allow.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Why an actor ends: it is started anew from the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A delivery that has begun and not ended.
struct Flight {
    /// Attempts that have ended.
    attempts: u32,
    stage: Stage,
}

/// What a delivery does now.
enum Stage {
    /// An attempt is under way, or in the row for its place.
    UnderWay { _attempt: Arc<Task> },
    /// Its event cannot be read, which is about to be reported.
    Unreadable,
    /// It waits for its retry or for others to go out with, and holds no body.
    Waits { _timer: Task },
}

/// An attempt that has ended.
struct Outcome {
    /// The deliveries that it was for, and which attempt of each it was: one, or those of a mail.
    of: Vec<(Position, u32)>,
    result: AttemptResult,
    duration_ms: u32,
}

/// Attempts that have ended and that the actor has not taken in.
type Ended = Arc<Mutex<Vec<Outcome>>>;

impl Outcome {
    /// Puts it to those that the actor is about to take in; one message is out at a time.
    fn report(self, ended: &Ended, actor: &ActorRef<WebhookMsg>) {
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(self);
        if ended.len() == 1 {
            // An actor that is gone starts anew and sends this delivery again.
            let _ = actor.cast(WebhookMsg::Attempted);
        }
    }
}

/// What comes no more when this is dropped: a delivery that is let go of and begun anew has no
/// attempt and no retry from before.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A live subscription.
pub(crate) struct Live {
    id: WebhookId,
    myself: ActorRef<WebhookMsg>,
    shell: Arc<Shell>,
    routes: Arc<Routes>,
    stream: StreamId,
    version: u64,
    webhook: Option<Webhook>,
    wake: Arc<Mutex<Wake>>,
    /// The log has been looked at up to here.
    scanned: Position,
    /// Up to here there are events to look at.
    target: Position,
    flights: BTreeMap<Position, Flight>,
    ended: Ended,
    /// Retries whose time has come, and that wait for a place in the window.
    due: BTreeSet<Position>,
    /// Whether the last attempt failed.
    is_failing: bool,
    /// Attempts that may be under way: one until one succeeds, then twice as many with each that
    /// does. A receiver that never answered holds one place, however much there is for it.
    window: usize,
    /// Before then no attempt begins: the rate's limit.
    not_before: Option<Instant>,
    /// The message that comes then.
    pace: Option<Task>,
    /// Nothing more begins; told when the last attempt has ended.
    stopping: Option<oneshot::Sender<()>>,
}

impl Live {
    pub(crate) async fn rehydrate(
        myself: ActorRef<WebhookMsg>,
        with: WebhookArguments,
    ) -> Result<Self, ReplayError> {
        let WebhookArguments { id, shell, routes } = with;
        let (stream, mut webhook) = (streams::webhook(id), None);
        let version = shell
            .journal
            .replay(&stream, 0, |event| adopt(&mut webhook, event))
            .await?;
        let (wake, flights) = (Arc::default(), BTreeMap::new());
        let is_failing = webhook.as_ref().is_some_and(Webhook::is_failing);
        Ok(Self {
            id,
            myself,
            shell,
            routes,
            stream,
            version,
            webhook,
            wake,
            scanned: 0,
            target: 0,
            flights,
            ended: Ended::default(),
            due: BTreeSet::new(),
            is_failing,
            window: 1,
            not_before: None,
            pace: None,
            stopping: None,
        })
    }

    /// Enters the routes first and reads the head then: an event after that head finds the route.
    pub(crate) async fn begin(&mut self) -> Result<(), Halt> {
        self.route();
        self.scanned = self.webhook.as_ref().map_or(0, |webhook| webhook.low_water);
        self.target = self.shell.journal.log.head().position;
        self.fill().await
    }

    fn route(&self) {
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| !webhook.deleted) else {
            return;
        };
        let route = Route {
            types: Types::of(&webhook.target.events),
            target: webhook.target.clone(),
            enabled: webhook.enabled,
            wake: Arc::clone(&self.wake),
            actor: self.myself.clone(),
        };
        self.routes.set(webhook.owner, self.id, route);
    }

    pub(crate) fn unroute(&self) {
        if let Some(webhook) = &self.webhook {
            self.routes.remove(webhook.owner, self.id);
        }
    }

    pub(crate) fn view(&self, with_secret: bool) -> Result<WebhookView, EngineError> {
        let webhook = self.webhook.clone().filter(|webhook| !webhook.deleted);
        let webhook = webhook.ok_or(EngineError::NotFound("webhook"))?;
        let transport = &self.shell.transport;
        let secret = || transport.secret(self.id, &SigningKey::newest(&webhook));
        let is_signed = !webhook.target.channel.is_mail();
        let secret = (with_secret && is_signed).then(secret).flatten();
        let with_public_key = webhook.target.signature == Signature::V1a;
        let public_key = with_public_key
            .then(|| transport.public_key(self.id, webhook.secret_generation))
            .flatten();
        Ok(WebhookView {
            webhook,
            version: self.version,
            secret,
            public_key,
        })
    }

    /// Takes over what the dispatcher has noted. When everything before was looked at, nothing
    /// that matches lies between there and the first new event.
    fn take_wake(&mut self) {
        let Wake { first, last } = {
            let mut wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
            let noted = *wake;
            wake.first = None;
            noted
        };
        if let Some(first) = first.filter(|_| self.scanned >= self.target) {
            self.scanned = self.scanned.max(first - 1);
        }
        self.target = self.target.max(last);
    }

    pub(crate) async fn command(
        &mut self,
        myself: &ActorRef<WebhookMsg>,
        request: CommandRequest,
    ) -> Result<(), Halt> {
        let CommandRequest {
            command,
            origin,
            reply,
        } = request;
        let shows_secret = matches!(
            command,
            WebhookCommand::Create { .. } | WebhookCommand::RotateSecret { .. }
        );
        match webhook::decide(self.webhook.as_ref(), command, self.shell.now()) {
            Err(WebhookRefusal::NotFound) => {
                drop(reply.send(Err(EngineError::NotFound("webhook"))));
            }
            Err(refusal) => drop(reply.send(Err(refusal.into()))),
            Ok(events) => {
                let restarted = events.iter().any(|event| {
                    matches!(event, WebhookEvent::Created(_) | WebhookEvent::Enabled(_))
                });
                let has_more = events
                    .iter()
                    .any(|event| matches!(event, WebhookEvent::RedeliveryRequested(_)));
                self.commit(events, &origin).await?;
                let _ = reply.send(self.view(shows_secret));
                if restarted {
                    self.let_go();
                    self.begin().await?;
                } else if has_more {
                    self.fill().await?;
                }
            }
        }
        if self.webhook.as_ref().is_none_or(|webhook| webhook.deleted) {
            self.unroute();
            myself.stop(None);
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        events: Vec<WebhookEvent>,
        origin: &Origin,
    ) -> Result<(), AppendError> {
        for event in &events {
            webhook::apply(&mut self.webhook, event);
        }
        self.append(events, origin).await
    }

    /// Appends what an attempt led to.
    async fn store(&mut self, events: Vec<WebhookEvent>) -> Result<(), AppendError> {
        let owner = self.webhook.as_ref().map(|webhook| webhook.owner);
        let origin = Origin::new(owner, "system:delivery", self.shell.new_key());
        self.append(events, &origin).await
    }

    /// Appends what was adopted: a failed append ends the actor, and its state with it.
    async fn append(
        &mut self,
        events: Vec<WebhookEvent>,
        origin: &Origin,
    ) -> Result<(), AppendError> {
        if events.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = events.into_iter().map(Event::Webhook).collect();
        self.version = self
            .shell
            .journal
            .append(&self.stream, self.version, &events, origin)
            .await?;
        for event in &events {
            match event {
                Event::Webhook(WebhookEvent::Delivered(_)) => {
                    self.shell.tally.deliveries_succeeded.add(1);
                }
                Event::Webhook(WebhookEvent::DeliveryFailed(_)) => {
                    self.shell.tally.deliveries_failed.add(1);
                }
                Event::Webhook(WebhookEvent::Disabled(disabled)) => {
                    tracing::warn!(webhook = %self.id, reason = %disabled.reason, "a webhook was disabled");
                    self.route();
                }
                Event::Webhook(WebhookEvent::AttemptFailed(_) | WebhookEvent::Checkpointed(_)) => {}
                _ => self.route(),
            }
        }
        Ok(())
    }

    /// Begins nothing more. The attempts under way have [`STOP_WAIT`] to end: each that is cut off
    /// comes twice. What waits for its time stays open, so that the place in the log is not noted
    /// beyond it.
    pub(crate) async fn stop(&mut self, done: oneshot::Sender<()>) -> Result<(), Halt> {
        self.stopping = Some(done);
        self.myself.send_after(STOP_WAIT, || WebhookMsg::StopNow);
        self.end_if_stopped().await
    }

    async fn end_if_stopped(&mut self) -> Result<(), Halt> {
        if self.stopping.is_some() && self.under_way() == 0 {
            self.stop_now().await?;
        }
        Ok(())
    }

    /// Notes the place in the log and ends.
    pub(crate) async fn stop_now(&mut self) -> Result<(), Halt> {
        self.checkpoint().await?;
        if let Some(done) = self.stopping.take() {
            let _ = done.send(());
        }
        self.myself.stop(None);
        Ok(())
    }

    /// Notes the place in the log if it is far ahead of the noted one and nothing is in flight.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), Halt> {
        let Some(webhook) = self
            .webhook
            .as_ref()
            .filter(|webhook| webhook.enabled && !webhook.deleted)
        else {
            return Ok(());
        };
        let waiting = self
            .wake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .first
            .is_some();
        let idle = self.flights.is_empty() && self.scanned >= self.target && !waiting;
        if !idle || self.scanned < webhook.low_water + CHECKPOINT_EVERY {
            return Ok(());
        }
        let (owner, low_water) = (webhook.owner, self.scanned);
        let decided = webhook::decide(
            Some(webhook),
            WebhookCommand::Checkpoint { low_water },
            self.shell.now(),
        );
        let origin = Origin::new(Some(owner), "system:delivery", self.shell.new_key());
        Ok(self.commit(decided.unwrap_or_default(), &origin).await?)
    }
}

fn adopt(webhook: &mut Option<Webhook>, event: &Event) {
    if let Event::Webhook(event) = event {
        webhook::apply(webhook, event);
    }
}

/// The secrets that sign now, the newest first.
fn keys(webhook: &Webhook, now: Timestamp) -> Vec<SigningKey> {
    let newest = SigningKey::newest(webhook);
    let is_overlap = webhook.overlap_until.is_some_and(|until| now < until);
    let before = newest.generation.checked_sub(1).filter(|n| *n > 0);
    let before = before.filter(|_| is_overlap).map(|generation| SigningKey {
        generation,
        brought: webhook.secret_before.clone(),
    });
    std::iter::once(newest).chain(before).collect()
}
