//! Payloads of earlier versions, frozen, and what they are now. A subscription had every index and
//! the schedule that is the default now.

use serde::{Deserialize, Serialize};

use super::{Description, Filter, Schedule, Target, Url, WebhookCreated, WebhookUpdated};
use crate::values::{OwnerId, Timestamp, WebhookId};

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

impl From<TargetV1> for Target {
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

/// `webhook.created` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCreatedV1 {
    /// The subscription.
    pub webhook_id: WebhookId,
    /// Its owner.
    pub owner: OwnerId,
    /// What it is.
    pub target: TargetV1,
    /// Whether it delivers from the start.
    pub enabled: bool,
    /// It delivers events after this position.
    pub after: u64,
    /// When.
    pub at: Timestamp,
}

impl From<WebhookCreatedV1> for WebhookCreated {
    fn from(old: WebhookCreatedV1) -> Self {
        Self {
            webhook_id: old.webhook_id,
            owner: old.owner,
            target: old.target.into(),
            enabled: old.enabled,
            after: old.after,
            at: old.at,
        }
    }
}

/// `webhook.updated` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookUpdatedV1 {
    /// The new target.
    pub target: TargetV1,
    /// When.
    pub at: Timestamp,
}

impl From<WebhookUpdatedV1> for WebhookUpdated {
    fn from(old: WebhookUpdatedV1) -> Self {
        Self {
            target: old.target.into(),
            at: old.at,
        }
    }
}
