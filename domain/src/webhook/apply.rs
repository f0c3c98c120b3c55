//! The fold of a subscription's stream. Total: it never refuses and never panics.

use std::collections::BTreeSet;

use super::{Latency, Reason, Webhook, WebhookCreated, WebhookEvent};
use crate::values::Timestamp;

/// Adopts an event.
pub fn apply(webhook: &mut Option<Webhook>, event: &WebhookEvent) {
    if let WebhookEvent::Created(created) = event {
        webhook.get_or_insert_with(|| Webhook::created(created));
        return;
    }
    let Some(webhook) = webhook else { return };
    match event {
        WebhookEvent::Created(_) => {}
        WebhookEvent::Updated(e) => {
            webhook.target = e.target.clone();
            webhook.updated_at = e.at;
        }
        WebhookEvent::Deleted(e) => {
            webhook.deleted = true;
            webhook.disable(None, e.at);
        }
        WebhookEvent::Enabled(e) => {
            webhook.enabled = true;
            webhook.disabled_reason = None;
            webhook.failure_count = 0;
            webhook.retrying.clear();
            webhook.ended_ahead.clear();
            webhook.low_water = e.after;
            // What lies behind the place comes by itself.
            webhook.again.retain(|position| *position <= e.after);
            webhook.updated_at = e.at;
        }
        WebhookEvent::Disabled(e) => webhook.disable(Some(e.reason.clone()), e.at),
        WebhookEvent::SecretRotated(e) => {
            webhook.secret_generation = e.generation;
            webhook.secret_before = std::mem::replace(&mut webhook.secret, e.secret.clone());
            webhook.overlap_until = Some(e.overlap_until);
            webhook.updated_at = e.at;
        }
        WebhookEvent::AttemptFailed(e) => {
            webhook.retrying.retain(|(at, ..)| *at != e.position);
            webhook.retrying.push((e.position, e.attempt, e.retry_at));
        }
        WebhookEvent::Delivered(e) => {
            webhook.failure_count = 0;
            webhook.succeeded = webhook.succeeded.saturating_add(1);
            webhook.latency.add(e.duration_ms);
            webhook.end_delivery(e.position, e.low_water, e.at);
        }
        WebhookEvent::DeliveryFailed(e) => {
            webhook.failure_count = webhook.failure_count.saturating_add(1);
            webhook.failed = webhook.failed.saturating_add(1);
            webhook.end_delivery(e.position, e.low_water, e.at);
        }
        WebhookEvent::Checkpointed(e) => webhook.raise_low_water(e.low_water),
        WebhookEvent::RedeliveryRequested(e) => webhook.again.extend(&e.positions),
    }
}

impl Latency {
    fn add(&mut self, duration_ms: u32) {
        self.total_ms = self.total_ms.saturating_add(u64::from(duration_ms));
        self.max_ms = self.max_ms.max(duration_ms);
        self.last_ms = duration_ms;
    }
}

impl Webhook {
    fn created(created: &WebhookCreated) -> Self {
        Self {
            webhook_id: created.webhook_id,
            owner: created.owner,
            target: created.target.clone(),
            enabled: created.enabled,
            disabled_reason: None,
            deleted: false,
            secret_generation: 1,
            secret: created.secret.clone(),
            secret_before: None,
            overlap_until: None,
            failure_count: 0,
            low_water: created.after,
            ended_ahead: BTreeSet::new(),
            again: BTreeSet::new(),
            retrying: Vec::new(),
            last_triggered_at: None,
            succeeded: 0,
            failed: 0,
            latency: Latency::default(),
            created_at: created.at,
            updated_at: created.at,
        }
    }

    fn disable(&mut self, reason: Option<Reason>, at: Timestamp) {
        self.enabled = false;
        self.disabled_reason = reason;
        self.retrying.clear();
        self.updated_at = at;
    }

    fn end_delivery(&mut self, position: u64, low_water: u64, at: Timestamp) {
        self.last_triggered_at = Some(at);
        self.retrying.retain(|(open, ..)| *open != position);
        self.again.remove(&position);
        self.ended_ahead.insert(position);
        self.raise_low_water(low_water);
    }

    /// Forgets what lies below: the set stays as small as the window of deliveries in flight.
    fn raise_low_water(&mut self, low_water: u64) {
        self.low_water = self.low_water.max(low_water);
        self.ended_ahead = self
            .ended_ahead
            .split_off(&self.low_water.saturating_add(1));
        let (reached, again) = (self.low_water, &self.again);
        self.retrying
            .retain(|(open, ..)| *open > reached || again.contains(open));
    }
}
