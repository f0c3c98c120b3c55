//! Why a check traded, or did not: what it asks, one condition after the other, with the numbers
//! that it found. The verdict is the check's own.

use serde::Serialize;

use super::{Verdict, check, halted, is_below_minimum, is_breach};
use crate::drift::{self, DUST, DriftReport, Headline, Slots};
use crate::index::{Index, Method, Status};
use crate::market::PriceSnapshot;
use crate::plan::{self, InstrumentRules, TradePlan};
use crate::rebalance::Trigger;
use crate::trading::TradingMode;
use crate::values::{Asset, Span, Timestamp};

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Asked {
    /// Whether the index is watched at all.
    Watched,
    /// Whether the venue knows of every transfer.
    Settled,
    /// Whether no rebalance runs.
    Idle,
    /// Whether every asset has a price to trade on.
    Priced,
    /// Whether drift is above the threshold, or a line outside its band.
    Breached,
    /// Whether the method, or a deposit, says that it is time.
    Due,
    /// Whether the cooldown is over.
    CooledDown,
    /// Whether a trade would be large enough to be made.
    Worthwhile,
    /// Whether the kill switches let orders through.
    Allowed,
}

/// A condition, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is asked.
    pub asked: Asked,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, in a sentence.
    pub found: String,
}

/// What a check would decide, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What follows.
    pub verdict: Verdict,
    /// What is asked on the way there. A breach is no condition of a method that waits for time.
    pub conditions: Vec<Condition>,
    /// Drift in full, where it can be measured.
    pub drift: Option<DriftReport>,
    /// What would be traded; none where nothing can be planned.
    pub plan: Option<TradePlan>,
}

/// Explains the check of an index at a time, under the kill switch for all indexes.
pub fn explain(
    index: &Index,
    prices: &PriceSnapshot,
    rules: &dyn Fn(Asset) -> InstrumentRules,
    all: TradingMode,
    now: Timestamp,
) -> Explanation {
    let mut slots = Slots::default();
    let headline = drift::headline(index, prices, &mut slots);
    let finding = check(index, prices, &mut slots, rules, now);
    let mode = index.mode.stricter(all);
    let finding = if mode == TradingMode::Halted {
        halted(index, finding, now)
    } else {
        finding
    };
    let plan = plan::plan(index, prices, rules).ok();
    let mut conditions = standing(index);
    match &headline {
        Ok(headline) => {
            conditions.push(met(
                Asked::Priced,
                true,
                "every asset has a price".to_owned(),
            ));
            conditions.extend(measured(index, headline, plan.as_ref(), now));
        }
        Err(error) => conditions.push(met(Asked::Priced, false, error.to_string())),
    }
    let allowed = format!("the stricter of both kill switches is {}", word(mode));
    conditions.push(met(Asked::Allowed, mode != TradingMode::Halted, allowed));
    Explanation {
        verdict: finding.verdict,
        conditions,
        drift: drift::report(index, prices).ok(),
        plan,
    }
}

fn met(asked: Asked, holds: bool, found: String) -> Condition {
    Condition {
        asked,
        holds,
        found,
    }
}

fn word(mode: TradingMode) -> &'static str {
    match mode {
        TradingMode::Active => "ACTIVE",
        TradingMode::Reducing => "REDUCING",
        TradingMode::Halted => "HALTED",
    }
}

/// What is asked before anything is measured.
fn standing(index: &Index) -> Vec<Condition> {
    let status = match index.status {
        Status::Pending => "it is PENDING: it has no funds yet",
        Status::Active if index.holdings.is_empty() && index.cash.is_zero() => "it holds nothing",
        Status::Active => "it is ACTIVE and holds something",
        Status::Paused => "it is PAUSED",
        Status::Deleted => "it is DELETED",
    };
    let holds = !index.holdings.is_empty() || !index.cash.is_zero();
    let transfers = match index.transfers.len() {
        0 => "the venue knows of every transfer".to_owned(),
        n => format!("the venue may not know of {n} transfers yet"),
    };
    let rebalance = match &index.rebalance {
        None => "no rebalance runs".to_owned(),
        Some(rebalance) => format!("{} runs", rebalance.rebalance_id),
    };
    let is_watched = index.status == Status::Active && holds;
    vec![
        met(Asked::Watched, is_watched, status.to_owned()),
        met(Asked::Settled, index.transfers.is_empty(), transfers),
        met(Asked::Idle, index.rebalance.is_none(), rebalance),
    ]
}

/// What is asked of a drift that was measured.
fn measured(
    index: &Index,
    headline: &Headline,
    plan: Option<&TradePlan>,
    now: Timestamp,
) -> Vec<Condition> {
    let rebalancing = &index.definition.rebalancing;
    let breach = is_breach(index, headline) && headline.drift > DUST;
    let outside = headline.outside.map_or_else(String::new, |line| {
        let (asset, drift, width) = (line.asset, line.drift, line.width);
        format!("; {asset} is {drift} points off and may be {width}")
    });
    let (drift, threshold) = (headline.drift, rebalancing.drift_threshold);
    let breached = format!("drift is {drift}, the threshold is {threshold}{outside}");
    let (is_due, due) = due(index, breach, now);
    let cooled = waited(index, rebalancing.cooldown, now);
    let cooldown = match index.last_rebalanced_at {
        Some(last) if !cooled => {
            let until = last.plus(rebalancing.cooldown);
            format!("it cools down until {until}")
        }
        _ => "it does not cool down".to_owned(),
    };
    let is_large = matches!(is_below_minimum(index, headline), Ok(false));
    let orders = plan.map_or(0, |plan| plan.orders.len());
    let largest = headline.largest;
    let worthwhile = format!("{orders} orders are worth while; the largest distance is {largest}");
    vec![
        met(Asked::Breached, breach, breached),
        met(Asked::Due, is_due, due),
        // A deposit is asked for by somebody and waits for no cooldown.
        met(Asked::CooledDown, cooled || index.investment_due, cooldown),
        met(Asked::Worthwhile, is_large && orders > 0, worthwhile),
    ]
}

fn waited(index: &Index, interval: Span, now: Timestamp) -> bool {
    let last = index.last_rebalanced_at;
    last.is_none_or(|last| now.since(last) >= interval)
}

/// Whether the method says that it is time, and what it says.
fn due(index: &Index, breach: bool, now: Timestamp) -> (bool, String) {
    if index.investment_due {
        return (true, "a deposit waits to be invested".to_owned());
    }
    let rebalancing = &index.definition.rebalancing;
    let after = |interval: Span| match index.last_rebalanced_at {
        None => "it was never rebalanced".to_owned(),
        Some(last) => format!(
            "{interval} after the last rebalance is {}",
            last.plus(interval)
        ),
    };
    match rebalancing.method {
        Method::None => (false, "NONE rebalances by hand alone".to_owned()),
        Method::Drift => (breach, "DRIFT rebalances a breach at once".to_owned()),
        Method::Daily => {
            let is_time = waited(index, rebalancing.min_interval, now);
            let when = after(rebalancing.min_interval);
            let found = format!("DAILY rebalances a breach once per interval: {when}");
            (breach && is_time, found)
        }
        Method::Hybrid => {
            let is_time = waited(index, rebalancing.max_interval, now);
            let when = after(rebalancing.max_interval);
            let found = format!("HYBRID rebalances a breach at once, and else in time: {when}");
            (breach || is_time, found)
        }
    }
}

impl Verdict {
    /// The verdict in a word, and why in a sentence.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Self::NotWatched => ("NOT_WATCHED", "it is not watched".to_owned()),
            Self::Quiet => ("QUIET", "there was nothing to do".to_owned()),
            Self::Skipped(reason) => ("SKIPPED", reason.to_string()),
            Self::Rebalance(trigger) => {
                let why = match trigger {
                    Trigger::Drift => "it drifted too far",
                    Trigger::Interval => "its interval has passed",
                    Trigger::Deposit => "a deposit is to be invested",
                    Trigger::Manual => "somebody asked for it",
                };
                ("REBALANCE", why.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )]

    use super::*;
    use crate::check::tests::{halves, invested};
    use crate::testing::*;

    fn explained(world: &World, all: TradingMode) -> Explanation {
        explain(world.state(), &world.prices, &free, all, world.now)
    }

    /// The conditions that do not hold.
    fn against(explanation: &Explanation) -> Vec<Asked> {
        let unmet = explanation.conditions.iter().filter(|it| !it.holds);
        unmet.map(|it| it.asked).collect()
    }

    #[test]
    fn each_reason_not_to_trade_is_named() {
        use Asked::{Allowed, Breached, CooledDown, Due, Idle, Priced, Watched, Worthwhile};
        let on_target = invested(Method::Drift);
        let quiet = explained(&on_target, TradingMode::Active);
        assert_eq!(against(&quiet), [Breached, Due, Worthwhile]);
        assert_eq!(quiet.verdict, Verdict::Quiet);

        let off = || [("AAA", "130"), ("BBB", "100")];
        let due = explained(
            &invested(Method::Drift).prices(2, &off()),
            TradingMode::Active,
        );
        assert_eq!((against(&due), due.verdict.told().0), (vec![], "REBALANCE"));
        assert_eq!(due.plan.unwrap().orders.len(), 2);

        let by_hand = explained(
            &invested(Method::None).prices(2, &off()),
            TradingMode::Active,
        );
        assert_eq!(against(&by_hand), [Due]);
        let daily = explained(
            &invested(Method::Daily).prices(2, &off()),
            TradingMode::Active,
        );
        assert_eq!(against(&daily), [Due]);
        assert!(daily.conditions[5].found.contains("2023-11-15T22:13:20Z"));
        let halted = explained(
            &invested(Method::Drift).prices(2, &off()),
            TradingMode::Halted,
        );
        assert_eq!(against(&halted), [Allowed]);
        assert_eq!(halted.verdict.told().0, "SKIPPED");

        let mut cooling = halves(Method::Drift);
        cooling.rebalancing.cooldown = Span::from_hours(1);
        let mut world = given(cooling)
            .cash("10000")
            .prices(1, &[("AAA", "100"), ("BBB", "100")]);
        world.rebalance();
        let cooling = explained(&world.prices(2, &off()), TradingMode::Active);
        assert_eq!(against(&cooling), [CooledDown]);

        let blind = invested(Method::Drift).prices(2, &[("AAA", "130"), ("BBB", "missing")]);
        let blind = explained(&blind, TradingMode::Active);
        assert_eq!((against(&blind), blind.drift), (vec![Priced], None));

        let empty = given(halves(Method::Drift)).prices(1, &off());
        let empty = explained(&empty, TradingMode::Active);
        assert_eq!(empty.verdict, Verdict::NotWatched);
        assert!(against(&empty).contains(&Watched));

        let mut running = invested(Method::Drift).prices(2, &off());
        running.start(Trigger::Manual);
        let running = explained(&running, TradingMode::Active);
        assert!(against(&running).contains(&Idle));
    }

    #[test]
    fn the_conditions_agree_with_the_verdict() {
        for method in [Method::None, Method::Drift, Method::Daily, Method::Hybrid] {
            for (a, hours_later) in [("100", 0), ("100", 25), ("130", 0), ("130", 25)] {
                let world = invested(method).prices(2, &[("AAA", a), ("BBB", "100")]);
                let world = world.at(hours(hours_later));
                let explained = explained(&world, TradingMode::Active);
                let held = explained.conditions.iter();
                let all_hold = held
                    .filter(|it| it.asked != Asked::Breached)
                    .all(|it| it.holds);
                let trades = matches!(explained.verdict, Verdict::Rebalance(_));
                assert_eq!(
                    all_hold, trades,
                    "{method:?} {a} {hours_later}: {explained:?}"
                );
            }
        }
    }
}
