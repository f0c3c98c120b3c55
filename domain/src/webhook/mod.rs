//! A webhook subscription: which events go where, how far it has come, and when it gives up.
//!
//! ```text
//! attempt ─► delivered                                     failure count back to 0
//!    └─► attempt failed ─► attempt … ─► delivery failed ─► failure count + 1 ─► disabled at 10
//! ```

mod apply;
mod decide;
mod event;
mod filter;
mod header;
mod old;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::values::{OwnerId, Sealed, Span, Text, Timestamp, WebhookId};

pub use apply::apply;
pub use decide::{AttemptReport, AttemptResult, WebhookCommand, WebhookRefusal, decide};
pub use event::{
    AttemptFailed, Checkpointed, Delivered, DeliveryFailed, RedeliveryRequested, SecretRotated,
    WebhookCreated, WebhookDeleted, WebhookDisabled, WebhookEnabled, WebhookEvent, WebhookUpdated,
};
pub use filter::{
    EVENT_TYPES, FILTER_MAX, Filter, FilterError, SYSTEM_EVENT_TYPES, URGENT_EVENT_TYPES,
};
pub use header::{HEADER_VALUE_MAX, HEADERS_MAX, Header, HeaderName, HeaderNameError, HeaderValue};
pub use old::{
    AttemptFailedV1, DeliveryFailedV1, SecretRotatedV1, WebhookCreatedV1, WebhookCreatedV2,
    WebhookUpdatedV1, WebhookUpdatedV2,
};
pub use target::{
    ATTEMPTS_MAX, Channel, DIGEST_WINDOW, DIGEST_WINDOW_MAX, INDEXES_MAX, RATE_MAX, RETRY_WAIT_MAX,
    Schedule, ScheduleError, Signature, TAGS_MAX, Target,
};

/// Consecutive failed deliveries after which a subscription is disabled.
pub const FAILURES_MAX: u32 = 10;
/// Longest `Retry-After` that is honoured: a receiver may ask for a day of quiet, not for silence
/// for ever.
pub const RETRY_AFTER_MAX: Span = Span::from_hours(24);
/// Attempts of one subscription under way: keeps a slow receiver from holding memory.
pub const IN_FLIGHT_MAX: usize = 8;
/// Deliveries of one subscription that have begun and not ended. Those that wait for a retry hold
/// no body: a few that a receiver does not take for a day hold up nothing else.
pub const OPEN_MAX: usize = 256;
/// Deliveries that end while an earlier one is still retried, until the subscription waits for
/// it: keeps its state below 32 KiB however long a receiver puts one event off.
pub const ENDED_AHEAD_MAX: usize = 4_096;
/// Deliveries of one subscription that are to be made once more: an event of their positions fits
/// into a frame, and a range that is longer is asked for in parts.
pub const REDELIVERIES_MAX: usize = 1_000;
/// Both secrets sign for this long after a rotation, where nothing else is asked for.
pub const ROTATION_OVERLAP: Span = Span::from_hours(24);
/// Longest time that both sign.
pub const ROTATION_OVERLAP_MAX: Span = Span::from_hours(7 * 24);

/// A target URL, checked by the address policy before it comes here.
pub type Url = Text<2048>;
/// A description.
pub type Description = Text<500>;
/// A sentence that says why.
pub type Reason = Text<300>;

/// Longest part of a receiver's answer that is kept, in characters.
pub const ANSWER_MAX: usize = 500;

/// What a receiver said besides its status, as far as it is kept: for whoever looks for the fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// `content-type`.
    pub content_type: Text<100>,
    /// The beginning of the body, without control characters.
    pub body: Text<ANSWER_MAX>,
}

/// How long the attempts that succeeded took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// All of them together, in milliseconds.
    pub total_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u32,
    /// The last, in milliseconds.
    pub last_ms: u32,
}

/// A subscription: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    /// The newest secret where its owner brought it, sealed; else it is derived.
    pub secret: Option<Sealed>,
    /// The same of the secret before.
    pub secret_before: Option<Sealed>,
    /// The secret before signs too until then.
    pub overlap_until: Option<Timestamp>,
    /// Consecutive failed deliveries.
    pub failure_count: u32,
    /// Every matching event up to here has ended.
    pub low_water: u64,
    /// Deliveries beyond `low_water` that have ended: at most [`ENDED_AHEAD_MAX`] and a window.
    pub ended_ahead: BTreeSet<u64>,
    /// Deliveries that have ended and are to be made once more: at most [`REDELIVERIES_MAX`].
    pub again: BTreeSet<u64>,
    /// Deliveries with a failed attempt: position, attempts made, when the next is due.
    pub retrying: Vec<(u64, u32, Timestamp)>,
    /// When a delivery last succeeded or failed.
    pub last_triggered_at: Option<Timestamp>,
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// How long its receiver took.
    pub latency: Latency,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last by its owner, or disabled.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// Whether the delivery at a position has ended, and is not to be made once more.
    pub fn has_ended(&self, position: u64) -> bool {
        self.is_behind(position) && !self.again.contains(&position)
    }

    /// Whether the delivery at a position has ended once.
    pub fn is_behind(&self, position: u64) -> bool {
        position <= self.low_water || self.ended_ahead.contains(&position)
    }

    /// The place in the log up to `position` that no delivery waits behind for its retry.
    fn before_retries(&self, position: u64) -> u64 {
        let retries = self.retrying.iter().map(|(at, ..)| at.saturating_sub(1));
        retries.fold(position, u64::min)
    }

    /// Whether the last that is known of its receiver is a failure.
    pub fn is_failing(&self) -> bool {
        self.failure_count > 0 || !self.retrying.is_empty()
    }
}
