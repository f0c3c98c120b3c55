//! The window of deliveries: which begin, which are under way, which wait for a retry, and what
//! follows when an attempt ends.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evenkeel_domain::values::Timestamp;
use evenkeel_domain::webhook::{
    self, Answer, AttemptReport, AttemptResult, ENDED_AHEAD_MAX, IN_FLIGHT_MAX, OPEN_MAX,
    RETRY_AFTER_MAX, Reason, Webhook, WebhookCommand, WebhookEvent,
};
use evenkeel_events::{Position, ReadError, Recorded};
use tokio::time::Instant;

use super::super::{WebhookMsg, message, message_id};
use super::{Flight, Halt, Live, Outcome, Stage, Task, keys};
use crate::dispatcher::is_for;
use crate::ports::WebhookRequest;

/// Events looked at by the first read while a subscription catches up: about what its window
/// takes when all of them match.
const PAGE_MIN: usize = 2 * IN_FLIGHT_MAX;

/// Events looked at per read: bounds its memory.
const PAGE_MAX: usize = 256;

/// Status of a receiver that gets too much, or that is down for a while: it is about all that
/// comes to it, not about one message.
const TOO_MANY: u16 = 429;
const UNAVAILABLE: u16 = 503;

impl Live {
    /// Makes the retries that are due, then begins deliveries, until the window is full or
    /// everything has been looked at.
    ///
    /// What the dispatcher has noted is taken only while there is a place: until then it sends no
    /// further message, and a crowd of subscriptions that hang costs nothing per event.
    pub(crate) async fn fill(&mut self) -> Result<(), Halt> {
        if self.has_place() {
            self.take_wake();
        }
        while self.has_place() {
            let Some(position) = self.due.pop_first() else {
                break;
            };
            let attempts = self.flights.get(&position).map(|flight| flight.attempts);
            if let Some((attempts, recorded)) = attempts.zip(self.recorded(position).await?) {
                self.attempt(&recorded, attempts);
            }
        }
        while self.has_place() && self.flights.len() < OPEN_MAX {
            let Some(position) = self.next_again() else {
                break;
            };
            match self.recorded(position).await? {
                Some(recorded) => self.open(&recorded),
                None => break,
            }
        }
        let mut page_size = PAGE_MIN;
        while self.begins() && self.scanned < self.target {
            let page = self.shell.journal.log.read(self.scanned, page_size).await?;
            // Where little matches, more is looked at.
            page_size = (2 * page_size).min(PAGE_MAX);
            let Some(last) = page.last().map(|recorded| recorded.position) else {
                return Ok(());
            };
            for recorded in page {
                if !self.begins() {
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

    /// The next delivery that is to be made once more and has not begun.
    fn next_again(&self) -> Option<Position> {
        let webhook = self.webhook.as_ref().filter(|webhook| webhook.enabled)?;
        let begun = |position: &&Position| self.flights.contains_key(*position);
        webhook.again.iter().find(|at| !begun(at)).copied()
    }

    /// Whether one more attempt may be under way. While attempts fail there is one at a time: more
    /// would tell no more, and take places from others.
    fn has_place(&self) -> bool {
        match self.under_way() {
            _ if self.stopping.is_some() || self.pace.is_some() => false,
            0 => true,
            some => some < IN_FLIGHT_MAX && !self.is_failing && self.shell.lanes.has_further(),
        }
    }

    pub(super) fn under_way(&self) -> usize {
        let under_way = self.flights.values();
        let under_way = under_way.filter(|flight| matches!(flight.stage, Stage::UnderWay { .. }));
        under_way.count()
    }

    /// Whether the next event may be looked at. A subscription that is far ahead of a delivery
    /// that is put off waits for it; what has ended already is passed over at any time.
    fn begins(&self) -> bool {
        let Some(webhook) = &self.webhook else {
            return false;
        };
        let ahead = &webhook.ended_ahead;
        let room = ahead.len() < ENDED_AHEAD_MAX || ahead.last() > Some(&self.scanned);
        let open = self.flights.len() < OPEN_MAX && self.has_place();
        webhook.enabled && !webhook.deleted && room && open
    }

    /// The event at a position.
    pub(super) async fn recorded(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        let page = self
            .shell
            .journal
            .log
            .read(position.saturating_sub(1), 1)
            .await?;
        Ok(page
            .into_iter()
            .find(|recorded| recorded.position == position))
    }

    fn consider(&mut self, recorded: &Recorded) {
        let Some(webhook) = &self.webhook else { return };
        if !is_for(&self.shell, webhook, recorded) {
            return;
        }
        // One that is made once more begins by itself.
        if !webhook.is_behind(recorded.position) {
            self.open(recorded);
        }
    }

    /// Begins a delivery, or takes it up where the last attempt left it.
    fn open(&mut self, recorded: &Recorded) {
        let Some(webhook) = &self.webhook else { return };
        let position = recorded.position;
        let retrying = webhook
            .retrying
            .iter()
            .find(|(at, ..)| *at == position)
            .copied();
        let attempts = retrying.map_or(0, |(_, attempts, _)| attempts);
        // A retry that lies further ahead than any wait means that the clock was set back.
        let waits = |due: &Timestamp| due.since(self.shell.now()) <= RETRY_AFTER_MAX;
        if let Some(due) = retrying.map(|(.., due)| due).filter(waits) {
            self.retry_at(position, attempts, due);
        } else {
            self.attempt(recorded, attempts);
        }
    }

    pub(super) fn request(
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
            keys: keys(webhook, self.shell.now()),
            signature: webhook.target.signature,
            headers: webhook.target.headers.clone(),
        }
    }

    fn retry_at(&mut self, position: Position, attempts: u32, due: Timestamp) {
        let wait = Duration::from_millis(due.since(self.shell.now()).as_millis());
        let timer = self
            .myself
            .send_after(wait, move || WebhookMsg::Retry(position));
        let stage = Stage::Waits {
            _retry: Task(timer.abort_handle()),
        };
        self.flights.insert(position, Flight { attempts, stage });
    }

    /// The time of a retry has come.
    pub(crate) async fn retry(&mut self, position: Position) -> Result<(), Halt> {
        // One that was let go of in the moment of its retry is no longer there, or under way.
        let flight = self.flights.get(&position);
        if flight.is_some_and(|flight| matches!(flight.stage, Stage::Waits { .. })) {
            self.due.insert(position);
        }
        self.fill().await
    }

    /// Notes an attempt that begins, and when the next one may: attempts are spread evenly over
    /// the second.
    fn pace(&mut self) {
        let Some(rate) = self.webhook.as_ref().and_then(|it| it.target.rate()) else {
            return;
        };
        let now = Instant::now();
        let begins = self.not_before.unwrap_or(now).max(now);
        self.wait_until(begins + Duration::from_secs(1) / rate.max(1).into());
    }

    /// Begins nothing until the time that a receiver asked for is over, where it said that it
    /// takes nothing at all.
    fn hush(&mut self, result: &AttemptResult) {
        if let AttemptResult::Failure {
            status: Some(TOO_MANY | UNAVAILABLE),
            retry_after: Some(asked),
            ..
        } = result
        {
            let wait = Duration::from_millis((*asked).min(RETRY_AFTER_MAX).as_millis());
            self.wait_until(Instant::now() + wait);
        }
    }

    /// No attempt begins before then.
    fn wait_until(&mut self, then: Instant) {
        let then = self.not_before.map_or(then, |before| before.max(then));
        self.not_before = Some(then);
        let wait = then.duration_since(Instant::now());
        let timer = self.myself.send_after(wait, || WebhookMsg::Paced);
        self.pace = Some(Task(timer.abort_handle()));
    }

    /// The next attempt may begin.
    pub(crate) async fn paced(&mut self) -> Result<(), Halt> {
        self.pace = None;
        self.fill().await
    }

    /// One attempt, in a task of its own: the actor stays free for the others of its window.
    fn attempt(&mut self, recorded: &Recorded, attempts: u32) {
        let position = recorded.position;
        self.pace();
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| webhook.enabled) else {
            return;
        };
        let body = match message::body(&self.shell, webhook.target.channel, recorded) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(webhook = %self.id, %error, "an event cannot be delivered");
                let reason = Reason::optional("the event cannot be read").unwrap_or_default();
                let result = AttemptResult::Failure {
                    status: None,
                    reason,
                    retry_after: None,
                    answer: Answer::default(),
                };
                let stage = Stage::Unreadable;
                self.flights.insert(position, Flight { attempts, stage });
                let outcome = Outcome {
                    position,
                    attempt: attempts + 1,
                    result,
                    duration_ms: 0,
                };
                return outcome.report(&self.ended, &self.myself);
            }
        };
        let id = message_id(self.id, position);
        let request = self.request(webhook, id, &recorded.event_type, body);
        let lanes = &self.shell.lanes;
        let further = (self.under_way() > 0).then(|| lanes.further()).flatten();
        let turn = match &further {
            None => Some(lanes.queue(webhook.owner, self.is_failing)),
            Some(_) => None,
        };
        let attempt = attempts + 1;
        let (transport, myself) = (Arc::clone(&self.shell.transport), self.myself.clone());
        let ended = Arc::clone(&self.ended);
        let task = tokio::spawn(async move {
            let _place = match turn {
                // Lanes live as long as the engine.
                Some(turn) => turn.await.ok(),
                None => further,
            };
            let began = Instant::now();
            let result = transport.send(&request).await;
            let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
            let outcome = Outcome {
                position,
                attempt,
                result,
                duration_ms,
            };
            outcome.report(&ended, &myself);
        });
        let stage = Stage::UnderWay {
            _attempt: Task(task.abort_handle()),
        };
        self.flights.insert(position, Flight { attempts, stage });
    }

    /// Takes in the attempts that have ended, all with one append: while it is on its way to the
    /// disk the next ones end.
    pub(crate) async fn attempted(&mut self) -> Result<(), Halt> {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let mut events = Vec::with_capacity(ended.len());
        for outcome in ended {
            events.extend(self.take_in(outcome));
        }
        self.store(events).await?;
        if self.webhook.as_ref().is_none_or(|webhook| !webhook.enabled) {
            self.let_go();
        }
        self.fill().await?;
        self.end_if_stopped().await
    }

    /// What follows from an attempt that has ended; adopted already. A failed append ends the
    /// actor, which starts anew from the log.
    fn take_in(&mut self, outcome: Outcome) -> Vec<WebhookEvent> {
        self.is_failing = matches!(outcome.result, AttemptResult::Failure { .. });
        self.hush(&outcome.result);
        let Some(webhook) = &self.webhook else {
            return Vec::new();
        };
        let position = outcome.position;
        let report = AttemptReport {
            position,
            attempt: outcome.attempt,
            result: outcome.result,
            duration_ms: outcome.duration_ms,
            jitter_permille: self.shell.ids.permille(),
            low_water: self.low_water_without(position),
        };
        let command = WebhookCommand::Report(report);
        let events = match webhook::decide(Some(webhook), command, self.shell.now()) {
            Ok(events) => events,
            Err(error) => {
                tracing::debug!(webhook = %self.id, position, %error, "a report was left aside");
                self.flights.remove(&position);
                return Vec::new();
            }
        };
        for event in &events {
            webhook::apply(&mut self.webhook, event);
        }
        let retrying = self.webhook.iter().flat_map(|webhook| &webhook.retrying);
        let retry = retrying.filter(|(at, ..)| *at == position).copied().next();
        match retry.filter(|_| self.flights.contains_key(&position)) {
            Some((_, attempts, due)) => self.retry_at(position, attempts, due),
            None => {
                self.flights.remove(&position);
            }
        }
        events
    }

    /// What is open is looked at anew from the place in the log.
    pub(super) fn let_go(&mut self) {
        self.flights.clear();
        self.due.clear();
        self.not_before = None;
        self.pace = None;
    }

    /// Everything up to here will have ended when the delivery at `position` ends.
    fn low_water_without(&self, position: Position) -> Position {
        let again = |at| {
            let webhook = self.webhook.as_ref();
            webhook.is_some_and(|webhook| webhook.again.contains(at))
        };
        let mut open = self.flights.keys().filter(|at| !again(at));
        let open = open.find(|at| **at != position);
        open.map_or(self.scanned, |at| at - 1)
    }
}
