//! A drift check: what one look at an index finds, and whether it must be rebalanced.

mod explain;

use crate::drift::{self, DUST, DriftError, Headline, Slots};
use crate::index::{
    BREACHES_MAX, BandBreached, BreachedLine, CheckRecovered, CheckSkipped, DriftDetected, Index,
    IndexEvent, Method, SkipReason, Status, ThresholdExceeded,
};
use crate::market::PriceSnapshot;
use crate::plan::{self, InstrumentRules};
use crate::rebalance::Trigger;
use crate::values::{ArithmeticError, Asset, Span, Timestamp};

pub use explain::{Asked, Condition, Explanation, explain};

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
/// | `DRIFT` | drift > threshold, or a line is outside its own band |
/// | `DAILY` | the same, and ≥ `min_interval` since the last rebalance |
/// | `HYBRID` | the same at once, or ≥ `max_interval` since the last rebalance and a planned trade clears the minimum |
///
/// Drift is the figure that the index's measure names. None of these begins within `cooldown`.
/// `drift.detected` is told once per price snapshot and set of holdings; dust is no drift.
pub fn check(
    index: &Index,
    prices: &PriceSnapshot,
    slots: &mut Slots,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    now: Timestamp,
) -> Finding {
    if let Some(verdict) = unwatched(index) {
        return skip_or_rest(index, verdict, now);
    }
    let headline = match drift::headline(index, prices, slots) {
        Ok(headline) => headline,
        Err(error) => return skip_or_rest(index, unmeasured(error), now),
    };
    let verdict = match due(index, &headline, prices, rules, now) {
        Ok(verdict) => verdict,
        Err(error) => return skip_or_rest(index, unmeasured(error), now),
    };
    Finding {
        headline: Some(headline),
        events: tell(index, &headline, prices, now),
        verdict,
    }
}

/// What is left of a finding while the kill switch forbids every order: drift is measured and
/// told, a rebalance that is due is skipped with its reason.
pub fn halted(index: &Index, finding: Finding, at: Timestamp) -> Finding {
    let Verdict::Rebalance(_) = finding.verdict else {
        return finding;
    };
    let verdict = Verdict::Skipped(SkipReason::TradingHalted);
    let told = index.skipped == Some(SkipReason::TradingHalted);
    let mut events = finding.events;
    if told {
        // The check did go through, and would take the reason back.
        events.retain(|event| !matches!(event, IndexEvent::CheckRecovered(_)));
    }
    if !(told && events.is_empty()) {
        let reason = SkipReason::TradingHalted;
        events.push(IndexEvent::CheckSkipped(CheckSkipped { reason, at }));
    }
    Finding {
        events,
        verdict,
        ..finding
    }
}

/// Why an index is not measured at all, if so.
fn unwatched(index: &Index) -> Option<Verdict> {
    let idle = index.holdings.is_empty() && index.cash.is_zero();
    if index.status != Status::Active || idle {
        return Some(Verdict::NotWatched);
    }
    if let Some(transfer) = index.transfers.first() {
        let reason = SkipReason::TransferPending(transfer.transfer_id);
        return Some(Verdict::Skipped(reason));
    }
    let rebalance = index.rebalance.as_ref()?;
    let reason = SkipReason::RebalanceRunning(rebalance.rebalance_id);
    Some(Verdict::Skipped(reason))
}

fn unmeasured(error: DriftError) -> Verdict {
    match error {
        DriftError::Price(asset, problem) => Verdict::Skipped(SkipReason::Price(asset, problem)),
        DriftError::NoValue => Verdict::NotWatched,
        DriftError::Arithmetic(_) => Verdict::Skipped(SkipReason::Arithmetic),
    }
}

/// A finding without drift. A reason is told once, not with every cycle that it lasts.
fn skip_or_rest(index: &Index, verdict: Verdict, at: Timestamp) -> Finding {
    let events = match &verdict {
        Verdict::Skipped(reason) if index.skipped.as_ref() != Some(reason) => {
            let reason = reason.clone();
            vec![IndexEvent::CheckSkipped(CheckSkipped { reason, at })]
        }
        Verdict::Skipped(_) | Verdict::NotWatched | Verdict::Quiet | Verdict::Rebalance(_) => {
            Vec::new()
        }
    };
    Finding {
        headline: None,
        events,
        verdict,
    }
}

/// What a measured drift tells the world.
fn tell(
    index: &Index,
    headline: &Headline,
    prices: &PriceSnapshot,
    at: Timestamp,
) -> Vec<IndexEvent> {
    let Headline {
        total_value,
        drift,
        worst: asset,
        largest: _,
        outside: _,
    } = *headline;
    if drift <= DUST || index.noticed_seq == Some(prices.seq) {
        // After a skipped check the reason must go, or it would not be told a second time.
        let recovered = index.skipped.is_some();
        return Vec::from_iter(
            recovered.then_some(IndexEvent::CheckRecovered(CheckRecovered { at })),
        );
    }
    let threshold = index.definition.rebalancing.drift_threshold;
    let detected = DriftDetected {
        drift,
        asset,
        threshold,
        total_value,
        prices_seq: prices.seq,
        at,
    };
    let mut events = vec![IndexEvent::DriftDetected(detected)];
    if let Some(exceeded) = exceeded(index, headline, at) {
        events.push(IndexEvent::ThresholdExceeded(exceeded));
        events.extend(breached(index, prices, at).map(IndexEvent::BandBreached));
    }
    events
}

/// The lines outside their bands, furthest off first; none when the index is off as a whole alone.
fn breached(index: &Index, prices: &PriceSnapshot, at: Timestamp) -> Option<BandBreached> {
    let report = drift::report(index, prices).ok()?;
    let outside = report.assets.iter().filter(|line| line.outside);
    let mut lines: Vec<BreachedLine> = outside
        .map(|line| BreachedLine {
            asset: line.asset,
            target: line.target,
            current: line.current,
            drift: line.drift,
        })
        .collect();
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    lines.sort_by_key(|line| std::cmp::Reverse(line.drift.get().abs()));
    lines.truncate(BREACHES_MAX);
    (count > 0).then_some(BandBreached { lines, count, at })
}

/// The breach that an index is in: its drift above its threshold, or else the first line outside
/// its own band, with that line's drift and the width of its band in percentage points.
fn exceeded(index: &Index, headline: &Headline, at: Timestamp) -> Option<ThresholdExceeded> {
    let threshold = index.definition.rebalancing.drift_threshold;
    let (drift, asset, threshold) = if headline.drift > threshold {
        (headline.drift, headline.worst, threshold)
    } else {
        let outside = headline.outside?;
        (outside.drift, outside.asset, outside.width)
    };
    Some(ThresholdExceeded {
        drift,
        asset,
        threshold,
        total_value: headline.total_value,
        at,
    })
}

/// Whether an index drifted too far: above its threshold, or a line outside its own band.
pub fn is_breach(index: &Index, headline: &Headline) -> bool {
    headline.drift > index.definition.rebalancing.drift_threshold || headline.outside.is_some()
}

/// Whether a rebalance is due. The plan is made last: most indexes are quiet.
fn due(
    index: &Index,
    headline: &Headline,
    prices: &PriceSnapshot,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    now: Timestamp,
) -> Result<Verdict, DriftError> {
    let trigger = if index.investment_due {
        Some(Trigger::Deposit)
    } else {
        by_method(index, headline, now)
    };
    let Some(trigger) = trigger else {
        return Ok(Verdict::Quiet);
    };
    if is_below_minimum(index, headline)? || plan::plan(index, prices, rules)?.orders.is_empty() {
        return Ok(Verdict::Quiet);
    }
    Ok(Verdict::Rebalance(trigger))
}

/// Whether even the line that is furthest off would be no trade. Saves the plan of an index that
/// is on target while its interval has passed, in every cycle anew.
fn is_below_minimum(index: &Index, headline: &Headline) -> Result<bool, ArithmeticError> {
    let risk = &index.definition.risk;
    let share = headline.total_value.percent(risk.min_trade_percent)?;
    Ok(headline.largest < risk.min_trade_notional.max(share))
}

/// What the method alone says. An index that was never rebalanced waited long enough. Nothing is
/// due while the index cools down; a deposit, which is asked for, does not come by here.
fn by_method(index: &Index, headline: &Headline, now: Timestamp) -> Option<Trigger> {
    let rebalancing = &index.definition.rebalancing;
    let exceeded = is_breach(index, headline) && headline.drift > DUST;
    let waited = |interval: Span| {
        index
            .last_rebalanced_at
            .is_none_or(|last| now.since(last) >= interval)
    };
    if !waited(rebalancing.cooldown) {
        return None;
    }
    match rebalancing.method {
        Method::None => None,
        Method::Drift => exceeded.then_some(Trigger::Drift),
        Method::Daily => (exceeded && waited(rebalancing.min_interval)).then_some(Trigger::Drift),
        Method::Hybrid if exceeded => Some(Trigger::Drift),
        Method::Hybrid => waited(rebalancing.max_interval).then_some(Trigger::Interval),
    }
}

#[cfg(test)]
mod tests;
