//! Numbers of drift, and the slots that a cycle reuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::index::{Band, DriftMeasure, IndexCommand};
use crate::testing::*;

/// 40/40/20 cash, with 60 AAA at 100, 20 BBB at 100 and 2,000 cash.
fn skewed() -> World {
    given(definition(&[("AAA", "40"), ("BBB", "40")]))
        .cash("2000")
        .holding("AAA", "60")
        .holding("BBB", "20")
        .prices(1, &[("AAA", "100"), ("BBB", "100")])
}

#[test]
fn a_report_has_every_figure() {
    let world = skewed();
    let report = report(world.state(), &world.prices).unwrap();
    assert_eq!(report.total_value, amount("10000"));
    assert_eq!(report.drift, percent("20"));
    assert_eq!(report.worst, asset("AAA"));
    assert_eq!(report.turnover, percent("20"));
    let figures: Vec<_> = report
        .assets
        .iter()
        .map(|line| (line.current, line.drift, line.relative_drift))
        .collect();
    let expected = [
        (percent("60"), percent("20"), Some(percent("50"))),
        (percent("20"), percent("-20"), Some(percent("50"))),
    ];
    assert_eq!(figures, expected);
}

#[test]
fn a_holding_that_is_no_constituent_has_a_target_of_zero() {
    let world = skewed()
        .holding("OLD", "100")
        .prices(1, &[("AAA", "100"), ("BBB", "100"), ("OLD", "100")]);
    let report = report(world.state(), &world.prices).unwrap();
    let foreign = report.assets.last().unwrap();
    assert_eq!(
        (foreign.asset, foreign.target),
        (asset("OLD"), Percent::ZERO)
    );
    assert_eq!(foreign.drift, percent("50"));
    assert_eq!(foreign.relative_drift, None);
    assert_eq!((report.worst, report.drift), (asset("OLD"), percent("50")));
}

#[test]
fn cash_counts_in_turnover_but_is_no_asset() {
    let world = given(definition(&[("AAA", "100")]))
        .cash("9000")
        .holding("AAA", "10")
        .prices(1, &[("AAA", "100")]);
    let report = report(world.state(), &world.prices).unwrap();
    assert_eq!(report.drift, percent("90"));
    assert_eq!(report.turnover, percent("90"));
    assert_eq!(report.assets.len(), 1);
}

#[test]
fn no_usable_price_of_any_asset_is_an_error_with_its_name() {
    for (price, problem) in [
        ("missing", PriceProblem::Missing),
        ("stale", PriceProblem::Stale),
        ("jump", PriceProblem::Jump),
        ("0", PriceProblem::Zero),
    ] {
        let world = skewed().prices(1, &[("AAA", "100"), ("BBB", price)]);
        let expected = DriftError::Price(asset("BBB"), problem);
        assert_eq!(report(world.state(), &world.prices), Err(expected));
        let headline = headline(world.state(), &world.prices, &mut Slots::default());
        assert_eq!(headline, Err(expected));
    }
    let world = skewed().prices(1, &[("AAA", "100")]);
    let expected = DriftError::Price(asset("BBB"), PriceProblem::Missing);
    assert_eq!(report(world.state(), &world.prices), Err(expected));
}

#[test]
fn an_index_without_value_has_no_drift() {
    let world = given(definition(&[("AAA", "100")])).prices(1, &[("AAA", "100")]);
    assert_eq!(
        report(world.state(), &world.prices),
        Err(DriftError::NoValue)
    );
}

#[test]
fn numbers_that_do_not_fit_are_an_error() {
    let most = "1000000000000000";
    let world = given(definition(&[("AAA", "100")]))
        .holding("AAA", most)
        .prices(1, &[("AAA", most)]);
    let expected = DriftError::Arithmetic(ArithmeticError);
    assert_eq!(report(world.state(), &world.prices), Err(expected));
}

#[test]
fn the_largest_numbers_that_fit_are_measured() {
    let world = given(definition(&[("AAA", "50"), ("BBB", "50")]))
        .holding("AAA", "1000000000000000")
        .prices(1, &[("AAA", "10000000000000"), ("BBB", "1")]);
    let report = report(world.state(), &world.prices).unwrap();
    assert_eq!(report.drift, percent("50"));
}

#[test]
fn slots_follow_what_is_held_what_is_wanted_and_what_is_priced() {
    let mut slots = Slots::default();
    let mut world = skewed();
    let agree = |world: &World, slots: &mut Slots| {
        let report = report(world.state(), &world.prices).unwrap();
        let headline = headline(world.state(), &world.prices, slots).unwrap();
        assert_eq!(
            (headline.drift, headline.worst),
            (report.drift, report.worst)
        );
        assert_eq!(headline.total_value, report.total_value);
    };
    agree(&world, &mut slots);
    // One constituent for another: the same number of lines.
    world.prices = snapshot(2, &[("AAA", "100"), ("BBB", "100"), ("CCC", "70")]);
    world.prices.layout = 2;
    agree(&world, &mut slots);
    world.when(IndexCommand::Update {
        definition: definition(&[("AAA", "40"), ("CCC", "40")]),
    });
    agree(&world, &mut slots);
    // Held for the first time.
    world = world.holding("CCC", "3");
    agree(&world, &mut slots);
    // The same layout, another order of constituents.
    world.when(IndexCommand::Update {
        definition: definition(&[("CCC", "40"), ("AAA", "40")]),
    });
    agree(&world, &mut slots);
}

#[test]
fn fitting_slots_are_kept() {
    let world = skewed();
    let mut slots = Slots::default();
    assert!(!slots.fit(world.state(), &world.prices));
    headline(world.state(), &world.prices, &mut slots).unwrap();
    assert!(slots.fit(world.state(), &world.prices));
}

#[test]
fn locked_lines_and_the_buffer_are_left_out_of_what_is_shared() {
    let mut definition = definition(&[("AAA", "50"), ("BBB", "30"), ("CCC", "20")]);
    definition.constituents.edit(|lines| lines[0].locked = true);
    definition
        .constituents
        .edit(|lines| lines[2].band = Some(Band::FiveTwentyFive));
    definition.risk.cash_buffer = amount("100");
    // 1,100 with cash: 100 kept back, 600 locked, 400 for targets of 30 and 20.
    let world = given(definition)
        .cash("100")
        .holding("AAA", "60")
        .holding("BBB", "28")
        .holding("CCC", "12")
        .prices(1, &[("AAA", "10"), ("BBB", "10"), ("CCC", "10")]);
    let report = report(world.state(), &world.prices).unwrap();
    let figures: Vec<_> = report
        .assets
        .iter()
        .map(|line| {
            (
                line.target,
                line.current,
                line.drift,
                line.locked,
                line.outside,
            )
        })
        .collect();
    let expected = [
        // For the reader, against the value without the buffer.
        (percent("50"), percent("60"), percent("10"), true, false),
        (percent("60"), percent("70"), percent("10"), false, true),
        (percent("40"), percent("30"), percent("-10"), false, true),
    ];
    assert_eq!(figures, expected);
    assert_eq!(
        (report.drift, report.worst, report.total_value),
        (percent("10"), asset("BBB"), amount("1100"))
    );
    assert_eq!((report.turnover, report.exceeded), (percent("10"), true));
    let headline = headline(world.state(), &world.prices, &mut Slots::default()).unwrap();
    assert_eq!(
        (headline.drift, headline.worst),
        (report.drift, report.worst)
    );
    assert_eq!(headline.largest, amount("40"));
    let outside = Outside {
        asset: asset("CCC"),
        drift: percent("10"),
        width: percent("5"),
    };
    assert_eq!(headline.outside, Some(outside));
}

#[test]
fn the_headline_and_the_report_agree_by_every_measure() {
    for measure in [
        DriftMeasure::Absolute,
        DriftMeasure::Relative,
        DriftMeasure::Turnover,
    ] {
        let mut definition = definition(&[("AAA", "50"), ("BBB", "44"), ("CCC", "3")]);
        definition.rebalancing.measure = measure;
        let world = given(definition)
            .cash("11")
            .holding("AAA", "52")
            .holding("BBB", "38")
            .holding("CCC", "10")
            .holding("OLD", "1")
            .prices(
                1,
                &[("AAA", "9"), ("BBB", "11"), ("CCC", "7"), ("OLD", "3")],
            );
        let report = report(world.state(), &world.prices).unwrap();
        let headline = headline(world.state(), &world.prices, &mut Slots::default()).unwrap();
        assert_eq!(
            (headline.drift, headline.worst),
            (report.drift, report.worst)
        );
        let figure = match measure {
            DriftMeasure::Absolute => report.absolute,
            DriftMeasure::Relative => report.relative,
            DriftMeasure::Turnover => report.turnover,
        };
        assert_eq!(report.drift, figure, "{measure:?}");
    }
}

#[test]
fn an_index_with_nothing_beyond_its_buffer_has_nothing_to_share_out() {
    let mut definition = definition(&[("AAA", "100")]);
    definition.risk.cash_buffer = amount("1000");
    let world = given(definition).cash("1000").prices(1, &[("AAA", "10")]);
    let found = report(world.state(), &world.prices);
    assert_eq!(found.unwrap_err(), DriftError::NoValue);
    let found = headline(world.state(), &world.prices, &mut Slots::default());
    assert_eq!(found.unwrap_err(), DriftError::NoValue);
}
