//! Webhooks: commands go to the subscription's actor.

use std::ops::Bound;

use evenkeel_domain::values::{OwnerId, Span, WebhookId};
use evenkeel_domain::webhook::{
    AttemptResult, Header, HeaderName, HeaderValue, Reason, Target, WebhookCommand,
};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{Caller, Engine, EngineError, WebhookView, WebhookWish, answered};
use crate::ports::{SealRefused, SigningKey};
use crate::webhook::{CommandRequest, WebhookMsg, test_request};
use crate::webhooks::WebhooksMsg;

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
        let request = test_request(shell, id, target, vec![key], None);
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
            let key = SigningKey::newest(&view.webhook);
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

    /// Ends the mails of a subscription, as whoever has the link in one may. Again is as good as
    /// once.
    pub async fn unsubscribe(&self, id: WebhookId, token: &str) -> Result<(), EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let owner = shell.webhooks.read().get(&id).copied();
        let owner = owner.filter(|_| shell.transport.may_unsubscribe(id, token));
        let recipient = Caller {
            owner: owner.ok_or(EngineError::NotFound("subscription"))?,
            token: None,
            scopes: Vec::new(),
            request: shell.new_key(),
        };
        let webhook = self.webhook(&recipient, id).await?.webhook;
        if !webhook.target.channel.is_mail() {
            return Err(EngineError::NotFound("subscription"));
        }
        if !webhook.enabled {
            return Ok(());
        }
        let reason = Reason::optional("its recipient has unsubscribed").unwrap_or_default();
        let ended = self.switch_off(&recipient, recipient.owner, id, reason);
        ended.await.map(drop)
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

    pub(super) async fn send(
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
    pub(super) fn own(&self, caller: &Caller, id: WebhookId) -> Result<OwnerId, EngineError> {
        let owner = self.shell().webhooks.read().get(&id).copied();
        owner
            .filter(|owner| caller.is_admin() || *owner == caller.owner)
            .ok_or(EngineError::NotFound("webhook"))
    }

    pub(super) fn to_webhook(&self, id: WebhookId, message: WebhookMsg) -> Result<(), EngineError> {
        let actor = self.inner.webhook_registry.read().get(&id).cloned();
        let sent = actor.is_some_and(|actor| actor.cast(message).is_ok());
        if sent {
            Ok(())
        } else {
            Err(EngineError::Unavailable("the webhook"))
        }
    }
}
