//! Payloads of earlier versions, frozen, and what they are now. What was added since says of them
//! what held then: every index, the schedule that is the default now, secrets that were all made
//! by us; what receivers said was not kept.

use serde::{Deserialize, Serialize};

use super::{
    Answer, AttemptFailed, DeliveryFailed, Description, Filter, Reason, Schedule, SecretRotated,
    Target, Url, WebhookCreated, WebhookUpdated,
};
use crate::values::{IndexId, OwnerId, Timestamp, WebhookId};

/// The target in `webhook.created` v1 and `webhook.updated` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetV1 {
    /// Where deliveries go.
    pub url: Url,
    /// Which events.
    pub events: Filter,
    /// Description.
    pub description: Description,
}

impl From<TargetV1> for TargetV2 {
    fn from(old: TargetV1) -> Self {
        Self {
            url: old.url,
            events: old.events,
            indexes: Vec::new(),
            description: old.description,
            retry: Schedule::default(),
        }
    }
}

/// The target in `webhook.created` v2 and `webhook.updated` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetV2 {
    /// Where deliveries go.
    pub url: Url,
    /// Which events.
    pub events: Filter,
    /// Of which indexes.
    pub indexes: Vec<IndexId>,
    /// Description.
    pub description: Description,
    /// When a failed attempt is made again.
    pub retry: Schedule,
}

impl From<TargetV2> for Target {
    fn from(old: TargetV2) -> Self {
        Self {
            indexes: old.indexes,
            description: old.description,
            retry: old.retry,
            ..Self::new(old.url, old.events)
        }
    }
}

/// `webhook.created` v1 and v2, which differ in their target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldCreated<T> {
    /// The subscription.
    pub webhook_id: WebhookId,
    /// Its owner.
    pub owner: OwnerId,
    /// What it is.
    pub target: T,
    /// Whether it delivers from the start.
    pub enabled: bool,
    /// It delivers events after this position.
    pub after: u64,
    /// When.
    pub at: Timestamp,
}

/// `webhook.created` v1.
pub type WebhookCreatedV1 = OldCreated<TargetV1>;
/// `webhook.created` v2.
pub type WebhookCreatedV2 = OldCreated<TargetV2>;

impl<T: Into<TargetV2>> From<OldCreated<T>> for WebhookCreated {
    fn from(old: OldCreated<T>) -> Self {
        Self {
            webhook_id: old.webhook_id,
            owner: old.owner,
            target: old.target.into().into(),
            enabled: old.enabled,
            after: old.after,
            secret: None,
            at: old.at,
        }
    }
}

/// `webhook.updated` v1 and v2, which differ in their target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldUpdated<T> {
    /// The new target.
    pub target: T,
    /// When.
    pub at: Timestamp,
}

/// `webhook.updated` v1.
pub type WebhookUpdatedV1 = OldUpdated<TargetV1>;
/// `webhook.updated` v2.
pub type WebhookUpdatedV2 = OldUpdated<TargetV2>;

impl<T: Into<TargetV2>> From<OldUpdated<T>> for WebhookUpdated {
    fn from(old: OldUpdated<T>) -> Self {
        Self {
            target: old.target.into().into(),
            at: old.at,
        }
    }
}

/// `webhook.secret_rotated` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRotatedV1 {
    /// Counts the secrets of a subscription from 1.
    pub generation: u32,
    /// The secret before signs too until then.
    pub overlap_until: Timestamp,
    /// When.
    pub at: Timestamp,
}

impl From<SecretRotatedV1> for SecretRotated {
    fn from(old: SecretRotatedV1) -> Self {
        Self {
            generation: old.generation,
            secret: None,
            overlap_until: old.overlap_until,
            at: old.at,
        }
    }
}

/// `delivery.attempt_failed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptFailedV1 {
    /// Position of the event that is delivered.
    pub position: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why.
    pub reason: Reason,
    /// When the next attempt is due.
    pub retry_at: Timestamp,
    /// When.
    pub at: Timestamp,
}

impl From<AttemptFailedV1> for AttemptFailed {
    fn from(old: AttemptFailedV1) -> Self {
        Self {
            position: old.position,
            attempt: old.attempt,
            status: old.status,
            reason: old.reason,
            answer: Answer::default(),
            duration_ms: 0,
            retry_at: old.retry_at,
            at: old.at,
        }
    }
}

/// `delivery.failed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryFailedV1 {
    /// Position of the event that could not be delivered.
    pub position: u64,
    /// Attempts it took.
    pub attempts: u32,
    /// HTTP status of the last attempt, if there was an answer.
    pub status: Option<u16>,
    /// Why.
    pub reason: Reason,
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// When.
    pub at: Timestamp,
}

impl From<DeliveryFailedV1> for DeliveryFailed {
    fn from(old: DeliveryFailedV1) -> Self {
        Self {
            position: old.position,
            attempts: old.attempts,
            status: old.status,
            reason: old.reason,
            answer: Answer::default(),
            duration_ms: 0,
            low_water: old.low_water,
            at: old.at,
        }
    }
}
