//! A live subscription: its state, its window of deliveries, its place in the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::values::{Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    self, AttemptReport, AttemptResult, ENDED_AHEAD_MAX, IN_FLIGHT_MAX, RETRY_AFTER_MAX, Webhook,
    WebhookCommand, WebhookEvent, WebhookRefusal,
};
use evenkeel_events::{AppendError, OwnerKey, Position, ReadError, Recorded, StreamId};
use ractor::ActorRef;
use tokio::time::Instant;

use super::{CommandRequest, Reply, WebhookArguments, WebhookMsg, message, message_id};
use crate::dispatcher::{Route, Routes, Wake};
use crate::engine::{EngineError, WebhookView};
use crate::journal::{Origin, ReplayError};
use crate::ports::WebhookRequest;
use crate::shell::Shell;
use crate::streams;

/// Events looked at per read while a subscription catches up: bounds its memory.
const PAGE: usize = 256;

/// A place in the log is noted when it is this far ahead of the last one that is: below that,
/// looking at the events anew after a restart costs less than the note.
const CHECKPOINT_EVERY: u64 = 1_000;

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
    attempts: u32,
    request: WebhookRequest,
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
            filter: webhook.target.events.clone(),
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
        let secret = with_secret.then(|| {
            self.shell
                .transport
                .secret(self.id, webhook.secret_generation)
        });
        Ok(WebhookView {
            webhook,
            version: self.version,
            secret,
        })
    }

    /// Takes over what the dispatcher has noted. When everything before was looked at, nothing
    /// that matches lies between there and the first new event.
    pub(crate) async fn wake(&mut self) -> Result<(), Halt> {
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
        self.fill().await
    }

    /// Begins deliveries until the window is full or everything has been looked at.
    async fn fill(&mut self) -> Result<(), Halt> {
        // One that is far ahead of a delivery that is put off waits for it.
        let begins = |live: &Self| {
            live.webhook.as_ref().is_some_and(|webhook| {
                let room = webhook.ended_ahead.len() < ENDED_AHEAD_MAX;
                webhook.enabled && !webhook.deleted && room
            })
        };
        while begins(self) && self.flights.len() < IN_FLIGHT_MAX && self.scanned < self.target {
            let page = self.shell.journal.log.read(self.scanned, PAGE).await?;
            let Some(last) = page.last().map(|recorded| recorded.position) else {
                return Ok(());
            };
            for recorded in page {
                if self.flights.len() >= IN_FLIGHT_MAX {
                    break;
                }
                self.scanned = recorded.position;
                self.consider(&recorded);
            }
            self.target = self.target.max(if self.scanned == last {
                last
            } else {
                self.target
            });
        }
        Ok(())
    }

    fn consider(&mut self, recorded: &Recorded) {
        let Some(webhook) = &self.webhook else { return };
        let own = recorded.metadata.owner == OwnerKey(webhook.owner.as_u128());
        // What becomes of it is told to the owner's other subscriptions.
        let itself = recorded.stream == self.stream;
        if !own || itself || !webhook.target.events.matches(&recorded.event_type) {
            return;
        }
        let position = recorded.position;
        if position <= webhook.low_water || webhook.ended_ahead.contains(&position) {
            return;
        }
        let retrying = webhook
            .retrying
            .iter()
            .find(|(at, ..)| *at == position)
            .copied();
        let body = match message::body(&self.shell, recorded) {
            Ok(body) => body,
            Err(error) => {
                return tracing::error!(webhook = %self.id, %error, "an event cannot be delivered");
            }
        };
        let request = self.request(
            webhook,
            message_id(self.id, position),
            &recorded.event_type,
            body,
        );
        let attempts = retrying.map_or(0, |(_, attempts, _)| attempts);
        self.flights.insert(position, Flight { attempts, request });
        // A retry that lies further ahead than any wait means that the clock was set back.
        let waits = |due: &Timestamp| due.since(self.shell.now()) <= RETRY_AFTER_MAX;
        match retrying.map(|(.., due)| due).filter(waits) {
            Some(due) => self.retry_at(position, due),
            None => self.attempt(position),
        }
    }

    fn request(
        &self,
        webhook: &Webhook,
        message_id: String,
        event_type: &str,
        body: bytes::Bytes,
    ) -> WebhookRequest {
        WebhookRequest {
            webhook_id: self.id,
            url: webhook.target.url.to_string(),
            message_id,
            event_type: event_type.to_owned(),
            body,
            generations: generations(webhook, self.shell.now()),
        }
    }

    fn retry_at(&self, position: Position, due: Timestamp) {
        let wait = Duration::from_millis(due.since(self.shell.now()).as_millis());
        self.myself
            .send_after(wait, move || WebhookMsg::Retry(position));
    }

    /// One attempt, in a task of its own: the actor stays free for the others of its window.
    pub(crate) fn attempt(&mut self, position: Position) {
        let now = self.shell.now();
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| webhook.enabled) else {
            return;
        };
        let Some(flight) = self.flights.get_mut(&position) else {
            return;
        };
        flight.request.generations = generations(webhook, now);
        flight.request.url = webhook.target.url.to_string();
        let (request, attempt) = (flight.request.clone(), flight.attempts + 1);
        let (transport, myself) = (Arc::clone(&self.shell.transport), self.myself.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let result = transport.send(&request).await;
            let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
            // An actor that is gone starts anew and sends this delivery again.
            let _ = myself.cast(WebhookMsg::Attempted {
                position,
                attempt,
                result,
                duration_ms,
            });
        });
    }

    pub(crate) async fn attempted(
        &mut self,
        position: Position,
        attempt: u32,
        result: AttemptResult,
        duration_ms: u32,
    ) -> Result<(), Halt> {
        let Some(webhook) = &self.webhook else {
            return Ok(());
        };
        let report = AttemptReport {
            position,
            attempt,
            result,
            duration_ms,
            jitter_permille: self.shell.ids.permille(),
            low_water: self.low_water_without(position),
        };
        let owner = webhook.owner;
        match webhook::decide(
            Some(webhook),
            WebhookCommand::Report(report),
            self.shell.now(),
        ) {
            Ok(events) => {
                let origin = Origin::new(Some(owner), "system:delivery", self.shell.new_key());
                self.commit(events, &origin).await?;
                self.after_attempt(position);
            }
            Err(error) => {
                tracing::debug!(webhook = %self.id, position, %error, "a report was left aside");
                self.flights.remove(&position);
            }
        }
        self.fill().await
    }

    fn after_attempt(&mut self, position: Position) {
        let retry = self.webhook.as_ref().and_then(|webhook| {
            webhook
                .retrying
                .iter()
                .find(|(at, ..)| *at == position)
                .copied()
        });
        match (retry, self.flights.get_mut(&position)) {
            (Some((_, attempts, due)), Some(flight)) => {
                flight.attempts = attempts;
                self.retry_at(position, due);
            }
            _ => drop(self.flights.remove(&position)),
        }
        if self.webhook.as_ref().is_none_or(|webhook| !webhook.enabled) {
            self.flights.clear();
        }
    }

    /// Everything up to here will have ended when the delivery at `position` ends.
    fn low_water_without(&self, position: Position) -> Position {
        let open = self.flights.keys().find(|at| **at != position);
        open.map_or(self.scanned, |at| at - 1)
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
            WebhookCommand::Create { .. } | WebhookCommand::RotateSecret
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
                self.commit(events, &origin).await?;
                let _ = reply.send(self.view(shows_secret));
                if restarted {
                    self.flights.clear();
                    self.begin().await?;
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
            adopt(&mut self.webhook, event);
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

    /// Sends the event at a position once more; the outcome counts for nothing.
    pub(crate) async fn resend(&mut self, position: Position, reply: Reply<AttemptResult>) {
        let found = self
            .shell
            .journal
            .log
            .read(position.saturating_sub(1), 1)
            .await;
        let recorded = found
            .ok()
            .and_then(|page| page.into_iter().next())
            .filter(|recorded| recorded.position == position);
        let (Some(webhook), Some(recorded)) = (&self.webhook, recorded) else {
            return drop(reply.send(Err(EngineError::NotFound("delivery"))));
        };
        let own = recorded.metadata.owner == OwnerKey(webhook.owner.as_u128());
        let body = message::body(&self.shell, &recorded)
            .ok()
            .filter(|_| own && webhook.target.events.matches(&recorded.event_type));
        let Some(body) = body else {
            return drop(reply.send(Err(EngineError::NotFound("delivery"))));
        };
        let request = self.request(
            webhook,
            message_id(self.id, position),
            &recorded.event_type,
            body,
        );
        self.send_aside(request, reply);
    }

    /// Sends a test message; the outcome counts for nothing.
    pub(crate) fn test(&self, reply: Reply<AttemptResult>) {
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| !webhook.deleted) else {
            return drop(reply.send(Err(EngineError::NotFound("webhook"))));
        };
        let generations = generations(webhook, self.shell.now());
        self.send_aside(
            message::test_request(&self.shell, self.id, &webhook.target, generations),
            reply,
        );
    }

    fn send_aside(&self, request: WebhookRequest, reply: Reply<AttemptResult>) {
        let transport = Arc::clone(&self.shell.transport);
        tokio::spawn(async move {
            let _ = reply.send(Ok(transport.send(&request).await));
        });
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
fn generations(webhook: &Webhook, now: Timestamp) -> Vec<u32> {
    let newest = webhook.secret_generation;
    let both = newest > 1 && webhook.overlap_until.is_some_and(|until| now < until);
    if both {
        vec![newest, newest - 1]
    } else {
        vec![newest]
    }
}
