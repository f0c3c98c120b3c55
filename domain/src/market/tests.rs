//! Which prices are accepted, held and ignored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::testing::*;

fn guard() -> PriceGuard {
    PriceGuard {
        max_jump: percent("50"),
        confirm_after: Span::from_secs(60),
        max_age: Span::from_secs(3_600),
    }
}

fn secs(secs: u64) -> Timestamp {
    T0.plus(Span::from_secs(secs))
}

fn command(at: u64, prices: &[(&str, &str)]) -> RecordPrices {
    RecordPrices {
        source: Source::Push,
        at: secs(at),
        prices: prices.iter().map(|(a, p)| (asset(a), price(p))).collect(),
        confirm: false,
    }
}

fn give(market: &mut Market, command: &RecordPrices) -> Vec<MarketEvent> {
    let events = decide(market, command, &guard());
    for event in &events {
        market.apply(event);
    }
    events
}

/// One price of one asset: `accepted`, `held`, or nothing.
fn one(market: &mut Market, at: u64, price: &str) -> &'static str {
    match give(market, &command(at, &[("AAA", price)])).as_slice() {
        [] => "nothing",
        [MarketEvent::PricesRecorded(_)] => "accepted",
        [MarketEvent::PriceHeld(_)] => "held",
        more => panic!("{more:?}"),
    }
}

fn seen(market: &Market, at: u64) -> Result<Price, PriceProblem> {
    market.price(asset("AAA"), &guard(), secs(at))
}

#[test]
fn the_first_price_is_accepted_whatever_it_is() {
    let mut market = Market::default();
    assert_eq!(seen(&market, 0), Err(PriceProblem::Missing));
    assert_eq!(one(&mut market, 0, "1000000"), "accepted");
    assert_eq!(seen(&market, 0), Ok(price("1000000")));
}

#[test]
fn a_price_of_zero_is_left_out() {
    let mut market = Market::default();
    assert_eq!(one(&mut market, 0, "100"), "accepted");
    assert_eq!(one(&mut market, 1, "0"), "nothing");
    assert_eq!(seen(&market, 1), Ok(price("100")));
}

#[test]
fn a_move_up_to_the_largest_jump_is_accepted() {
    for (next, expected) in [
        ("150", "accepted"),
        ("150.01", "held"),
        ("50", "accepted"),
        ("49.99", "held"),
    ] {
        let mut market = Market::default();
        one(&mut market, 0, "100");
        assert_eq!(one(&mut market, 1, next), expected, "{next}");
    }
}

#[test]
fn a_jump_is_held_once_and_confirmed_by_a_later_snapshot() {
    let mut market = Market::default();
    one(&mut market, 0, "100");
    assert_eq!(one(&mut market, 10, "200"), "held");
    assert_eq!(seen(&market, 10), Err(PriceProblem::Jump));
    assert_eq!(one(&mut market, 20, "210"), "nothing");
    assert_eq!(one(&mut market, 69, "210"), "nothing");
    assert_eq!(one(&mut market, 70, "220"), "accepted");
    assert_eq!(seen(&market, 70), Ok(price("220")));
}

#[test]
fn another_jump_starts_the_wait_anew() {
    let mut market = Market::default();
    one(&mut market, 0, "100");
    assert_eq!(one(&mut market, 10, "200"), "held");
    assert_eq!(one(&mut market, 70, "10"), "held");
    assert_eq!(one(&mut market, 80, "200"), "held");
    assert_eq!(one(&mut market, 139, "200"), "nothing");
    assert_eq!(one(&mut market, 140, "200"), "accepted");
}

#[test]
fn a_price_near_the_accepted_one_ends_the_hold() {
    let mut market = Market::default();
    one(&mut market, 0, "100");
    one(&mut market, 10, "200");
    assert_eq!(one(&mut market, 20, "101"), "accepted");
    assert_eq!(seen(&market, 20), Ok(price("101")));
}

#[test]
fn the_operator_may_vouch_for_a_jump() {
    let mut market = Market::default();
    one(&mut market, 0, "100");
    let mut vouched = command(1, &[("AAA", "900")]);
    vouched.confirm = true;
    give(&mut market, &vouched);
    assert_eq!(seen(&market, 1), Ok(price("900")));
}

#[test]
fn prices_out_of_order_are_left_out() {
    let mut market = Market::default();
    one(&mut market, 10, "100");
    assert_eq!(one(&mut market, 9, "101"), "nothing");
    assert_eq!(one(&mut market, 10, "102"), "accepted");
    one(&mut market, 20, "300");
    assert_eq!(one(&mut market, 19, "900"), "nothing");
}

#[test]
fn a_price_grows_stale() {
    let mut market = Market::default();
    one(&mut market, 0, "100");
    assert_eq!(seen(&market, 3_600), Ok(price("100")));
    assert_eq!(seen(&market, 3_601), Err(PriceProblem::Stale));
}

#[test]
fn many_prices_come_in_bounded_events_and_the_last_of_an_asset_counts() {
    let mut all: Vec<_> = (0..2_500)
        .map(|n| (asset(&format!("A{n}")), price("1")))
        .collect();
    all.push((asset("A7"), price("7")));
    let mut command = command(0, &[]);
    command.prices = all;
    let mut market = Market::default();
    let events = give(&mut market, &command);
    let sizes: Vec<_> = events
        .iter()
        .map(|event| match event {
            MarketEvent::PricesRecorded(e) => e.prices.len(),
            MarketEvent::PriceHeld(_) => 0,
        })
        .collect();
    assert_eq!(sizes, [500; 5]);
    assert_eq!(market.quotes.len(), 2_500);
    assert_eq!(market.price(asset("A7"), &guard(), T0), Ok(price("7")));
}

#[test]
fn a_snapshot_finds_every_asset_and_knows_the_others_are_missing() {
    let snapshot = snapshot(1, &[("CCC", "3"), ("AAA", "1"), ("BBB", "missing")]);
    assert_eq!(snapshot.price(asset("AAA")), Ok(price("1")));
    assert_eq!(snapshot.price(asset("BBB")), Err(PriceProblem::Missing));
    assert_eq!(snapshot.price(asset("DDD")), Err(PriceProblem::Missing));
    let slot = snapshot.slot(asset("CCC")).unwrap();
    assert_eq!(snapshot.at_slot(slot), Ok(price("3")));
    assert_eq!(snapshot.at_slot(u32::MAX), Err(PriceProblem::Missing));
}
