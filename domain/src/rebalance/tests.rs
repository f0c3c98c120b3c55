//! Given an index and prices, when a rebalance runs, then the books say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::testing::*;

const HALVES: [(&str, &str); 2] = [("AAA", "50"), ("BBB", "50")];

/// 50/50 over two assets at 100, 10,000 invested.
fn invested() -> World {
    let mut world = given(definition(&HALVES))
        .cash("10000")
        .prices(1, &[("AAA", "100"), ("BBB", "100")]);
    world.rebalance();
    world
}

#[test]
fn the_first_construction_buys_both_halves() {
    let world = invested();
    assert_eq!(world.state().quantity(asset("AAA")), quantity("50"));
    assert_eq!(world.state().quantity(asset("BBB")), quantity("50"));
    assert_eq!(world.state().cash, Amount::ZERO);
    assert_eq!(world.state().last_rebalanced_at, Some(T0));
}

#[test]
fn a_drifted_index_is_brought_back_to_halves_of_the_same_total() {
    let mut world = invested().prices(2, &[("AAA", "130"), ("BBB", "100")]);
    let report = crate::drift::report(world.state(), &world.prices).unwrap();
    assert_eq!(report.total_value, amount("11500"));
    assert!(report.drift.to_string().starts_with("6.5217391304"));
    world.rebalance();
    let report = crate::drift::report(world.state(), &world.prices).unwrap();
    assert_eq!(report.total_value, amount("11500"));
    for line in &report.assets {
        let off = line.value.sub(amount("5750")).unwrap().abs();
        assert!(off <= amount("0.000000001"), "{line:?}");
    }
    assert!(world.plan().orders.is_empty());
}
