//! Plans by numbers: what is traded, what is not, and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::market::PriceProblem;
use crate::testing::*;

const HALVES: [(&str, &str); 2] = [("AAA", "50"), ("BBB", "50")];

/// Orders as text: `SELL AAA 7.5`.
fn orders(plan: &TradePlan) -> Vec<String> {
    let text = |order: &PlannedOrder| {
        let side = match order.side {
            Side::Sell => "SELL",
            Side::Buy => "BUY",
        };
        format!("{side} {} {}", order.asset, order.quantity)
    };
    plan.orders.iter().map(text).collect()
}

/// Skipped lines as text: `BBB BelowLotStep`.
fn skipped(plan: &TradePlan) -> Vec<String> {
    let text = |line: &SkippedLine| format!("{} {:?}", line.asset, line.reason);
    plan.skipped.iter().map(text).collect()
}

/// 60 AAA and 40 BBB at 100 each: 10 units must move.
fn sixty_forty() -> World {
    given(definition(&HALVES))
        .holding("AAA", "60")
        .holding("BBB", "40")
        .prices(1, &[("AAA", "100"), ("BBB", "100")])
}

fn with(change: impl Fn(&mut InstrumentRules) + 'static) -> impl Fn(Asset) -> InstrumentRules {
    move |asset| {
        let mut rules = free(asset);
        change(&mut rules);
        rules
    }
}

#[test]
fn sells_stand_before_buys_largest_first() {
    let plan = given(definition(&[
        ("AAA", "10"),
        ("BBB", "20"),
        ("CCC", "30"),
        ("DDD", "40"),
    ]))
    .holding("AAA", "40")
    .holding("BBB", "30")
    .holding("CCC", "20")
    .holding("DDD", "10")
    .prices(1, &[("AAA", "1"), ("BBB", "1"), ("CCC", "1"), ("DDD", "1")])
    .plan();
    assert_eq!(
        orders(&plan),
        ["SELL AAA 30", "SELL BBB 10", "BUY DDD 30", "BUY CCC 10"]
    );
    assert_eq!(skipped(&plan), Vec::<String>::new());
}

#[test]
fn equal_notionals_are_ordered_by_asset() {
    let plan = given(definition(&[("CCC", "30"), ("BBB", "30"), ("AAA", "40")]))
        .cash("100")
        .prices(1, &[("AAA", "1"), ("BBB", "1"), ("CCC", "1")])
        .plan();
    assert_eq!(orders(&plan), ["BUY AAA 40", "BUY BBB 30", "BUY CCC 30"]);
}

#[test]
fn an_index_on_target_has_an_empty_plan_without_words() {
    let plan = given(definition(&HALVES))
        .holding("AAA", "50")
        .holding("BBB", "50")
        .prices(1, &[("AAA", "100"), ("BBB", "100")])
        .plan();
    assert_eq!(plan, TradePlan::default());
}

#[test]
fn a_holding_without_a_target_is_sold_in_full_but_for_a_broken_lot() {
    let plan = given(definition(&[("AAA", "100")]))
        .holding("OLD", "7.5")
        .prices(1, &[("AAA", "10"), ("OLD", "100")])
        .rules(|asset| {
            let mut rules = free(asset);
            if asset.to_string() == "OLD" {
                rules.lot_step = quantity("1");
            }
            rules
        })
        .plan();
    // 750 are wanted of AAA, the cash of seven lots is there.
    assert_eq!(orders(&plan), ["SELL OLD 7", "BUY AAA 70"]);
}

#[test]
fn quantities_are_rounded_toward_zero_to_lots() {
    let plan = sixty_forty()
        .rules(with(|r| r.lot_step = quantity("3")))
        .plan();
    assert_eq!(orders(&plan), ["SELL AAA 9", "BUY BBB 9"]);
}

#[test]
fn less_than_a_lot_is_skipped() {
    let plan = sixty_forty()
        .rules(with(|r| r.lot_step = quantity("11")))
        .plan();
    assert_eq!(orders(&plan), Vec::<String>::new());
    assert_eq!(skipped(&plan), ["AAA BelowLotStep", "BBB BelowLotStep"]);
}

#[test]
fn the_larger_minimum_of_index_and_venue_counts_and_its_edge_is_allowed() {
    for (index, venue, trades) in [
        ("1000", "0", true),
        ("1000.01", "0", false),
        ("0", "1000", true),
        ("0", "1000.01", false),
    ] {
        let mut definition = definition(&HALVES);
        definition.risk.min_trade_notional = amount(index);
        let venue = amount(venue);
        let plan = given(definition)
            .rules(with(move |r| r.min_notional = venue))
            .holding("AAA", "60")
            .holding("BBB", "40")
            .prices(1, &[("AAA", "100"), ("BBB", "100")])
            .plan();
        assert_eq!(!plan.orders.is_empty(), trades, "{index} {venue}");
        if !trades {
            assert_eq!(
                skipped(&plan),
                ["AAA BelowMinNotional", "BBB BelowMinNotional"]
            );
        }
    }
}

#[test]
fn a_large_trade_is_split_and_trimmed_only_past_the_most_orders() {
    let table: [(&str, &str, &[&str], &str); 4] = [
        // Largest order, smallest, orders, reason.
        ("450", "1", &["SELL AAA 4", "SELL AAA 3", "SELL AAA 3"], ""),
        ("1000", "1", &["SELL AAA 10"], ""),
        // Two even parts of 500 would be too small.
        ("600", "550", &["SELL AAA 6"], "TrimmedToMaxNotional"),
        ("90", "1", &[], "BelowLotStep"),
    ];
    for (max, min, sells, reason) in table {
        let mut definition = definition(&HALVES);
        definition.risk.max_trade_notional = Some(amount(max));
        definition.risk.min_trade_notional = amount(min);
        let plan = given(definition)
            .rules(with(|r| r.lot_step = quantity("1")))
            .holding("AAA", "60")
            .holding("BBB", "40")
            .prices(1, &[("AAA", "100"), ("BBB", "100")])
            .plan();
        let buys = sells.iter().map(|sell| sell.replace("SELL AAA", "BUY BBB"));
        let both: Vec<String> = sells.iter().map(|s| (*s).to_owned()).chain(buys).collect();
        assert_eq!(orders(&plan), both, "{max}");
        let told = ["AAA", "BBB"].map(|asset| format!("{asset} {reason}"));
        let told: Vec<String> = told.into_iter().filter(|_| !reason.is_empty()).collect();
        assert_eq!(skipped(&plan), told, "{max}");
    }
}

#[test]
fn a_line_has_at_most_ten_orders() {
    let mut definition = definition(&HALVES);
    definition.risk.max_trade_notional = Some(amount("50"));
    let plan = given(definition)
        .holding("AAA", "60")
        .holding("BBB", "40")
        .prices(1, &[("AAA", "100"), ("BBB", "100")])
        .plan();
    assert_eq!(
        orders(&plan),
        [["SELL AAA 0.5"; 10], ["BUY BBB 0.5"; 10]].concat()
    );
    let trimmed = ["AAA TrimmedToMaxNotional", "BBB TrimmedToMaxNotional"];
    assert_eq!(skipped(&plan), trimmed);
}

#[test]
fn fees_and_slippage_come_off_before_buying() {
    let plan = sixty_forty()
        .rules(with(|r| {
            r.lot_step = quantity("0.01");
            r.fee = percent("1");
            r.slippage = percent("1");
        }))
        .plan();
    // A unit sold brings 100 × 0.99 × 0.99 = 98.01, one bought costs 100 × 1.01 × 1.01 = 102.01.
    // 10.19 sold bring 998.72, which buy 9.79: 49.81 and 49.79 of a whole that is worth less.
    assert_eq!(orders(&plan), ["SELL AAA 10.19", "BUY BBB 9.79"]);
    assert_eq!(skipped(&plan), Vec::<String>::new());
}

#[test]
fn buys_shrink_by_the_same_factor_when_a_sell_is_skipped() {
    // BTC is 500 too heavy and comes in lots of 1,000: 600 of cash for 1,100 of buys.
    let plan = given(definition(&[("BTC", "50"), ("AAA", "30"), ("BBB", "20")]))
        .cash("1000")
        .holding("BTC", "1")
        .prices(1, &[("BTC", "3000"), ("AAA", "10"), ("BBB", "10")])
        .rules(|asset| {
            let mut rules = free(asset);
            if asset.to_string() == "BTC" {
                rules.lot_step = quantity("1");
            }
            rules
        })
        .plan();
    assert_eq!(orders(&plan), ["BUY AAA 60", "BUY BBB 40"]);
    let expected = ["BTC BelowLotStep", "AAA TrimmedToCash", "BBB TrimmedToCash"];
    assert_eq!(skipped(&plan), expected);
}

#[test]
fn a_buy_that_shrinks_below_its_minimum_leaves_its_cash_to_the_others() {
    let mut definition = definition(&[("BTC", "50"), ("AAA", "30"), ("BBB", "20")]);
    definition.risk.min_trade_notional = amount("410");
    let plan = given(definition)
        .cash("1000")
        .holding("BTC", "1")
        .prices(1, &[("BTC", "3000"), ("AAA", "10"), ("BBB", "10")])
        .rules(|asset| {
            let mut rules = free(asset);
            if asset.to_string() == "BTC" {
                rules.lot_step = quantity("1");
            }
            rules
        })
        .plan();
    assert_eq!(orders(&plan), ["BUY AAA 100"]);
}

#[test]
fn the_cash_target_is_kept() {
    let plan = given(definition(&[("AAA", "80")]))
        .cash("1000")
        .prices(1, &[("AAA", "10")])
        .plan();
    assert_eq!(orders(&plan), ["BUY AAA 80"]);
    // Cash below its target is filled up by selling.
    let plan = given(definition(&[("AAA", "80")]))
        .cash("100")
        .holding("AAA", "90")
        .prices(1, &[("AAA", "10")])
        .plan();
    assert_eq!(orders(&plan), ["SELL AAA 10"]);
}

#[test]
fn nothing_is_planned_on_a_price_that_is_missing() {
    let world = sixty_forty().prices(1, &[("AAA", "100"), ("BBB", "missing")]);
    let plan = plan(world.state(), &world.prices, &free);
    let expected = DriftError::Price(asset("BBB"), PriceProblem::Missing);
    assert_eq!(plan, Err(expected));
}
