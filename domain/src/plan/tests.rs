//! Plans by numbers: what is traded, what is not, and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::index::{Band, Destination, Funds, Scope};
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

/// 500, 240 and 260 of 1,000 for targets of 40, 30 and 30: 10 points above, 6 and 4 below.
fn banded(change: impl Fn(&mut crate::index::Definition)) -> TradePlan {
    let mut definition = definition(&[("AAA", "40"), ("BBB", "30"), ("CCC", "30")]);
    change(&mut definition);
    given(definition)
        .holding("AAA", "500")
        .holding("BBB", "240")
        .holding("CCC", "260")
        .prices(1, &[("AAA", "1"), ("BBB", "1"), ("CCC", "1")])
        .plan()
}

#[test]
fn scope_and_destination_say_which_lines_move_and_how_far() {
    use Destination::{BandEdge, Fraction, Target};
    let half = Fraction {
        percent: percent("50"),
    };
    // 500, 240 and 260 of 1,000: 10 points above, 6 and 4 below; the threshold is 5.
    let table: [(Scope, Destination, &[&str], &[&str]); 6] = [
        (
            Scope::Index,
            Target,
            &["SELL AAA 100", "BUY BBB 60", "BUY CCC 40"],
            &[],
        ),
        // Only what is beyond 5 points; C lends nothing, and cash takes the rest up.
        (
            Scope::Breaching,
            Target,
            &["SELL AAA 100", "BUY BBB 60"],
            &["CCC WithinBand"],
        ),
        (
            Scope::Breaching,
            BandEdge,
            &["SELL AAA 50", "BUY BBB 10"],
            &["CCC WithinBand"],
        ),
        (
            Scope::Breaching,
            half,
            &["SELL AAA 75", "BUY BBB 35"],
            &["CCC WithinBand"],
        ),
        // Nothing stays cash that a line below its target may have.
        (
            Scope::Index,
            BandEdge,
            &["SELL AAA 50", "BUY BBB 50"],
            &["CCC WithinBand"],
        ),
        (
            Scope::Index,
            half,
            &["SELL AAA 75", "BUY BBB 60", "BUY CCC 15"],
            &[],
        ),
    ];
    for (scope, destination, expected, told) in table {
        let plan = banded(|definition| {
            definition.rebalancing.scope = scope;
            definition.rebalancing.destination = destination;
        });
        assert_eq!(orders(&plan), expected, "{scope:?} {destination:?}");
        assert_eq!(skipped(&plan), told, "{scope:?} {destination:?}");
    }
}

#[test]
fn a_band_of_its_own_stands_for_the_threshold() {
    let absolute = |width| Band::Absolute {
        width: percent(width),
    };
    let relative = |width| Band::Relative {
        width: percent(width),
    };
    // A is 10 points off a target of 40: 25 % of it.
    let table = [
        (absolute("10"), &["BUY BBB 60"][..]),
        (absolute("9.99"), &["SELL AAA 100", "BUY BBB 60"]),
        (relative("25"), &["BUY BBB 60"]),
        (relative("24.9"), &["SELL AAA 100", "BUY BBB 60"]),
        (Band::FiveTwentyFive, &["SELL AAA 100", "BUY BBB 60"]),
    ];
    for (band, expected) in table {
        let mut definition = definition(&[("AAA", "40"), ("BBB", "30"), ("CCC", "20")]);
        definition.rebalancing.scope = Scope::Breaching;
        definition
            .constituents
            .edit(|lines| lines[0].band = Some(band));
        let mut world = given(definition)
            .holding("AAA", "500")
            .holding("BBB", "240")
            .holding("CCC", "200")
            .prices(1, &[("AAA", "1"), ("BBB", "1"), ("CCC", "1")]);
        world.deposit_unsettled(Funds::Cash(amount("60")), false);
        world.settle();
        assert_eq!(orders(&world.plan()), expected, "{band:?}");
    }
}

#[test]
fn a_locked_line_is_left_alone_and_the_others_share_the_rest() {
    let plan = banded(|definition| definition.constituents.edit(|lines| lines[0].locked = true));
    // 500 are left for equal targets.
    assert_eq!(orders(&plan), ["SELL CCC 10", "BUY BBB 10"]);
    assert_eq!(skipped(&plan), ["AAA Locked"]);
}

#[test]
fn the_cash_buffer_is_kept_out_of_the_weights() {
    let plan = banded(|definition| definition.risk.cash_buffer = amount("100"));
    // 900 are shared out: 360, 270 and 270.
    assert_eq!(orders(&plan), ["SELL AAA 140", "BUY BBB 30", "BUY CCC 10"]);
}

#[test]
fn the_turnover_of_one_rebalance_is_limited_on_either_side() {
    let table = [
        (
            "10",
            &["SELL AAA 100", "BUY BBB 60", "BUY CCC 40"][..],
            &[][..],
        ),
        (
            "7",
            &["SELL AAA 70", "BUY BBB 42", "BUY CCC 28"],
            &[
                "AAA TrimmedToTurnover",
                "BBB TrimmedToCash",
                "CCC TrimmedToCash",
            ],
        ),
    ];
    for (max, expected, told) in table {
        let plan = banded(|definition| definition.risk.max_turnover = Some(percent(max)));
        assert_eq!(orders(&plan), expected, "{max}");
        assert_eq!(skipped(&plan), told, "{max}");
    }
    // Cash that is there is no turnover of its own, what it buys is.
    let mut definition = definition(&HALVES);
    definition.risk.max_turnover = Some(percent("30"));
    let plan = given(definition)
        .cash("1000")
        .prices(1, &[("AAA", "1"), ("BBB", "1")])
        .plan();
    assert_eq!(orders(&plan), ["BUY AAA 300"]);
    let told = ["AAA TrimmedToTurnover", "BBB TrimmedToTurnover"];
    assert_eq!(skipped(&plan), told);
}

#[test]
fn each_minimum_has_its_reason() {
    let plan = banded(|definition| definition.risk.min_trade_percent = percent("4.5"));
    assert_eq!(orders(&plan), ["SELL AAA 100", "BUY BBB 60"]);
    assert_eq!(skipped(&plan), ["CCC BelowMinPercent"]);
    let plan = sixty_forty()
        .rules(with(|r| r.min_quantity = quantity("10.1")))
        .plan();
    assert_eq!(
        skipped(&plan),
        ["AAA BelowMinQuantity", "BBB BelowMinQuantity"]
    );
}

#[test]
fn money_to_be_invested_is_offered_to_every_line() {
    let mut definition = definition(&HALVES);
    definition.rebalancing.scope = Scope::Breaching;
    definition.rebalancing.destination = Destination::BandEdge;
    let mut world = given(definition)
        .holding("AAA", "52")
        .holding("BBB", "48")
        .prices(1, &[("AAA", "1"), ("BBB", "1")]);
    assert_eq!(orders(&world.plan()), Vec::<String>::new());
    world = world.cash("10");
    assert_eq!(orders(&world.plan()), ["BUY BBB 7", "BUY AAA 3"]);
}

#[test]
fn limit_prices_are_ticks_that_still_fill() {
    let limits = |tick: &str, slippage: &str| {
        let mut rules = free(asset("AAA"));
        rules.tick_size = price(tick);
        rules.slippage = percent(slippage);
        Limits::new(rules, &crate::index::Risk::default())
    };
    let order = PlannedOrder {
        asset: asset("AAA"),
        side: Side::Buy,
        quantity: quantity("1"),
        price: price("100.03"),
        notional: amount("100.03"),
    };
    // Tick, expected and largest slippage, cash, limits of buy and sell.
    let table = [
        ("0", "0", "1", "1000", "101.0303", "99.0297"),
        ("0.05", "0", "1", "1000", "101", "99"),
        ("0.05", "0", "0", "1000", "100.05", "100"),
        // The cash there pays for 100.5 at most.
        ("0.05", "0", "1", "100.52", "100.5", "99"),
        ("0.5", "0.4", "1", "100.52", "100.5", "99"),
        ("200", "0", "1", "1000", "200", "200"),
    ];
    for (tick, expected, most, cash, buy, sell) in table {
        let limits = limits(tick, expected);
        let limit = limits.buy_limit(&order, amount(cash), percent(most));
        assert_eq!(limit, Ok(price(buy)), "buy {tick} {expected} {most} {cash}");
        let limit = limits.sell_limit(order.price, percent(most));
        assert_eq!(limit, Ok(price(sell)), "sell {tick} {expected} {most}");
    }
}
