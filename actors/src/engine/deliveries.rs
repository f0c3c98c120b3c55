//! Deliveries of a subscription: what became of them, and once more on its owner's wish.

use std::collections::HashSet;

use evenkeel_domain::Event;
use evenkeel_domain::values::{Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    AttemptResult, REDELIVERIES_MAX, Webhook, WebhookCommand, WebhookEvent,
};
use evenkeel_events::{Direction, OwnerKey, Position, Recorded, Version};
use tokio::sync::oneshot;

use super::audit::{read_error, replay_error};
use super::{
    Caller, DeliveryPage, DeliveryStatus, DeliveryView, Engine, EngineError, HistoryPage,
    LoggedEvent, Redelivery, RedeliveryAnswer, answered,
};
use crate::dispatcher::is_for;
use crate::journal::logged;
use crate::streams;
use crate::webhook::{WebhookMsg, message_body, message_id};

/// Outcomes looked at at once for those that failed.
const OUTCOMES_PAGE: usize = 500;
/// Events looked at at once for those of a range.
const RANGE_PAGE: usize = 1_000;
/// Such looks of one request: it answers with how far it came.
const RANGE_PAGES_MAX: usize = 20;

/// Pages of outcomes looked at for those of one delivery.
const OUTCOME_PAGES_MAX: usize = 40;

/// What a subscription's event says of a delivery.
fn outcome(event: Event) -> Option<DeliveryView> {
    match event {
        Event::Webhook(WebhookEvent::AttemptFailed(attempt)) => {
            Some(DeliveryView::Retrying(attempt))
        }
        Event::Webhook(WebhookEvent::Delivered(delivered)) => {
            Some(DeliveryView::Succeeded(delivered))
        }
        Event::Webhook(WebhookEvent::DeliveryFailed(failed)) => Some(DeliveryView::Failed(failed)),
        _ => None,
    }
}

impl Engine {
    /// Ended deliveries and failed attempts, newest first; `only` those of one status.
    pub async fn deliveries(
        &self,
        caller: &Caller,
        id: WebhookId,
        only: Option<DeliveryStatus>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<DeliveryView>, EngineError> {
        self.own(caller, id)?;
        let take = |logged: LoggedEvent| {
            let outcome = outcome(logged.event);
            outcome.filter(|view| only.is_none_or(|status| view.status() == status))
        };
        self.history(&streams::webhook(id), before, limit, take)
            .await
    }

    /// One delivery with its attempts, by the position of its event.
    pub async fn delivery(
        &self,
        caller: &Caller,
        id: WebhookId,
        position: Position,
    ) -> Result<DeliveryPage, EngineError> {
        let webhook = self.webhook(caller, id).await?.webhook;
        let (shell, stream) = (self.shell(), streams::webhook(id));
        let event = shell.journal.log.read(position.saturating_sub(1), 1).await;
        let event = event.map_err(read_error)?.into_iter().next();
        let own = |event: &Recorded| {
            event.position == position
                && event.metadata.owner == OwnerKey(webhook.owner.as_u128())
                && event.stream != stream
                && webhook.target.events.matches(&event.event_type)
        };
        let event = event.filter(own).ok_or(EngineError::NotFound("delivery"))?;
        let body = message_body(shell, webhook.target.channel, &event).map_err(replay_error)?;
        let (mut outcomes, mut before, mut complete) = (Vec::new(), Version::MAX, false);
        for _ in 0..OUTCOME_PAGES_MAX {
            let backward = Direction::Backward;
            let read = shell
                .journal
                .log
                .read_stream(&stream, before, OUTCOMES_PAGE, backward);
            let page = read.await.map_err(read_error)?;
            // How a delivery ends is logged after its event.
            complete = page.len() < OUTCOMES_PAGE
                || page.last().is_some_and(|last| last.position <= position);
            for recorded in &page {
                before = recorded.version;
                let logged = logged(recorded).map_err(replay_error)?;
                outcomes.extend(outcome(logged.event).filter(|it| it.position() == position));
            }
            if complete {
                break;
            }
        }
        Ok(DeliveryPage {
            message_id: message_id(id, position),
            event_type: event.event_type.to_string(),
            body,
            outcomes,
            complete,
        })
    }

    /// Makes deliveries once more, in the queue: those that failed since a time, or those of a
    /// range of positions. They come with their ids of then.
    pub async fn redeliver(
        &self,
        caller: &Caller,
        id: WebhookId,
        which: Redelivery,
    ) -> Result<RedeliveryAnswer, EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        let webhook = self.webhook(caller, id).await?.webhook;
        let room = REDELIVERIES_MAX.saturating_sub(webhook.again.len());
        let (positions, next) = match which {
            Redelivery::FailedSince(since) => (self.failed_since(id, since, room).await?, None),
            Redelivery::Range { from, to } => self.in_range(&webhook, from, to, room).await?,
        };
        let requested = positions.len();
        let command = WebhookCommand::Redeliver { positions };
        self.send(caller, owner, id, command).await?;
        Ok(RedeliveryAnswer { requested, next })
    }

    /// The deliveries whose last outcome since a time is a failure, up to `room`, newest first.
    async fn failed_since(
        &self,
        id: WebhookId,
        since: Timestamp,
        room: usize,
    ) -> Result<Vec<Position>, EngineError> {
        let (mut seen, mut failed, mut before) = (HashSet::new(), Vec::new(), None);
        loop {
            let outcome = |logged: LoggedEvent| match outcome(logged.event)? {
                DeliveryView::Retrying(_) => None,
                DeliveryView::Succeeded(it) => Some((it.position, it.at, false)),
                DeliveryView::Failed(it) => Some((it.position, it.at, true)),
            };
            let stream = streams::webhook(id);
            let page = self
                .history(&stream, before, OUTCOMES_PAGE, outcome)
                .await?;
            for (position, at, has_failed) in page.items {
                if at < since || failed.len() == room {
                    return Ok(failed);
                }
                if seen.insert(position) && has_failed {
                    failed.push(position);
                }
            }
            if page.next.is_none() {
                return Ok(failed);
            }
            before = page.next;
        }
    }

    /// The ended deliveries of a range of positions, up to `room`, and where the next part begins.
    async fn in_range(
        &self,
        webhook: &Webhook,
        from: Position,
        to: Position,
        room: usize,
    ) -> Result<(Vec<Position>, Option<Position>), EngineError> {
        let (mut found, mut after) = (Vec::new(), from.saturating_sub(1));
        let log = &self.shell().journal.log;
        let to = to.min(log.head().position);
        for _ in 0..RANGE_PAGES_MAX {
            if after >= to {
                return Ok((found, None));
            }
            let page = log.read(after, RANGE_PAGE).await;
            for recorded in page.map_err(read_error)? {
                if recorded.position > to {
                    return Ok((found, None));
                }
                if is_for(self.shell(), webhook, &recorded) {
                    if found.len() == room {
                        return Ok((found, Some(recorded.position)));
                    }
                    if webhook.has_ended(recorded.position) {
                        found.push(recorded.position);
                    }
                }
                after = recorded.position;
            }
        }
        Ok((found, Some(after + 1)))
    }

    /// Sends the event at a position once more, outside the queue, and says how it went.
    pub async fn resend(
        &self,
        caller: &Caller,
        id: WebhookId,
        position: Position,
    ) -> Result<AttemptResult, EngineError> {
        let _place = self.admit()?;
        self.own(caller, id)?;
        let (reply, answer) = oneshot::channel();
        self.to_webhook(id, WebhookMsg::Resend(position, reply))?;
        answered("the webhook", answer).await
    }
}
