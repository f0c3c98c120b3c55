//! What an owner says about a subscription.

use serde::{Deserialize, Serialize};

use super::{Description, Filter, Url};
use crate::values::{IndexId, Span};

/// Most attempts per delivery.
pub const ATTEMPTS_MAX: usize = 16;
/// Longest span before a retry: with [`ATTEMPTS_MAX`] a delivery is open for two weeks at most.
pub const RETRY_WAIT_MAX: Span = Span::from_hours(24);
/// Most indexes that one subscription names.
pub const INDEXES_MAX: usize = 100;

/// What an owner says about a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Where deliveries go.
    pub url: Url,
    /// Which events.
    pub events: Filter,
    /// Of which indexes, at most [`INDEXES_MAX`]. None named: every event of the owner.
    pub indexes: Vec<IndexId>,
    /// Description.
    pub description: Description,
    /// When a failed attempt is made again.
    pub retry: Schedule,
}

impl Target {
    /// Whether an event is for it. `index` tells which index an event is of, if it is of one; it
    /// is asked only where indexes are named.
    pub fn wants(&self, event_type: &str, index: impl FnOnce() -> Option<IndexId>) -> bool {
        self.events.matches(event_type)
            && (self.indexes.is_empty() || index().is_some_and(|it| self.indexes.contains(&it)))
    }
}

/// When a failed attempt is made again: the span in which each next attempt falls. Without a span
/// there is one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Vec<Span>);

/// A schedule outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too many attempts.
    #[error(
        "a delivery has at most {ATTEMPTS_MAX} attempts, so a schedule has at most {most} spans, found {found}",
        most = ATTEMPTS_MAX - 1,
        found = .0
    )]
    TooMany(usize),
    /// Zero, or longer than [`RETRY_WAIT_MAX`].
    #[error("the span before a retry is above zero and at most {RETRY_WAIT_MAX}, found {0}")]
    Span(Span),
}

impl Schedule {
    /// A schedule of the spans before the second attempt, the third, and so on.
    pub fn new(spans: Vec<Span>) -> Result<Self, ScheduleError> {
        if spans.len() >= ATTEMPTS_MAX {
            return Err(ScheduleError::TooMany(spans.len()));
        }
        let outside = |span: &&Span| **span == Span::ZERO || **span > RETRY_WAIT_MAX;
        match spans.iter().find(outside) {
            Some(span) => Err(ScheduleError::Span(*span)),
            None => Ok(Self(spans)),
        }
    }

    /// The span in which the attempt after `attempt` falls; none when that was the last one.
    pub fn after(&self, attempt: u32) -> Option<Span> {
        let at = usize::try_from(attempt).ok()?.checked_sub(1)?;
        self.0.get(at).copied()
    }

    /// The spans.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }
}

impl Default for Schedule {
    /// Three attempts: the second within 2 s, the third within 4 s after that.
    fn default() -> Self {
        Self(vec![Span::from_secs(2), Span::from_secs(4)])
    }
}
