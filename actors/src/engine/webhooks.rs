//! Webhooks: commands go to the subscription's actor.

use std::collections::HashSet;
use std::ops::Bound;

use evenkeel_domain::Event;
use evenkeel_domain::values::{OwnerId, Span, Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    AttemptResult, Header, HeaderName, HeaderValue, REDELIVERIES_MAX, Reason, Target, Webhook,
    WebhookCommand, WebhookEvent,
};
use evenkeel_events::{OwnerKey, Position};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::audit::read_error;
use super::{
    Caller, DeliveryStatus, DeliveryView, Engine, EngineError, HistoryPage, LoggedEvent,
    Redelivery, RedeliveryAnswer, WebhookView, WebhookWish, answered,
};
use crate::dispatcher::wants;
use crate::ports::{SealRefused, SigningKey};
use crate::streams;
use crate::webhook::{CommandRequest, WebhookMsg, test_request};
use crate::webhooks::WebhooksMsg;

/// Outcomes looked at at once for those that failed.
const OUTCOMES_PAGE: usize = 500;
/// Events looked at at once for those of a range.
const RANGE_PAGE: usize = 1_000;
/// Such looks of one request: it answers with how far it came.
const RANGE_PAGES_MAX: usize = 20;

impl Engine {
    /// Makes a subscription. Unless `skip_test`, its URL is tried first with a signed test message.
    /// It delivers what is logged from now on.
    pub async fn create_webhook(
        &self,
        caller: &Caller,
        wish: WebhookWish,
    ) -> Result<WebhookView, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        self.not_erased(caller)?;
        let max = shell.settings.webhooks_per_owner_max;
        if shell.webhooks.owned_by(caller.owner) >= max {
            return Err(EngineError::TooMany {
                what: "webhooks per owner",
                max,
            });
        }
        let webhook_id = WebhookId::from_u128(shell.ids.next());
        let target = self.sealed(webhook_id, &wish)?;
        let secret = wish.secret.as_deref();
        let secret = secret.map(|secret| shell.transport.seal_secret(webhook_id, secret));
        let secret = secret.transpose()?;
        let key = SigningKey {
            generation: 1,
            brought: secret.clone(),
        };
        self.try_url(webhook_id, key, &target, wish.skip_test)
            .await?;
        let (up, is_up) = oneshot::channel();
        if !shell
            .handles
            .webhooks
            .cast(WebhooksMsg::Spawn(webhook_id, up))
            || !is_up.await.unwrap_or(false)
        {
            return Err(EngineError::Unavailable("the webhook"));
        }
        let after = shell.journal.log.head().position;
        let command = WebhookCommand::Create {
            webhook_id,
            owner: caller.owner,
            target,
            enabled: wish.enabled.unwrap_or(true),
            after,
            secret,
        };
        let view = self.send(caller, caller.owner, webhook_id, command).await?;
        shell.webhooks.write().insert(webhook_id, caller.owner);
        Ok(view)
    }

    /// The target of a wish with its headers sealed.
    fn sealed(&self, id: WebhookId, wish: &WebhookWish) -> Result<Target, EngineError> {
        let mut target = wish.target.clone();
        if let Some(headers) = &wish.headers {
            let seal = |(name, value): &(HeaderName, HeaderValue)| {
                let value = self.shell().transport.seal_header(id, name, value)?;
                let name = name.clone();
                Ok(Header { name, value })
            };
            let sealed: Result<_, SealRefused> = headers.iter().map(seal).collect();
            target.headers = sealed?;
        }
        Ok(target)
    }

    async fn try_url(
        &self,
        id: WebhookId,
        key: SigningKey,
        target: &Target,
        skip_test: bool,
    ) -> Result<(), EngineError> {
        let shell = self.shell();
        shell.transport.check_url(target.url.as_str()).await?;
        if skip_test {
            return Ok(());
        }
        let headers = target.headers.clone();
        let request = test_request(shell, id, target, vec![key], headers, None);
        match shell.transport.send(&request).await {
            AttemptResult::Success { .. } => Ok(()),
            AttemptResult::Failure { reason, .. } => {
                Err(EngineError::WebhookTest(reason.to_string()))
            }
        }
    }

    /// A subscription.
    pub async fn webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        self.own(caller, id)?;
        let (reply, answer) = oneshot::channel();
        self.to_webhook(id, WebhookMsg::Get(reply))?;
        answered("the webhook", answer).await
    }

    /// The caller's subscriptions (every owner's for admins), in the order of their ids.
    pub async fn webhooks(
        &self,
        caller: &Caller,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<WebhookView>, EngineError> {
        let ids: Vec<WebhookId> = {
            let book = self.shell().webhooks.read();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let own = book
                .range((from, Bound::Unbounded))
                .filter(|(_, owner)| caller.is_admin() || **owner == caller.owner);
            own.map(|(id, _)| *id).take(limit).collect()
        };
        let mut views = Vec::with_capacity(ids.len());
        for id in ids {
            match self.webhook(caller, id).await {
                Ok(view) => views.push(view),
                // Deleted since the ids were collected.
                Err(EngineError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(views)
    }

    /// Replaces a target; a new URL is tried first unless `skip_test`. `enabled` switches it.
    pub async fn update_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        wish: WebhookWish,
    ) -> Result<WebhookView, EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        let mut view = self.webhook(caller, id).await?;
        let target = self.sealed(id, &wish)?;
        if target.url != view.webhook.target.url {
            let key = SigningKey {
                generation: view.webhook.secret_generation,
                brought: view.webhook.secret.clone(),
            };
            self.try_url(id, key, &target, wish.skip_test).await?;
        }
        if target != view.webhook.target {
            view = self
                .send(caller, owner, id, WebhookCommand::Update { target })
                .await?;
        }
        let switch = wish
            .enabled
            .filter(|enabled| *enabled != view.webhook.enabled);
        match switch {
            Some(true) => {
                self.send(
                    caller,
                    owner,
                    id,
                    WebhookCommand::Enable {
                        after: view.webhook.low_water,
                    },
                )
                .await
            }
            Some(false) => self.switch_off(caller, owner, id, Reason::default()).await,
            None => Ok(view),
        }
    }

    /// Delivers no more until it is enabled; without a reason the log says that its owner did it.
    /// What comes meanwhile waits in the log.
    pub async fn disable_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        reason: Reason,
    ) -> Result<WebhookView, EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        self.switch_off(caller, owner, id, reason).await
    }

    async fn switch_off(
        &self,
        caller: &Caller,
        owner: OwnerId,
        id: WebhookId,
        reason: Reason,
    ) -> Result<WebhookView, EngineError> {
        let reason = if reason.as_str().is_empty() {
            Reason::optional("switched off by its owner").unwrap_or_default()
        } else {
            reason
        };
        self.send(caller, owner, id, WebhookCommand::Disable { reason })
            .await
    }

    /// Deletes a subscription.
    pub async fn delete_webhook(&self, caller: &Caller, id: WebhookId) -> Result<(), EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        match self.send(caller, owner, id, WebhookCommand::Delete).await {
            // Its view is gone with it.
            Ok(_) | Err(EngineError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.shell().webhooks.write().remove(&id);
        Ok(())
    }

    /// Sends a signed test message, or one of a type with its data, and says how it went. Counts
    /// for nothing.
    pub async fn test_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        sample: Option<(String, Map<String, Value>)>,
    ) -> Result<AttemptResult, EngineError> {
        let _place = self.admit()?;
        self.own(caller, id)?;
        let (reply, answer) = oneshot::channel();
        self.to_webhook(id, WebhookMsg::Test(sample, reply))?;
        answered("the webhook", answer).await
    }

    /// A new secret, made here or brought, and shown in the answer; the old one signs too for
    /// `overlap`.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        id: WebhookId,
        secret: Option<&str>,
        overlap: Span,
    ) -> Result<WebhookView, EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        let secret = secret.map(|secret| self.shell().transport.seal_secret(id, secret));
        let command = WebhookCommand::RotateSecret {
            secret: secret.transpose()?,
            overlap,
        };
        self.send(caller, owner, id, command).await
    }

    /// Delivers again; from now on, or from where it stopped.
    pub async fn enable_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        from_now: bool,
    ) -> Result<WebhookView, EngineError> {
        let _place = self.admit()?;
        let owner = self.own(caller, id)?;
        let stopped_at = self.webhook(caller, id).await?.webhook.low_water;
        let after = if from_now {
            self.shell().journal.log.head().position
        } else {
            stopped_at
        };
        self.send(caller, owner, id, WebhookCommand::Enable { after })
            .await
    }

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
        let all = |logged: LoggedEvent| match logged.event {
            Event::Webhook(WebhookEvent::AttemptFailed(attempt)) => {
                Some(DeliveryView::Retrying(attempt))
            }
            Event::Webhook(WebhookEvent::Delivered(delivered)) => {
                Some(DeliveryView::Succeeded(delivered))
            }
            Event::Webhook(WebhookEvent::DeliveryFailed(failed)) => {
                Some(DeliveryView::Failed(failed))
            }
            _ => None,
        };
        let take =
            |logged| all(logged).filter(|view| only.is_none_or(|status| view.status() == status));
        self.history(&streams::webhook(id), before, limit, take)
            .await
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
            let outcome = |logged: LoggedEvent| match logged.event {
                Event::Webhook(WebhookEvent::Delivered(it)) => Some((it.position, it.at, false)),
                Event::Webhook(WebhookEvent::DeliveryFailed(it)) => {
                    Some((it.position, it.at, true))
                }
                _ => None,
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
                let own = recorded.metadata.owner == OwnerKey(webhook.owner.as_u128());
                let is_other = recorded.stream != streams::webhook(webhook.webhook_id);
                if own && is_other && wants(self.shell(), &webhook.target, &recorded) {
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

    async fn send(
        &self,
        caller: &Caller,
        owner: OwnerId,
        id: WebhookId,
        command: WebhookCommand,
    ) -> Result<WebhookView, EngineError> {
        let origin = caller.origin(Some(owner));
        let (reply, answer) = oneshot::channel();
        self.to_webhook(
            id,
            WebhookMsg::Command(Box::new(CommandRequest {
                command,
                origin,
                reply,
            })),
        )?;
        answered("the webhook", answer).await
    }

    /// Another owner's subscription does not exist for the caller.
    fn own(&self, caller: &Caller, id: WebhookId) -> Result<OwnerId, EngineError> {
        let owner = self.shell().webhooks.read().get(&id).copied();
        owner
            .filter(|owner| caller.is_admin() || *owner == caller.owner)
            .ok_or(EngineError::NotFound("webhook"))
    }

    fn to_webhook(&self, id: WebhookId, message: WebhookMsg) -> Result<(), EngineError> {
        let actor = self.inner.webhook_registry.read().get(&id).cloned();
        let sent = actor.is_some_and(|actor| actor.cast(message).is_ok());
        if sent {
            Ok(())
        } else {
            Err(EngineError::Unavailable("the webhook"))
        }
    }
}
