//! What the engine answers.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use evenkeel_domain::access::{Name, Scope};
use evenkeel_domain::drift::DriftReport;
use evenkeel_domain::event::Event;
use evenkeel_domain::index::{Index, Status};
use evenkeel_domain::job::{CycleSummary, RunCompleted};
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::plan::TradePlan;
use evenkeel_domain::values::{
    Asset, EventKey, IndexId, OwnerId, Percent, RebalanceId, RunId, Timestamp, TokenId,
};
use evenkeel_domain::webhook::{
    AttemptFailed, Delivered, DeliveryFailed, HeaderName, HeaderValue, Target, Webhook,
};

use crate::journal::Origin;

/// Who asks, and in which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The owner.
    pub owner: OwnerId,
    /// The token; none for the engine itself and for embedding programs.
    pub token: Option<TokenId>,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
    /// The request, as correlation of everything that follows from it.
    pub request: EventKey,
}

impl Caller {
    /// The origin of a change that a caller makes to an owner's data.
    pub(crate) fn origin(&self, owner: Option<OwnerId>) -> Origin {
        let by = match self.token {
            Some(token) => token.to_string(),
            None => self.owner.to_string(),
        };
        Origin::new(owner, &by, self.request)
    }

    /// Whether the caller may see and do everything.
    pub fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Whether the caller has a scope; admins have all.
    pub fn has(&self, scope: Scope) -> bool {
        self.is_admin() || self.scopes.contains(&scope)
    }
}

/// An owner as it is shown: what is personal is readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerView {
    /// The owner.
    pub owner: OwnerId,
    /// Its name; none when it is erased, or its key is not there.
    pub name: Option<String>,
    /// How many tokens are in force.
    pub tokens: usize,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was erased.
    pub erased_at: Option<Timestamp>,
}

/// A token as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Its id.
    pub token_id: TokenId,
    /// What it is called; none when the owner's key is not there.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From then on it is not accepted any more.
    pub expires_at: Option<Timestamp>,
    /// When it was accepted last; none for not since the start.
    pub last_used_at: Option<Timestamp>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// A token that is to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWish {
    /// What it is called.
    pub name: Name,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From then on it is not accepted any more.
    pub expires_at: Option<Timestamp>,
}

/// An index and the version of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexView {
    /// The index.
    pub index: Index,
    /// The version of its stream.
    pub version: u64,
}

/// Which indexes to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexFilter {
    /// Of this status.
    pub status: Option<Status>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this owner; only admins see others.
    pub owner: Option<OwnerId>,
    /// With an id after this one.
    pub after: Option<IndexId>,
    /// At most so many.
    pub limit: usize,
}

/// A page of indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPage {
    /// The indexes.
    pub items: Vec<IndexView>,
    /// Where the next page begins.
    pub next: Option<IndexId>,
}

/// A page of a stream, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage<T> {
    /// What was found.
    pub items: Vec<T>,
    /// The next page holds what stands before this version.
    pub next: Option<u64>,
}

/// What became of a request to rebalance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebalanceAnswer {
    /// It runs, or waits for approval.
    Started {
        /// The rebalance.
        rebalance_id: RebalanceId,
        /// Until when it waits for approval; none when it runs.
        approval_until: Option<Timestamp>,
        /// Drift before, percentage points.
        drift: Percent,
        /// Its plan.
        plan: TradePlan,
    },
    /// On target, or nothing worth trading.
    NotNeeded {
        /// Drift, percentage points.
        drift: Percent,
        /// The index's threshold.
        threshold: Percent,
        /// The plan that was not carried out: its skipped lines say why.
        plan: TradePlan,
    },
    /// A dry run.
    Planned {
        /// Drift, percentage points.
        drift: Percent,
        /// The plan.
        plan: TradePlan,
    },
}

/// Drift with its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftView {
    /// The index.
    pub index_id: IndexId,
    /// When.
    pub as_of: Timestamp,
    /// Percentage points.
    pub threshold: Percent,
    /// Drift in full.
    pub report: DriftReport,
}

/// An event with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Place in the log.
    pub position: u64,
    /// Stream.
    pub stream: String,
    /// Place in the stream.
    pub version: u64,
    /// Type name.
    pub event_type: Arc<str>,
    /// Version of the payload's layout.
    pub payload_version: u16,
    /// When it was recorded.
    pub at: Timestamp,
    /// Whose data; none for the system's.
    pub owner: Option<OwnerId>,
    /// Who caused it.
    pub by: Arc<str>,
    /// The request or run it belongs to.
    pub correlation: EventKey,
    /// What led to it directly.
    pub causation: EventKey,
    /// The event.
    pub event: Event,
}

impl LoggedEvent {
    /// The payload as JSON, as webhooks and the audit show it.
    pub fn data(&self) -> serde_json::Value {
        crate::catalogue::to_json(&self.event)
    }
}

/// Prices as a cycle sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricesView {
    /// When.
    pub as_of: Timestamp,
    /// All assets with a price or a problem.
    pub snapshot: Arc<PriceSnapshot>,
    /// Assets of this push whose price is held back.
    pub held: Vec<Asset>,
}

/// A run that was started, and its end when it was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// The run.
    pub run_id: RunId,
    /// Whether it has ended.
    pub ended: bool,
    /// What it did so far.
    pub summary: CycleSummary,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it has taken, in milliseconds.
    pub duration_ms: u64,
}

impl RunView {
    /// A run that has just begun.
    pub(crate) fn going(run_id: RunId) -> Self {
        Self {
            run_id,
            ended: false,
            summary: CycleSummary::default(),
            error: None,
            duration_ms: 0,
        }
    }

    /// A run that has ended.
    pub(crate) fn ended(run: &RunCompleted) -> Self {
        Self {
            run_id: run.run_id,
            ended: true,
            summary: run.summary,
            error: run.error.as_ref().map(ToString::to_string),
            duration_ms: run.duration_ms,
        }
    }
}

/// A subscription, and its secret where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookView {
    /// The subscription.
    pub webhook: Webhook,
    /// The version of its stream.
    pub version: u64,
    /// Only after it was made or its secret rotated.
    pub secret: Option<String>,
    /// Of one that signs by ed25519 too.
    pub public_key: Option<String>,
}

/// What an owner asks of a subscription: of a new one, or of one that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookWish {
    /// What it is to be; its headers are those of `headers`.
    pub target: Target,
    /// Its headers; without them it keeps those that it has.
    pub headers: Option<Vec<(HeaderName, HeaderValue)>>,
    /// A secret for a new one, `whsec_…`; without it one is made.
    pub secret: Option<String>,
    /// Whether it delivers; a new one does, another one stays as it is.
    pub enabled: Option<bool>,
    /// Whether a new URL is taken without a test message.
    pub skip_test: bool,
}

impl WebhookWish {
    /// No more than a target, whose URL is not tried.
    pub fn untested(target: Target) -> Self {
        Self {
            target,
            headers: None,
            secret: None,
            enabled: None,
            skip_test: true,
        }
    }
}

/// One delivery: what is sent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// `webhook-id`.
    pub message_id: String,
    /// The type of the event.
    pub event_type: String,
    /// The body, as the subscription's channel has it now.
    pub body: Bytes,
    /// How its attempts ended, the newest first.
    pub outcomes: Vec<DeliveryView>,
    /// Whether these are all: of a delivery of long ago the oldest may be missing.
    pub complete: bool,
}

/// Which deliveries are made once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// Those that failed since then.
    FailedSince(Timestamp),
    /// Those of the events from one position to another, both included.
    Range {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// What became of a wish for deliveries once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedeliveryAnswer {
    /// How many are made.
    pub requested: usize,
    /// Where the rest of a range begins, which did not fit.
    pub next: Option<u64>,
}

/// A delivery's end, or a failed attempt on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryView {
    /// An attempt failed and another follows.
    Retrying(AttemptFailed),
    /// It succeeded.
    Succeeded(Delivered),
    /// It used up its attempts.
    Failed(DeliveryFailed),
}

/// What became of a delivery, or of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// An attempt failed and another follows.
    Retrying,
    /// It succeeded.
    Succeeded,
    /// It used up its attempts.
    Failed,
}

impl DeliveryStatus {
    /// As it is written: `RETRYING`, `SUCCEEDED`, `FAILED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "RETRYING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

impl FromStr for DeliveryStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Retrying, Self::Succeeded, Self::Failed];
        let found = all.into_iter().find(|status| status.as_str() == text);
        found.ok_or("it must be RETRYING, SUCCEEDED or FAILED")
    }
}

impl DeliveryView {
    /// What became of it.
    pub const fn status(&self) -> DeliveryStatus {
        match self {
            Self::Retrying(_) => DeliveryStatus::Retrying,
            Self::Succeeded(_) => DeliveryStatus::Succeeded,
            Self::Failed(_) => DeliveryStatus::Failed,
        }
    }

    /// The position of the event that is delivered.
    pub const fn position(&self) -> u64 {
        match self {
            Self::Retrying(attempt) => attempt.position,
            Self::Succeeded(delivered) => delivered.position,
            Self::Failed(failed) => failed.position,
        }
    }
}

/// Figures for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineStatus {
    /// Up, rehydrated, not stopping.
    pub ready: bool,
    /// Position of the last event.
    pub position: u64,
    /// Index actors alive.
    pub indexes: u64,
    /// Index actors that are being restarted or were given up.
    pub indexes_down: u64,
    /// Restarts of index actors since the start.
    pub index_restarts: u64,
    /// Cycles since the start.
    pub cycles: u64,
    /// Duration of the last cycle in microseconds.
    pub last_cycle_us: u64,
    /// Ticks merged into a running cycle since the start.
    pub ticks_coalesced: u64,
    /// Checks since the start.
    pub checks: u64,
    /// Rebalances since the start.
    pub rebalances_started: u64,
    /// Of these, completed.
    pub rebalances_completed: u64,
    /// Of these, failed.
    pub rebalances_failed: u64,
    /// Rebalances that were called off since the start.
    pub rebalances_cancelled: u64,
    /// Rebalances that nobody knows the fate of now.
    pub rebalances_stuck: u64,
    /// Trades executed since the start.
    pub trades_executed: u64,
    /// Trades failed since the start.
    pub trades_failed: u64,
    /// Subscriptions.
    pub webhooks: u64,
    /// Deliveries that succeeded since the start.
    pub deliveries_succeeded: u64,
    /// Deliveries that failed since the start.
    pub deliveries_failed: u64,
    /// Commands in flight.
    pub commands_in_flight: u64,
    /// Snapshots discarded as old or damaged.
    pub snapshots_discarded: u64,
}
