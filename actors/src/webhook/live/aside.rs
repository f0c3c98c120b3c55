//! What is sent beside the queue, on its owner's wish: an event once more, a test message. How it
//! went is told to who asked; it counts for nothing and moves no place in the log.

use std::sync::Arc;

use evenkeel_domain::webhook::AttemptResult;
use evenkeel_events::Position;
use serde_json::{Map, Value};

use super::super::{Reply, message, message_id};
use super::{Live, keys};
use crate::dispatcher::is_for;
use crate::engine::EngineError;
use crate::ports::WebhookRequest;

impl Live {
    /// Sends the event at a position once more; the outcome counts for nothing.
    pub(crate) async fn resend(&mut self, position: Position, reply: Reply<AttemptResult>) {
        let recorded = self.recorded(position).await.ok().flatten();
        let (Some(webhook), Some(recorded)) = (&self.webhook, recorded) else {
            return drop(reply.send(Err(EngineError::NotFound("delivery"))));
        };
        let body = message::body(&self.shell, webhook.target.channel, &recorded)
            .ok()
            .filter(|_| is_for(&self.shell, webhook, &recorded));
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
    pub(crate) fn test(
        &self,
        sample: Option<(String, Map<String, Value>)>,
        reply: Reply<AttemptResult>,
    ) {
        let Some(webhook) = self.webhook.as_ref().filter(|webhook| !webhook.deleted) else {
            return drop(reply.send(Err(EngineError::NotFound("webhook"))));
        };
        let keys = keys(webhook, self.shell.now());
        let target = &webhook.target;
        self.send_aside(
            message::test_request(&self.shell, self.id, target, keys, sample),
            reply,
        );
    }

    fn send_aside(&self, request: WebhookRequest, reply: Reply<AttemptResult>) {
        let transport = Arc::clone(&self.shell.transport);
        tokio::spawn(async move {
            let _ = reply.send(Ok(transport.send(&request).await));
        });
    }
}
