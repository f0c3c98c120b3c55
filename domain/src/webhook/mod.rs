//! A webhook subscription: which events go where, how far it has come, and when it gives up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::values::{OwnerId, Span, Text, Timestamp, WebhookId};

/// Consecutive failed deliveries after which a subscription is disabled.
pub const FAILURES_MAX: u32 = 10;
/// Attempts per delivery.
pub const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second attempt; doubles with each further one.
pub const BACKOFF_FIRST: Span = Span::from_secs(2);
/// Longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Span = Span::from_secs(300);
/// Deliveries of one subscription in flight: keeps a slow receiver from holding memory.
pub const IN_FLIGHT_MAX: usize = 8;
/// Both secrets sign for this long after a rotation.
pub const ROTATION_OVERLAP: Span = Span::from_hours(24);
/// Most event types in one filter.
pub const FILTER_MAX: usize = 50;

/// A target URL, checked by the address policy before it comes here.
pub type Url = Text<2048>;
/// A description.
pub type Description = Text<500>;
/// A sentence that says why.
pub type Reason = Text<300>;

/// The event types that owners can subscribe to, besides `*` for all.
pub const EVENT_TYPES: [&str; 16] = [
    "index.created",
    "index.updated",
    "index.deleted",
    "index.paused",
    "index.resumed",
    "index.deposited",
    "index.withdrawn",
    "index.check_skipped",
    "rebalance.started",
    "rebalance.completed",
    "rebalance.failed",
    "rebalance.stuck",
    "trade.executed",
    "trade.failed",
    "drift.detected",
    "drift.threshold_exceeded",
];

/// Which events a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(Vec<Text<64>>);

/// A filter that names an unknown event type, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not an event type.
    #[error(
        "{found:?} is not an event type; use \"*\", a group such as \"trade.*\", or one of: {}",
        EVENT_TYPES.join(", ")
    )]
    UnknownType {
        /// What was given.
        found: String,
    },
    /// No event type at all.
    #[error("name at least one event type, or \"*\" for all")]
    Empty,
    /// Too many.
    #[error("a filter has at most {FILTER_MAX} entries, found {0}")]
    TooMany(usize),
}

impl Filter {
    /// A filter of event types, groups (`trade.*`) or `*`. Duplicates are dropped.
    pub fn new(types: &[String]) -> Result<Self, FilterError> {
        let _ = types;
        unimplemented!()
    }

    /// Whether an event type passes. Types outside [`EVENT_TYPES`] never do.
    pub fn matches(&self, event_type: &str) -> bool {
        let _ = (event_type, &self.0);
        unimplemented!()
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Text::as_str)
    }
}

/// What an owner says about a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Where deliveries go.
    pub url: Url,
    /// Which events.
    pub events: Filter,
    /// Description.
    pub description: Description,
}

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
}

/// `webhook.created` v1.
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
    /// When.
    pub at: Timestamp,
}

/// `webhook.updated` v1.
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

/// `webhook.secret_rotated` v1. The secret itself is never in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRotated {
    /// Counts the secrets of a subscription from 1.
    pub generation: u32,
    /// The secret before signs too until then.
    pub overlap_until: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// `delivery.attempt_failed` v1.
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

/// `delivery.failed` v1.
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

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// 2xx.
    Success {
        /// HTTP status.
        status: u16,
    },
    /// Anything else.
    Failure {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// Why.
        reason: Reason,
        /// What the receiver asked for by `Retry-After`.
        retry_after: Option<Span>,
    },
}

/// An attempt that ended, with what the deciding needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// Position of the event.
    pub position: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub result: AttemptResult,
    /// Its duration in milliseconds.
    pub duration_ms: u32,
    /// From 0 to 999: spreads retries over ±20 %.
    pub jitter_permille: u16,
    /// What `low_water` becomes if this delivery ends now.
    pub low_water: u64,
}

/// What may be asked of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookCommand {
    /// Make it.
    Create {
        /// Its id, made by the caller.
        webhook_id: WebhookId,
        /// Its owner.
        owner: OwnerId,
        /// What it is.
        target: Target,
        /// Whether it delivers from the start.
        enabled: bool,
        /// It delivers events after this position.
        after: u64,
    },
    /// Replace its target.
    Update {
        /// The new target.
        target: Target,
    },
    /// Deliver again, from a position on.
    Enable {
        /// It delivers events after this position.
        after: u64,
    },
    /// Deliver no more.
    Disable {
        /// Why.
        reason: Reason,
    },
    /// Make a new secret.
    RotateSecret,
    /// Delete it.
    Delete,
    /// Take in an attempt that ended.
    Report(AttemptReport),
    /// Note that everything up to a position has been looked at and nothing is in flight.
    Checkpoint {
        /// The position.
        low_water: u64,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// There is no such subscription.
    #[error("there is no such webhook")]
    NotFound,
    /// The id is taken.
    #[error("the webhook exists already")]
    Exists,
    /// A report for a disabled or deleted subscription, or one that has ended already.
    #[error("the delivery is not open")]
    NotOpen,
}

/// A subscription: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The subscription.
    pub webhook_id: WebhookId,
    /// Its owner.
    pub owner: OwnerId,
    /// What it is.
    pub target: Target,
    /// Whether it delivers.
    pub enabled: bool,
    /// Why it does not.
    pub disabled_reason: Option<Reason>,
    /// Deleted; its stream stays.
    pub deleted: bool,
    /// Counts its secrets from 1.
    pub secret_generation: u32,
    /// The secret before signs too until then.
    pub overlap_until: Option<Timestamp>,
    /// Consecutive failed deliveries.
    pub failure_count: u32,
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// Deliveries beyond `low_water` that have ended: at most a window full.
    pub ended_ahead: BTreeSet<u64>,
    /// Deliveries with a failed attempt: position, attempts made, when the next is due.
    pub retrying: Vec<(u64, u32, Timestamp)>,
    /// When a delivery last succeeded or failed.
    pub last_triggered_at: Option<Timestamp>,
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last by its owner, or disabled.
    pub updated_at: Timestamp,
}

/// Which events a command leads to.
///
/// A failed attempt is retried after 2 s, 4 s (±20 % jitter), or after what the receiver asked
/// for, up to [`RETRY_AFTER_MAX`]; the third failure ends the delivery; status 410 ends it and
/// disables at once; the tenth consecutive failed delivery disables.
pub fn decide(
    webhook: Option<&Webhook>,
    command: WebhookCommand,
    now: Timestamp,
) -> Result<Vec<WebhookEvent>, WebhookRefusal> {
    let _ = (webhook, command, now);
    unimplemented!()
}

/// Adopts an event.
pub fn apply(webhook: &mut Option<Webhook>, event: &WebhookEvent) {
    let _ = (webhook, event);
    unimplemented!()
}
