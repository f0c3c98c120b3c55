//! What a check finds at each boundary, and what it tells.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::index::{Band, Definition, DriftMeasure, Funds, IndexCommand};
use crate::market::PriceProblem;
use crate::rebalance::OrderOutcome;
use crate::testing::*;

pub(super) fn halves(method: Method) -> Definition {
    let mut definition = definition(&[("AAA", "50"), ("BBB", "50")]);
    definition.rebalancing.method = method;
    definition
}

/// 50/50 at 100, rebalanced at T0.
pub(super) fn invested(method: Method) -> World {
    let mut world = given(halves(method))
        .cash("10000")
        .prices(1, &[("AAA", "100"), ("BBB", "100")]);
    world.rebalance();
    world
}

/// Prices at which drift is exactly 5 points: 55 and 45 per cent.
const AT_THRESHOLD: [(&str, &str); 2] = [("AAA", "110"), ("BBB", "90")];
/// A cent more.
const ABOVE: [(&str, &str); 2] = [("AAA", "110.01"), ("BBB", "90")];
/// Half a point off.
const SLIGHT: [(&str, &str); 2] = [("AAA", "101"), ("BBB", "99")];

fn types(finding: &Finding) -> Vec<&'static str> {
    let of = |event: &IndexEvent| match event {
        IndexEvent::DriftDetected(_) => "detected",
        IndexEvent::ThresholdExceeded(_) => "exceeded",
        IndexEvent::BandBreached(_) => "breached",
        IndexEvent::CheckSkipped(_) => "skipped",
        IndexEvent::CheckRecovered(_) => "recovered",
        other => panic!("a check does not say {other:?}"),
    };
    finding.events.iter().map(of).collect()
}

const DRIFT: Verdict = Verdict::Rebalance(Trigger::Drift);
const INTERVAL: Verdict = Verdict::Rebalance(Trigger::Interval);

#[test]
fn each_method_at_each_boundary() {
    use Method::{Daily, Drift, Hybrid, None};
    let day = Span::from_hours(24).as_millis();
    let table = [
        // method, prices, milliseconds since the last rebalance, verdict
        (None, ABOVE, 10 * day, Verdict::Quiet),
        (Drift, AT_THRESHOLD, 0, Verdict::Quiet),
        (Drift, ABOVE, 0, DRIFT),
        (Daily, ABOVE, 0, Verdict::Quiet),
        (Daily, ABOVE, day - 1, Verdict::Quiet),
        (Daily, ABOVE, day, DRIFT),
        (Daily, AT_THRESHOLD, 10 * day, Verdict::Quiet),
        (Hybrid, ABOVE, 0, DRIFT),
        (Hybrid, AT_THRESHOLD, 0, Verdict::Quiet),
        (Hybrid, SLIGHT, day - 1, Verdict::Quiet),
        (Hybrid, SLIGHT, day, INTERVAL),
    ];
    for (method, prices, ms, verdict) in table {
        let now = T0.plus(Span::from_millis(ms));
        let mut world = invested(method).prices(2, &prices).at(now);
        assert_eq!(world.check().verdict, verdict, "{method:?} {prices:?} {ms}");
    }
}

#[test]
fn an_interval_without_a_trade_above_the_minimum_is_quiet() {
    let mut definition = halves(Method::Hybrid);
    definition.risk.min_trade_notional = amount("100");
    let mut world = given(definition)
        .cash("10000")
        .prices(1, &[("AAA", "100"), ("BBB", "100")]);
    world.rebalance();
    let mut world = world.prices(2, &SLIGHT).at(hours(48));
    assert_eq!(world.check().verdict, Verdict::Quiet);
}

#[test]
fn an_index_that_was_never_rebalanced_waited_long_enough() {
    for (method, verdict) in [(Method::Daily, DRIFT), (Method::Hybrid, DRIFT)] {
        let mut world = given(halves(method))
            .holding("AAA", "60")
            .holding("BBB", "40")
            .prices(1, &[("AAA", "100"), ("BBB", "100")]);
        assert_eq!(world.check().verdict, verdict);
    }
    let mut world = given(halves(Method::Hybrid))
        .holding("AAA", "51")
        .holding("BBB", "49")
        .prices(1, &[("AAA", "100"), ("BBB", "100")]);
    assert_eq!(world.check().verdict, INTERVAL);
}

#[test]
fn a_clock_that_goes_back_has_let_no_time_pass() {
    let mut world = invested(Method::Daily)
        .prices(2, &ABOVE)
        .at(Timestamp::EPOCH);
    assert_eq!(world.check().verdict, Verdict::Quiet);
}

#[test]
fn a_deposit_that_is_to_be_invested_is_due_for_every_method() {
    for method in [Method::None, Method::Drift, Method::Daily, Method::Hybrid] {
        let mut world = invested(method).cash("1000");
        assert_eq!(world.check().verdict, Verdict::Rebalance(Trigger::Deposit));
        world.rebalance();
        assert_eq!(world.check().verdict, Verdict::Quiet);
    }
    let mut world = invested(Method::None);
    world.deposit_unsettled(Funds::Cash(amount("1000")), false);
    world.settle();
    assert_eq!(world.check().verdict, Verdict::Quiet);
}

#[test]
fn only_an_active_index_with_funds_is_watched() {
    let mut world = given(halves(Method::Drift)).prices(1, &AT_THRESHOLD);
    assert_eq!(world.check().verdict, Verdict::NotWatched);
    let mut world = invested(Method::Drift).prices(2, &ABOVE);
    world.when(IndexCommand::Pause);
    assert_eq!(world.check().verdict, Verdict::NotWatched);
    world.when(IndexCommand::Resume);
    assert_eq!(world.check().verdict, DRIFT);
    world.when(IndexCommand::Delete);
    assert_eq!(world.check().verdict, Verdict::NotWatched);
}

#[test]
fn drift_is_told_once_per_snapshot_and_again_when_holdings_change() {
    let mut world = invested(Method::None).prices(2, &ABOVE);
    assert_eq!(types(&world.check()), ["detected", "exceeded", "breached"]);
    assert!(world.check().events.is_empty());
    world.prices = snapshot(3, &AT_THRESHOLD);
    assert_eq!(types(&world.check()), ["detected"]);
    world = world.holding("AAA", "1");
    assert_eq!(types(&world.check()), ["detected", "exceeded", "breached"]);
}

#[test]
fn dust_is_no_drift() {
    let mut world = invested(Method::Hybrid).prices(2, &[("AAA", "100"), ("BBB", "100.000001")]);
    let finding = world.check();
    assert!(finding.headline.unwrap().drift < DUST);
    assert!(finding.events.is_empty());
}

#[test]
fn a_price_that_cannot_be_used_trades_nothing_and_is_told_once() {
    for (price, problem) in [
        ("missing", PriceProblem::Missing),
        ("0", PriceProblem::Zero),
        ("stale", PriceProblem::Stale),
        ("jump", PriceProblem::Jump),
    ] {
        let mut world = invested(Method::Drift).prices(2, &[("AAA", "130"), ("BBB", price)]);
        let finding = world.check();
        let reason = SkipReason::Price(asset("BBB"), problem);
        assert_eq!(finding.verdict, Verdict::Skipped(reason));
        assert_eq!((types(&finding), finding.headline), (vec!["skipped"], None));
        assert!(world.check().events.is_empty());
        // Nothing to tell but that it goes on; then the same reason is news again.
        world.prices = snapshot(3, &[("AAA", "100"), ("BBB", "100")]);
        assert_eq!(types(&world.check()), ["recovered"]);
        assert!(world.check().events.is_empty());
        world.prices = snapshot(4, &[("AAA", "130"), ("BBB", price)]);
        assert_eq!(types(&world.check()), ["skipped"]);
        // Drift that is told says that it goes on, too.
        world.prices = snapshot(5, &ABOVE);
        assert_eq!(types(&world.check()), ["detected", "exceeded", "breached"]);
        assert_eq!(world.state().skipped, None);
    }
}

#[test]
fn a_holding_without_a_target_must_have_a_price_as_well() {
    let mut world = invested(Method::Drift)
        .holding("OLD", "1")
        .prices(2, &ABOVE);
    let reason = SkipReason::Price(asset("OLD"), PriceProblem::Missing);
    assert_eq!(world.check().verdict, Verdict::Skipped(reason));
}

#[test]
fn a_transfer_or_a_rebalance_on_its_way_lets_the_check_wait() {
    let mut world = invested(Method::Drift).prices(2, &ABOVE);
    let transfer = world.deposit_unsettled(Funds::Cash(amount("1")), true);
    let finding = world.check();
    assert_eq!(
        finding.verdict,
        Verdict::Skipped(SkipReason::TransferPending(transfer))
    );
    world.settle();
    world.start(Trigger::Drift);
    let running = world.state().rebalance.as_ref().unwrap().rebalance_id;
    let finding = world.check();
    assert_eq!(
        finding.verdict,
        Verdict::Skipped(SkipReason::RebalanceRunning(running))
    );
    world.report(OrderOutcome::Unknown(crate::rebalance::Reason::default()));
    assert!(world.check().events.is_empty());
}

#[test]
fn numbers_that_do_not_fit_trade_nothing() {
    let most = "1000000000000000";
    let mut world = given(definition(&[("AAA", "100")]))
        .holding("AAA", most)
        .prices(1, &[("AAA", most)]);
    assert_eq!(
        world.check().verdict,
        Verdict::Skipped(SkipReason::Arithmetic)
    );
}

#[test]
fn a_trade_of_exactly_the_minimum_is_one() {
    // A third of a point of 300 is 1: the drift has no end, the trade does.
    for (min, verdict) in [("1", INTERVAL), ("1.000000000001", Verdict::Quiet)] {
        let mut definition = halves(Method::Hybrid);
        definition.risk.min_trade_notional = amount(min);
        let mut world = given(definition)
            .holding("AAA", "151")
            .holding("BBB", "149")
            .prices(1, &[("AAA", "1"), ("BBB", "1")]);
        assert_eq!(world.check().verdict, verdict, "{min}");
    }
}

#[test]
fn the_measure_says_which_figure_is_held_against_the_threshold() {
    // 52, 38 and 10 for targets of 50, 44 and 6: 2, 6 and 4 points, or 4, 13.6 and 66.7 %; 6 of
    // 100 must change hands.
    let table = [
        (DriftMeasure::Absolute, "6", Verdict::Quiet),
        (DriftMeasure::Absolute, "5.9", DRIFT),
        (DriftMeasure::Relative, "66.7", Verdict::Quiet),
        (DriftMeasure::Relative, "66.6", DRIFT),
        (DriftMeasure::Turnover, "6", Verdict::Quiet),
        (DriftMeasure::Turnover, "5.9", DRIFT),
    ];
    for (measure, threshold, verdict) in table {
        let mut definition = definition(&[("AAA", "50"), ("BBB", "44"), ("CCC", "6")]);
        definition.rebalancing.measure = measure;
        definition.rebalancing.drift_threshold = percent(threshold);
        let mut world = given(definition)
            .holding("AAA", "52")
            .holding("BBB", "38")
            .holding("CCC", "10")
            .prices(1, &[("AAA", "10"), ("BBB", "10"), ("CCC", "10")]);
        let finding = world.check();
        assert_eq!(finding.verdict, verdict, "{measure:?} {threshold}");
        let told = types(&finding).contains(&"exceeded");
        assert_eq!(told, verdict == DRIFT, "{measure:?} {threshold}");
    }
}

#[test]
fn a_line_outside_its_own_band_is_a_breach_and_told_with_its_numbers() {
    for (width, verdict) in [("0.5", Verdict::Quiet), ("0.49", DRIFT)] {
        let mut definition = halves(Method::Drift);
        definition.constituents.edit(|lines| {
            lines[1].band = Some(Band::Absolute {
                width: percent(width),
            });
        });
        let mut world = given(definition)
            .holding("AAA", "101")
            .holding("BBB", "99")
            .prices(1, &[("AAA", "100"), ("BBB", "100")]);
        let finding = world.check();
        assert_eq!(finding.verdict, verdict, "{width}");
        let told = finding.events.iter().find_map(|event| match event {
            IndexEvent::ThresholdExceeded(e) => Some((e.asset, e.drift, e.threshold)),
            _ => None,
        });
        let expected = (asset("BBB"), percent("0.5"), percent("0.49"));
        assert_eq!(told, (verdict == DRIFT).then_some(expected));
    }
}

#[test]
fn every_line_outside_is_told_the_furthest_first() {
    let targets = [("AAA", "50"), ("BBB", "30"), ("CCC", "20")];
    let mut world = given(definition(&targets))
        .holding("AAA", "60")
        .holding("BBB", "30")
        .holding("CCC", "10")
        .prices(1, &[("AAA", "100"), ("BBB", "100"), ("CCC", "100")]);
    world.when(IndexCommand::Update {
        definition: {
            let mut changed = definition(&targets);
            changed.constituents.edit(|lines| {
                lines[2].band = Some(Band::FiveTwentyFive);
            });
            changed
        },
    });
    let finding = world.check();
    let told = finding.events.iter().find_map(|event| match event {
        IndexEvent::BandBreached(e) => Some(e.clone()),
        _ => None,
    });
    let line = |name: &str, target: &str, current: &str, drift: &str| BreachedLine {
        asset: asset(name),
        target: percent(target),
        current: percent(current),
        drift: percent(drift),
    };
    let told = told.unwrap();
    assert_eq!(told.count, 2);
    assert_eq!(
        told.lines,
        [
            line("AAA", "50", "60", "10"),
            line("CCC", "20", "10", "-10")
        ]
    );
}

#[test]
fn nothing_begins_by_itself_while_an_index_cools_down() {
    let hour = Span::from_hours(1).as_millis();
    for (method, prices, after) in [
        (Method::Drift, ABOVE, DRIFT),
        (Method::Daily, ABOVE, DRIFT),
        (Method::Hybrid, SLIGHT, INTERVAL),
    ] {
        let mut definition = halves(method);
        definition.rebalancing.cooldown = Span::from_hours(48);
        for (ms, verdict) in [(48 * hour - 1, Verdict::Quiet), (48 * hour, after.clone())] {
            let mut world = given(definition.clone())
                .cash("10000")
                .prices(1, &[("AAA", "100"), ("BBB", "100")]);
            world.rebalance();
            let now = T0.plus(Span::from_millis(ms));
            let mut world = world.prices(2, &prices).at(now);
            assert_eq!(world.check().verdict, verdict, "{method:?} {ms}");
            // A deposit is asked for by somebody.
            let mut world = world.at(T0).cash("1000");
            assert_eq!(world.check().verdict, Verdict::Rebalance(Trigger::Deposit));
        }
    }
}
