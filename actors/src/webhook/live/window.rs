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
use crate::journal::{ReplayError, recorded_at};
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

/// The event type of a mail of several events.
const DIGEST: &str = "digest";

/// An event that an attempt is for, and how many attempts there were for it.
type Part<'a> = (&'a Recorded, u32);

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
            self.send_due(position).await?;
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
        match self.overflowing() {
            Some(position) => self.send_due(position).await,
            None => Ok(()),
        }
    }

    /// The first of a mail's events, when no more can gather: what comes next may be urgent.
    fn overflowing(&self) -> Option<Position> {
        let is_full = self.flights.len() >= OPEN_MAX && self.gathers() && !self.is_failing;
        let mut flights = self.flights.iter();
        let first = flights.find(|(_, flight)| matches!(flight.stage, Stage::Waits { .. }));
        first
            .filter(|_| is_full && self.has_place())
            .map(|(at, _)| *at)
    }

    /// Whether several events go out as one.
    fn gathers(&self) -> bool {
        let target = self.webhook.as_ref().map(|webhook| &webhook.target);
        target.is_some_and(|target| target.channel.digest().is_some())
    }

    /// Makes the attempt whose time has come; a mail takes along all that wait.
    async fn send_due(&mut self, position: Position) -> Result<(), Halt> {
        let waits = |flight: &Flight| matches!(flight.stage, Stage::Waits { .. });
        let positions: Vec<Position> = if self.gathers() {
            let waiting = self.flights.iter().filter(|(_, flight)| waits(flight));
            waiting.map(|(at, _)| *at).collect()
        } else {
            vec![position]
        };
        let mut events = Vec::with_capacity(positions.len());
        for at in positions {
            self.due.remove(&at);
            let attempts = self.flights.get(&at).map(|flight| flight.attempts);
            events.extend(self.recorded(at).await?.zip(attempts));
        }
        let parts: Vec<Part<'_>> = events.iter().map(|(event, n)| (event, *n)).collect();
        self.attempt(&parts);
        Ok(())
    }

    /// The next delivery that is to be made once more and has not begun.
    fn next_again(&self) -> Option<Position> {
        let webhook = self.webhook.as_ref().filter(|webhook| webhook.enabled)?;
        let begun = |position: &&Position| self.flights.contains_key(*position);
        webhook.again.iter().find(|at| !begun(at)).copied()
    }

    /// Whether one more attempt may be under way. While attempts fail, and before one has succeeded,
    /// there is one at a time: more would tell no more, and take places from others.
    fn has_place(&self) -> bool {
        match self.under_way() {
            _ if self.stopping.is_some() || self.pace.is_some() => false,
            0 => true,
            some => some < self.window && self.shell.lanes.has_further(),
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
        let gathers = webhook.target.gathers(&recorded.event_type);
        let gathered = gathers.map(|window| recorded_at(recorded).plus(window));
        // One that lies further ahead than any wait means that the clock was set back.
        let waits = |due: &Timestamp| due.since(self.shell.now()) <= RETRY_AFTER_MAX;
        let due = retrying.map(|(.., due)| due).or(gathered);
        if let Some(due) = due.filter(waits) {
            self.wait_for(position, attempts, due);
        } else {
            self.attempt(&[(recorded, attempts)]);
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

    fn wait_for(&mut self, position: Position, attempts: u32, due: Timestamp) {
        let wait = Duration::from_millis(due.since(self.shell.now()).as_millis());
        let timer = self
            .myself
            .send_after(wait, move || WebhookMsg::Retry(position));
        let stage = Stage::Waits {
            _timer: Task(timer.abort_handle()),
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

    /// One attempt for an event, or for those of a mail, in a task of its own: the actor stays free
    /// for the others of its window.
    fn attempt(&mut self, parts: &[Part<'_>]) {
        self.pace();
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| webhook.enabled) else {
            return;
        };
        let of: Vec<(Position, u32)> = parts
            .iter()
            .map(|(recorded, attempts)| (recorded.position, attempts + 1))
            .collect();
        let request = match self.request_of(webhook, parts) {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(webhook = %self.id, %error, "an event cannot be delivered");
                return self.cannot_be_read(of);
            }
        };
        let lanes = &self.shell.lanes;
        let further = (self.under_way() > 0).then(|| lanes.further()).flatten();
        let turn = match &further {
            None => Some(lanes.queue(webhook.owner, self.is_failing)),
            Some(_) => None,
        };
        let (transport, myself) = (Arc::clone(&self.shell.transport), self.myself.clone());
        let ended = Arc::clone(&self.ended);
        let reported = of.clone();
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
                of: reported,
                result,
                duration_ms,
            };
            outcome.report(&ended, &myself);
        });
        let task = Arc::new(Task(task.abort_handle()));
        for (position, attempt) in of {
            let stage = Stage::UnderWay {
                _attempt: Arc::clone(&task),
            };
            let attempts = attempt - 1;
            self.flights.insert(position, Flight { attempts, stage });
        }
    }

    /// The request for an event, or the one mail for several.
    fn request_of(
        &self,
        webhook: &Webhook,
        parts: &[Part<'_>],
    ) -> Result<WebhookRequest, ReplayError> {
        if let [(recorded, _)] = parts {
            let body = message::body(&self.shell, webhook.target.channel, recorded)?;
            let id = message_id(self.id, recorded.position);
            return Ok(self.request(webhook, id, &recorded.event_type, body));
        }
        let events = parts.iter().map(|(recorded, _)| *recorded);
        let (id, body) = message::digest(&self.shell, self.id, events);
        Ok(self.request(webhook, id, DIGEST, body))
    }

    /// Reports a delivery whose event is there and cannot be read.
    fn cannot_be_read(&mut self, of: Vec<(Position, u32)>) {
        for (position, attempt) in &of {
            let stage = Stage::Unreadable;
            let attempts = attempt - 1;
            self.flights.insert(*position, Flight { attempts, stage });
        }
        let outcome = Outcome {
            of,
            result: AttemptResult::Failure {
                status: None,
                reason: Reason::optional("the event cannot be read").unwrap_or_default(),
                retry_after: None,
                answer: Answer::default(),
            },
            duration_ms: 0,
        };
        outcome.report(&self.ended, &self.myself);
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
        self.window = if self.is_failing {
            1
        } else {
            (2 * self.window).min(IN_FLIGHT_MAX)
        };
        self.hush(&outcome.result);
        // One for all of a mail: its events are due again together.
        let jitter_permille = self.shell.ids.permille();
        let now = self.shell.now();
        let mut events = Vec::with_capacity(outcome.of.len());
        for (position, attempt) in outcome.of {
            let report = AttemptReport {
                position,
                attempt,
                result: outcome.result.clone(),
                duration_ms: outcome.duration_ms,
                jitter_permille,
                low_water: self.low_water_without(position),
            };
            events.extend(self.end_attempt(report, now));
        }
        events
    }

    /// What follows for one delivery.
    fn end_attempt(&mut self, report: AttemptReport, now: Timestamp) -> Vec<WebhookEvent> {
        let position = report.position;
        let command = WebhookCommand::Report(report);
        let events = match webhook::decide(self.webhook.as_ref(), command, now) {
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
            Some((_, attempts, due)) => self.wait_for(position, attempts, due),
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
