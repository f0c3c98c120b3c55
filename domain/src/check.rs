//! A drift check: what one look at an index finds, and whether it must be rebalanced.

use crate::drift::{Headline, Slots};
use crate::index::{Index, IndexEvent, SkipReason};
use crate::market::PriceSnapshot;
use crate::plan::InstrumentRules;
use crate::rebalance::Trigger;
use crate::values::{Asset, Timestamp};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Drift, when it could be measured.
    pub headline: Option<Headline>,
    /// Events to append; empty for a quiet index.
    pub events: Vec<IndexEvent>,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to check: not active, or nothing held.
    NotWatched,
    /// Nothing to do.
    Quiet,
    /// Nothing was traded, and why.
    Skipped(SkipReason),
    /// A rebalance is due.
    Rebalance(Trigger),
}

/// Checks an index.
///
/// | method | rebalances when |
/// |---|---|
/// | `NONE` | never (an investment that is due still happens) |
/// | `DRIFT` | drift > threshold |
/// | `DAILY` | ≥ `min_interval` since the last rebalance, and drift > threshold |
/// | `HYBRID` | drift > threshold, or ≥ `max_interval` since the last rebalance and a planned trade clears the minimum |
///
/// `drift.detected` is told once per price snapshot and set of holdings; dust is no drift.
pub fn check(
    index: &Index,
    prices: &PriceSnapshot,
    slots: &mut Slots,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    now: Timestamp,
) -> Finding {
    let _ = (index, prices, slots, rules, now);
    unimplemented!()
}
