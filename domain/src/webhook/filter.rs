//! Which events a subscription wants.

use serde::{Deserialize, Serialize};

use crate::values::Text;

/// Most entries in one filter.
pub const FILTER_MAX: usize = 50;
/// Longest entry in characters.
const ENTRY_MAX: usize = 64;

/// The event types that owners can subscribe to, besides `*` for all.
pub const EVENT_TYPES: [&str; 28] = [
    "index.created",
    "index.updated",
    "index.deleted",
    "index.paused",
    "index.resumed",
    "index.deposited",
    "index.withdrawn",
    "index.check_skipped",
    "index.check_recovered",
    "index.trading_mode_set",
    "index.reconciled",
    "rebalance.started",
    "rebalance.completed",
    "rebalance.failed",
    "rebalance.stuck",
    "rebalance.approved",
    "rebalance.replanned",
    "rebalance.cancelled",
    "order.accepted",
    "trade.executed",
    "trade.failed",
    "drift.detected",
    "drift.threshold_exceeded",
    "drift.band_breached",
    "price.held",
    "trading.mode_set",
    "job.failed",
    "webhook.disabled",
];

/// Those of the system as a whole: they concern every owner. None is of an index.
pub const SYSTEM_EVENT_TYPES: [&str; 3] = ["price.held", "trading.mode_set", "job.failed"];

/// Those that somebody may have to act on: a mail with one of them waits for no others.
pub const URGENT_EVENT_TYPES: [&str; 7] = [
    "rebalance.failed",
    "rebalance.stuck",
    "trade.failed",
    "price.held",
    "trading.mode_set",
    "job.failed",
    "webhook.disabled",
];

/// Which events a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(Vec<Text<ENTRY_MAX>>);

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
        if types.len() > FILTER_MAX {
            return Err(FilterError::TooMany(types.len()));
        }
        let mut entries = Vec::with_capacity(types.len());
        for given in types {
            let unknown = || FilterError::UnknownType {
                found: given.chars().take(ENTRY_MAX).collect(),
            };
            let entry = Text::required(given).map_err(|_| unknown())?;
            if !EVENT_TYPES
                .iter()
                .any(|known| passes(entry.as_str(), known))
            {
                return Err(unknown());
            }
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        if entries.is_empty() {
            return Err(FilterError::Empty);
        }
        Ok(Self(entries))
    }

    /// Whether an event type passes. Types outside [`EVENT_TYPES`] never do.
    pub fn matches(&self, event_type: &str) -> bool {
        EVENT_TYPES.contains(&event_type) && self.entries().any(|entry| passes(entry, event_type))
    }

    /// The entries.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Text::as_str)
    }
}

/// Whether one entry lets an event type through: `*`, a group `trade.*`, or the type itself.
fn passes(entry: &str, event_type: &str) -> bool {
    match entry.strip_suffix('*') {
        Some("") => true,
        Some(group) => group.ends_with('.') && event_type.starts_with(group),
        None => entry == event_type,
    }
}
