//! What happens to a subscription. Each struct is a stored layout: add a version, never edit one.

use serde::{Deserialize, Serialize};

use super::{Answer, Reason, Target};
use crate::values::{OwnerId, Sealed, Timestamp, WebhookId};

/// What happened to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEvent {
    /// It was made.
    Created(WebhookCreated),
    /// Its target was replaced.
    Updated(WebhookUpdated),
    /// It was deleted.
    Deleted(WebhookDeleted),
    /// It delivers again, from a position on.
    Enabled(WebhookEnabled),
    /// It delivers no more, by the owner or after too many failures.
    Disabled(WebhookDisabled),
    /// A new secret signs; the one before signs too for a while.
    SecretRotated(SecretRotated),
    /// An attempt failed and another follows.
    AttemptFailed(AttemptFailed),
    /// A delivery succeeded.
    Delivered(Delivered),
    /// A delivery used up its attempts.
    DeliveryFailed(DeliveryFailed),
    /// Everything up to a position has been looked at.
    Checkpointed(Checkpointed),
    /// Deliveries that have ended are made once more.
    RedeliveryRequested(RedeliveryRequested),
}

/// `webhook.created` v3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCreated {
    /// The subscription.
    pub webhook_id: WebhookId,
    /// Its owner.
    pub owner: OwnerId,
    /// What it is.
    pub target: Target,
    /// Whether it delivers from the start.
    pub enabled: bool,
    /// It delivers events after this position.
    pub after: u64,
    /// The first secret where its owner brought it, sealed.
    pub secret: Option<Sealed>,
    /// When.
    pub at: Timestamp,
}

/// `webhook.updated` v3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookUpdated {
    /// The new target.
    pub target: Target,
    /// When.
    pub at: Timestamp,
}

/// `webhook.deleted` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDeleted {
    /// When.
    pub at: Timestamp,
}

/// `webhook.enabled` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEnabled {
    /// It delivers events after this position.
    pub after: u64,
    /// When.
    pub at: Timestamp,
}

/// `webhook.disabled` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDisabled {
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// `webhook.secret_rotated` v2. No secret is in the log that could be used without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRotated {
    /// Counts the secrets of a subscription from 1.
    pub generation: u32,
    /// The new secret where its owner brought it, sealed.
    pub secret: Option<Sealed>,
    /// The secret before signs too until then.
    pub overlap_until: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// `delivery.attempt_failed` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptFailed {
    /// Position of the event that is delivered.
    pub position: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why.
    pub reason: Reason,
    /// What the receiver said.
    pub answer: Answer,
    /// Duration of the attempt in milliseconds.
    pub duration_ms: u32,
    /// When the next attempt is due.
    pub retry_at: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// `delivery.succeeded` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Position of the event that was delivered.
    pub position: u64,
    /// Attempts it took.
    pub attempts: u32,
    /// HTTP status.
    pub status: u16,
    /// Duration of the last attempt in milliseconds.
    pub duration_ms: u32,
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// When.
    pub at: Timestamp,
}

/// `delivery.failed` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryFailed {
    /// Position of the event that could not be delivered.
    pub position: u64,
    /// Attempts it took.
    pub attempts: u32,
    /// HTTP status of the last attempt, if there was an answer.
    pub status: Option<u16>,
    /// Why.
    pub reason: Reason,
    /// What the receiver said to the last attempt.
    pub answer: Answer,
    /// Duration of the last attempt in milliseconds.
    pub duration_ms: u32,
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// When.
    pub at: Timestamp,
}

/// `webhook.checkpointed` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpointed {
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// When.
    pub at: Timestamp,
}

/// `webhook.redelivery_requested` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedeliveryRequested {
    /// Positions of the events.
    pub positions: Vec<u64>,
    /// When.
    pub at: Timestamp,
}
