//! Given an index and prices, when a rebalance runs, then the books say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::event::Event;
use crate::index::{Funds, Holding, IndexCommand, IndexEvent};
use crate::testing::*;
use crate::values::{Percent, TransferId};

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

/// What happened, as words: `started`, `sell AAA`, `executed`, …
fn words(events: &[RebalanceEvent]) -> Vec<String> {
    let word = |event: &RebalanceEvent| match event {
        RebalanceEvent::Started(_) => "started".to_owned(),
        RebalanceEvent::OrderIntended(e) => match e.order.side {
            Side::Sell => format!("sell {}", e.order.asset),
            Side::Buy => format!("buy {}", e.order.asset),
        },
        RebalanceEvent::TradeExecuted(_) => "executed".to_owned(),
        RebalanceEvent::TradeFailed(_) => "trade failed".to_owned(),
        RebalanceEvent::Stuck(_) => "stuck".to_owned(),
        RebalanceEvent::Approved(_) => "approved".to_owned(),
        RebalanceEvent::OrderAccepted(_) => "accepted".to_owned(),
        RebalanceEvent::Replanned(e) => format!("plan {}", e.round),
        RebalanceEvent::CancelRequested(_) => "cancel requested".to_owned(),
        RebalanceEvent::Cancelled(e) => format!("cancelled {} {}", e.trades, e.reason),
        RebalanceEvent::Completed(e) => format!("completed {}", e.trades),
        RebalanceEvent::Failed(e) => format!("failed {} {}", e.trades, e.reason),
    };
    events.iter().map(word).collect()
}

fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap()
}

fn refused(text: &str) -> OrderOutcome {
    OrderOutcome::Refused(reason(text))
}

fn filled(world: &World) -> OrderOutcome {
    OrderOutcome::Filled(world.expected_fill(&world.open()))
}

/// 1,000 in AAA alone: 500 to sell, 250 each to buy of BBB and CCC.
fn one_sell_two_buys() -> World {
    given(definition(&[("AAA", "50"), ("BBB", "25"), ("CCC", "25")]))
        .holding("AAA", "100")
        .prices(1, &[("AAA", "10"), ("BBB", "10"), ("CCC", "10")])
}

#[test]
fn every_order_is_an_intent_first_and_sells_come_before_buys() {
    let mut world = one_sell_two_buys();
    assert_eq!(words(&world.start(Trigger::Drift)), ["started", "sell AAA"]);
    for expected in [
        &["executed", "buy BBB"][..],
        &["executed", "buy CCC"],
        &["executed"],
    ] {
        let outcome = filled(&world);
        assert_eq!(words(&world.report(outcome)), expected);
    }
    assert_eq!(words(&world.settle_round()), ["completed 3"]);
    assert_eq!(world.state().rebalance, None);
}

#[test]
fn an_empty_plan_starts_and_ends_at_once_and_counts_as_no_rebalance() {
    let mut world = invested().at(hours(5));
    assert_eq!(words(&world.start(Trigger::Manual)), ["started"]);
    assert_eq!(words(&world.settle_round()), ["completed 0"]);
    assert_eq!(world.state().last_rebalanced_at, Some(T0));
}

#[test]
fn a_failed_sell_leaves_the_buys_what_cash_there_is_and_is_tried_again() {
    let mut world = one_sell_two_buys().cash("100");
    world.start(Trigger::Drift);
    assert_eq!(
        words(&world.report(refused("closed"))),
        ["trade failed", "buy BBB"]
    );
    assert_eq!(world.open().quantity, quantity("5"));
    for _ in 0..2 {
        let outcome = filled(&world);
        world.report(outcome);
    }
    assert_eq!(world.state().cash, Amount::ZERO);
    assert_eq!(words(&world.settle_round()), ["plan 2", "sell AAA"]);
    world.fill_all();
    assert!(world.plan().orders.is_empty());
    assert_eq!(world.state().last_rebalanced_at, Some(T0));
}

#[test]
fn what_fails_in_every_round_fails_with_the_first_reason_of_the_last() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    for round in 1..ROUNDS_MAX {
        // No sell, no cash: the buys fall away without a word.
        world.report(OrderOutcome::NotSent(reason("no way through")));
        let next = format!("plan {}", round + 1);
        assert_eq!(words(&world.settle_round()), [next.as_str(), "sell AAA"]);
    }
    world.report(refused("closed"));
    let events = world.settle_round();
    assert_eq!(words(&events), ["failed 0 closed"]);
    let RebalanceEvent::Failed(failed) = &events[0] else {
        panic!("it failed");
    };
    assert_eq!(failed.drift_after, Some(percent("50")));
    assert_eq!(world.state().last_rebalanced_at, None);
}

#[test]
fn what_was_filled_in_part_is_planned_anew_from_what_is_held() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let mut fill = world.expected_fill(&world.open());
    (fill.quantity, fill.notional) = (quantity("20"), amount("200"));
    world.report(OrderOutcome::Filled(fill));
    for _ in 0..2 {
        let outcome = filled(&world);
        world.report(outcome);
    }
    assert_eq!(words(&world.settle_round()), ["plan 2", "sell AAA"]);
    assert_eq!(world.open().quantity, quantity("30"));
    assert_eq!(world.open().step, 4);
    world.fill_all();
    assert_eq!(world.state().quantity(asset("AAA")), quantity("50"));
}

#[test]
fn a_planned_rebalance_waits_for_approval_until_its_time() {
    let mut world = one_sell_two_buys();
    world.approval_until = Some(hours(1));
    assert_eq!(words(&world.start(Trigger::Drift)), ["started"]);
    let rebalance = world.state().rebalance.as_ref().unwrap();
    let id = rebalance.rebalance_id;
    assert_eq!(react(rebalance), Effect::AwaitApproval(hours(1)));
    assert_eq!(expire(world.state(), hours(1)), Ok(Vec::new()));
    let late = world.at_conditions(hours(2));
    let refusal = RebalanceRefusal::ApprovalExpired(hours(1));
    assert_eq!(approve(world.state(), id, &late), Err(refusal));
    let expired = expire(world.state(), hours(2)).unwrap();
    assert_eq!(
        words(&expired),
        ["cancelled 0 nobody approved the plan in time"]
    );
    let in_time = world.at_conditions(hours(1));
    let approved = approve(world.state(), id, &in_time).unwrap();
    assert_eq!(words(&approved), ["approved", "sell AAA"]);
    world.adopt_rebalance(&approved);
    let refusal = approve(world.state(), id, &world.conditions());
    assert!(matches!(refusal, Err(RebalanceRefusal::Illegal(_))));
    world.fill_all();
    assert!(world.plan().orders.is_empty());
}

#[test]
fn a_cancelled_rebalance_closes_the_order_on_its_way_and_keeps_what_was_filled() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let id = world.state().rebalance.as_ref().unwrap().rebalance_id;
    let asked = cancel(world.state(), id, reason("enough"), T0).unwrap();
    assert_eq!(words(&asked), ["cancel requested"]);
    world.adopt_rebalance(&asked);
    assert_eq!(
        cancel(world.state(), id, reason("more"), T0),
        Ok(Vec::new())
    );
    let order = world.open();
    let rebalance = world.state().rebalance.as_ref().unwrap();
    assert_eq!(react(rebalance), Effect::Withdraw(order));
    let outcome = filled(&world);
    assert_eq!(words(&world.report(outcome)), ["executed"]);
    assert_eq!(words(&world.settle_round()), ["cancelled 1 enough"]);
    assert_eq!(world.state().quantity(asset("AAA")), quantity("50"));
    let other = RebalanceId::from_u128(77);
    assert_eq!(
        cancel(world.state(), other, reason("x"), T0),
        Err(RebalanceRefusal::NotThisOne(other))
    );
}

#[test]
fn the_kill_switch_stops_beginnings_and_while_reducing_every_buy() {
    let mut world = one_sell_two_buys();
    let RebalanceEvent::Started(started) = world.start(Trigger::Drift).remove(0) else {
        panic!("it starts");
    };
    let mut idle = one_sell_two_buys();
    idle.mode = TradingMode::Halted;
    let refusal = RebalanceRefusal::Halted;
    let halted = start(idle.state(), started, &idle.conditions());
    assert_eq!(halted, Err(refusal));
    world.mode = TradingMode::Reducing;
    let outcome = filled(&world);
    assert_eq!(words(&world.report(outcome)), ["executed"]);
    assert_eq!(words(&world.settle_round()), ["completed 1"]);
    assert_eq!(world.state().cash, amount("500"));
}

#[test]
fn the_end_follows_what_the_venue_holds() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    while !world.reconciles() {
        let outcome = filled(&world);
        world.report(outcome);
    }
    let mut holdings = world.state().holdings.clone();
    holdings[0].quantity = quantity("49");
    let before = world.state().clone();
    // A holding that the plan has no price for is left to the job.
    let mut strange = holdings.clone();
    strange.push(Holding {
        asset: asset("ZZZ"),
        quantity: quantity("1"),
    });
    world.settle_round_with(Some((amount("10"), strange)));
    assert_eq!(world.state().cash, Amount::ZERO);
    world.index = Some(before);
    let events = world.settle_round_with(Some((amount("10"), holdings)));
    assert!(matches!(events[0], Event::Index(IndexEvent::Reconciled(_))));
    assert_eq!(world.state().cash, amount("10"));
    assert_eq!(world.state().quantity(asset("AAA")), quantity("49"));
    assert_eq!(world.state().rebalance, None);
}

#[test]
fn an_open_order_is_told_once() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    assert_eq!(words(&world.report(OrderOutcome::Accepted)), ["accepted"]);
    assert!(world.report(OrderOutcome::Accepted).is_empty());
    world.report(OrderOutcome::Unknown(reason("timeout")));
    // Found again, and open: nobody has to be asked any more.
    assert_eq!(words(&world.report(OrderOutcome::Accepted)), ["accepted"]);
    let rebalance = world.state().rebalance.as_ref().unwrap();
    assert_eq!(rebalance.phase, Phase::Selling);
}

#[test]
fn a_fee_in_the_asset_comes_off_what_a_buy_brings_and_on_top_of_a_sell() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let mut fill = world.expected_fill(&world.open());
    fill.base_fee = quantity("1");
    world.report(OrderOutcome::Filled(fill));
    assert_eq!(world.state().quantity(asset("AAA")), quantity("49"));
    let mut fill = world.expected_fill(&world.open());
    fill.base_fee = quantity("0.5");
    world.report(OrderOutcome::Filled(fill));
    assert_eq!(world.state().quantity(asset("BBB")), quantity("24.5"));
}

#[test]
fn a_partial_sell_sizes_the_buys_by_what_it_brought() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let mut fill = world.expected_fill(&world.open());
    fill.quantity = quantity("10");
    fill.notional = amount("100");
    fill.fee = amount("2");
    world.report(OrderOutcome::Filled(fill));
    assert_eq!(world.state().cash, amount("98"));
    assert_eq!(world.open().quantity, quantity("4.9"));
}

#[test]
fn fees_and_worse_prices_are_booked_as_the_venue_says() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let fill = fill(&world.open(), percent("1"), percent("1"));
    world.report(OrderOutcome::Filled(fill));
    // 50 units at 9.9 are 495, less 4.95.
    assert_eq!(world.state().cash, amount("490.05"));
    assert_eq!(world.state().quantity(asset("AAA")), quantity("50"));
}

#[test]
fn an_order_of_unknown_fate_is_stuck_once_and_goes_on_when_it_is_known() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let order = world.open();
    let unknown = || OrderOutcome::Unknown(reason("timeout"));
    assert_eq!(words(&world.report(unknown())), ["stuck"]);
    let rebalance = world.state().rebalance.as_ref().unwrap();
    assert_eq!(rebalance.status(), RebalanceStatus::Stuck);
    assert_eq!(react(rebalance), Effect::CarryOut(order));
    assert_eq!(words(&world.report(unknown())), Vec::<String>::new());
    let outcome = filled(&world);
    assert_eq!(words(&world.report(outcome)), ["executed", "buy BBB"]);
    let rebalance = world.state().rebalance.as_ref().unwrap();
    assert_eq!(rebalance.status(), RebalanceStatus::Executing);
}

#[test]
fn a_report_fits_only_the_open_order() {
    let mut world = one_sell_two_buys();
    let refusal = Err(RebalanceRefusal::NotRunning);
    assert_eq!(world.try_report(1, refused("x")), refusal);
    world.start(Trigger::Drift);
    let first = filled(&world);
    for step in [0, 2] {
        let refusal = Err(RebalanceRefusal::NotOpen(step));
        assert_eq!(world.try_report(step, first.clone()), refusal);
    }
    world.report(first.clone());
    // The same answer again: its order is closed.
    assert_eq!(
        world.try_report(1, first),
        Err(RebalanceRefusal::NotOpen(1))
    );
}

#[test]
fn a_fill_beyond_holdings_or_cash_is_refused_and_changes_nothing() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let whole = world.expected_fill(&world.open());
    let spoil = |change: fn(&mut Fill)| {
        let mut fill = whole;
        change(&mut fill);
        OrderOutcome::Filled(fill)
    };
    for outcome in [
        spoil(|fill| fill.quantity = quantity("100.000000000001")),
        spoil(|fill| fill.quantity = quantity("-1")),
        spoil(|fill| fill.notional = amount("-1")),
        spoil(|fill| fill.fee = amount("501")),
    ] {
        let refusal = RebalanceRefusal::Arithmetic(ArithmeticError);
        assert_eq!(world.try_report(1, outcome), Err(refusal));
    }
    // More than ordered is what it is, as long as it is there.
    let outcome = spoil(|fill| fill.quantity = quantity("60"));
    world.report(outcome);
    assert_eq!(world.state().quantity(asset("AAA")), quantity("40"));
    let mut dear = world.expected_fill(&world.open());
    dear.notional = amount("500.01");
    let refusal = RebalanceRefusal::Arithmetic(ArithmeticError);
    assert_eq!(
        world.try_report(2, OrderOutcome::Filled(dear)),
        Err(refusal)
    );
}

#[test]
fn a_fill_of_nothing_is_a_failed_trade() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let mut fill = world.expected_fill(&world.open());
    (fill.quantity, fill.notional) = (Quantity::ZERO, Amount::ZERO);
    let events = world.report(OrderOutcome::Filled(fill));
    assert_eq!(words(&events)[0], "trade failed");
}

#[test]
fn limits_follow_the_largest_slippage_and_the_cash_there() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    assert_eq!(world.open().limit, price("9.9"));
    let outcome = filled(&world);
    world.report(outcome);
    // 500 there for 25 units: the slippage decides.
    assert_eq!(world.open().limit, price("10.1"));
    let outcome = filled(&world);
    world.report(outcome);
    // 250 there for 25 units: the cash decides.
    assert_eq!(world.open().limit, price("10"));
}

#[test]
fn only_one_rebalance_runs_and_only_on_prices_of_every_asset() {
    let mut world = one_sell_two_buys();
    let RebalanceEvent::Started(started) = world.start(Trigger::Drift).remove(0) else {
        panic!("it starts");
    };
    let refusal = RebalanceRefusal::AlreadyRunning(started.rebalance_id);
    assert_eq!(
        start(world.state(), started.clone(), &world.conditions()),
        Err(refusal)
    );
    let mut blind = started;
    blind.prices.pop();
    let refusal = RebalanceRefusal::Arithmetic(ArithmeticError);
    let idle = one_sell_two_buys();
    assert_eq!(start(idle.state(), blind, &idle.conditions()), Err(refusal));
}

#[test]
fn cash_that_comes_in_on_the_way_buys_what_was_missing() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    world.when(IndexCommand::Deposit {
        transfer_id: TransferId::from_u128(900),
        funds: Funds::Cash(amount("400")),
        invest: false,
    });
    world.report(refused("closed"));
    assert_eq!(world.open().quantity, quantity("20"));
}

#[test]
fn client_order_ids_are_made_of_rebalance_and_step() {
    let id = RebalanceId::from_u128(255);
    let expected = "reb_000000000000000000000000000000ff-7";
    assert_eq!(client_order_id(id, 7), expected);
}

#[test]
fn drift_after_is_told_at_the_prices_of_the_plan() {
    let mut world = one_sell_two_buys();
    world.start(Trigger::Drift);
    let mut last = Vec::new();
    while !world.reconciles() {
        let outcome = filled(&world);
        last = world.report(outcome);
    }
    last.extend(world.settle_round());
    let Some(RebalanceEvent::Completed(completed)) = last.last() else {
        panic!("it completes");
    };
    assert_eq!(completed.drift_after, Percent::ZERO);
}
