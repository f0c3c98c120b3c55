//! Given an index, when an owner asks for something, then this happens or is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::rebalance::Trigger;
use crate::testing::*;
use crate::values::{Percent, Span, Text};

const HALVES: [(&str, &str); 2] = [("AAA", "50"), ("BBB", "50")];

fn cash(text: &str) -> Funds {
    Funds::Cash(amount(text))
}

fn units(symbol: &str, text: &str) -> Funds {
    Funds::Asset(asset(symbol), quantity(text))
}

fn deposit(id: u128, funds: Funds) -> IndexCommand {
    IndexCommand::Deposit {
        transfer_id: TransferId::from_u128(id),
        funds,
        invest: true,
    }
}

fn withdraw(id: u128, funds: Funds) -> IndexCommand {
    let transfer_id = TransferId::from_u128(id);
    IndexCommand::Withdraw { transfer_id, funds }
}

fn update(definition: Definition) -> IndexCommand {
    IndexCommand::Update { definition }
}

fn create() -> IndexCommand {
    IndexCommand::Create {
        index_id: IndexId::from_u128(9),
        owner: OwnerId::from_u128(9),
        definition: definition(&HALVES),
    }
}

/// Half invested: a rebalance whose first order is open.
fn running() -> World {
    let mut world = given(definition(&HALVES))
        .cash("1000")
        .prices(1, &[("AAA", "10"), ("BBB", "10")]);
    world.start(Trigger::Manual);
    world
}

fn targets(weights: &[&str], cash: &str) -> Result<Vec<String>, DefinitionError> {
    let mut definition = definition(&HALVES);
    definition.constituents = (0..)
        .zip(weights)
        .map(|(n, weight)| Constituent::new(asset(&format!("A{n}")), percent(weight)))
        .collect();
    definition.cash_percentage = percent(cash);
    let valid = definition.validated()?;
    let all = valid.constituents.iter().map(|c| c.target);
    let sum = all.clone().fold(valid.cash_percentage, |sum, target| {
        sum.add(target).unwrap()
    });
    assert_eq!(sum, Percent::HUNDRED);
    Ok(all
        .chain([valid.cash_percentage])
        .map(|p| p.to_string())
        .collect())
}

#[test]
fn weights_within_the_tolerance_are_normalised_to_exactly_100() {
    for (weights, cash, expected) in [
        (vec!["60", "40"], "0", vec!["60", "40", "0"]),
        (
            vec!["33.33", "33.33", "33.33"],
            "0",
            vec!["33.333333333334", "33.333333333333", "33.333333333333", "0"],
        ),
        (
            vec!["60.01", "40"],
            "0",
            vec!["60.0039996", "39.9960004", "0"],
        ),
        (
            vec!["10", "79.99"],
            "10",
            vec!["10.00100010", "79.9979998", "10.0010001"],
        ),
    ] {
        let found = targets(&weights, cash).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let off = percent(found).sub(percent(expected)).unwrap().abs();
            assert!(off < percent("0.0000001"), "{found} {expected}");
        }
    }
    let thirds = targets(&["33.33", "33.33", "33.33"], "0").unwrap();
    assert_eq!(thirds[0], "33.333333333334");
}

#[test]
fn weights_beyond_the_tolerance_are_refused_with_their_sum() {
    for (weights, cash, sum) in [
        (["60", "40.02"], "0", "100.02"),
        (["60", "39.98"], "0", "99.98"),
        (["60", "40"], "1", "101"),
    ] {
        let sum = percent(sum);
        let refused = targets(&weights, cash);
        assert_eq!(refused, Err(DefinitionError::WeightsSum { sum }));
    }
}

type Change = fn(&mut Definition);

#[test]
fn a_definition_names_the_field_and_the_rule_that_it_breaks() {
    let table: [(Change, &str); 15] = [
        (
            |d| d.constituents.edit(Vec::clear),
            "at least one constituent",
        ),
        (
            |d| d.constituents.edit(|lines| *lines = vec![lines[0]; 201]),
            "at most 200",
        ),
        (
            |d| d.constituents.edit(|lines| lines[1].asset = asset("AAA")),
            "asset AAA stands more than once",
        ),
        (
            |d| d.constituents.edit(|lines| lines[0].target = Percent::ZERO),
            "percentage of AAA must be greater",
        ),
        (
            |d| d.constituents.edit(|lines| lines[0].target = percent("-5")),
            "percentage of AAA must be greater",
        ),
        (
            |d| d.cash_percentage = percent("-1"),
            "cashPercentage must be from 0",
        ),
        (
            |d| d.cash_percentage = percent("100"),
            "cashPercentage must be from 0",
        ),
        (
            |d| d.rebalancing.drift_threshold = percent("100.1"),
            "driftThreshold must be",
        ),
        (
            |d| d.rebalancing.min_interval = Span::ZERO,
            "minInterval must be longer",
        ),
        (
            |d| d.rebalancing.max_interval = Span::ZERO,
            "maxInterval must be longer",
        ),
        (
            |d| d.risk.min_trade_notional = amount("-1"),
            "minTradeNotional must be 0 or more",
        ),
        (
            |d| d.risk.max_trade_notional = Some(amount("0.5")),
            "maxTradeNotional must",
        ),
        (
            |d| d.risk.max_slippage = percent("101"),
            "maxSlippage must be from 0 to 100",
        ),
        (|d| d.tags = vec![Text::default(); 21], "at most 20 tags"),
        (|d| d.tags = vec![Text::default()], "tags must"),
    ];
    for (change, expected) in table {
        let mut definition = definition(&HALVES);
        change(&mut definition);
        let refused = definition.validated().unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn bands_locks_and_limits_name_the_field_and_the_rule_that_they_break() {
    let table: [(Change, &str); 8] = [
        (
            |d| {
                d.constituents.edit(|lines| {
                    lines[1].band = Some(Band::Absolute {
                        width: Percent::ZERO,
                    });
                });
            },
            "band of BBB must have a width above 0",
        ),
        (
            |d| {
                d.constituents.edit(|lines| {
                    lines[0].band = Some(Band::Relative {
                        width: percent("100.1"),
                    });
                });
            },
            "band of AAA must have a width above 0 and at most 100, got 100.1",
        ),
        (
            |d| {
                d.constituents
                    .edit(|lines| lines.iter_mut().for_each(|line| line.locked = true));
            },
            "at least one constituent must not be locked",
        ),
        (
            |d| d.rebalancing.approval = Some(Span::ZERO),
            "approval must be longer",
        ),
        (
            |d| {
                d.rebalancing.destination = Destination::Fraction {
                    percent: percent("-1"),
                };
            },
            "destination must have a percent from 0",
        ),
        (
            |d| d.risk.min_trade_percent = percent("100.5"),
            "minTradePercent must be from 0",
        ),
        (
            |d| d.risk.max_turnover = Some(Percent::ZERO),
            "maxTurnover must be above 0",
        ),
        (
            |d| d.risk.cash_buffer = amount("-0.01"),
            "cashBuffer must be 0 or more",
        ),
    ];
    for (change, expected) in table {
        let mut definition = definition(&HALVES);
        change(&mut definition);
        let refused = definition.validated().unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_decoded_name_is_held_to_the_same_rules_as_a_parsed_one() {
    let config = bincode::config::standard();
    for name in ["", " padded ", "line\nbreak", &"x".repeat(101)] {
        let bytes = bincode::serde::encode_to_vec(name, config).unwrap();
        let mut definition = definition(&HALVES);
        (definition.name, _) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
        let refused = definition.validated();
        assert!(
            matches!(refused, Err(DefinitionError::Limit { field: "name", .. })),
            "{name:?}"
        );
    }
}

#[test]
fn the_first_deposit_activates() {
    let mut world = given(definition(&HALVES));
    assert_eq!(world.state().status, Status::Pending);
    world.when(deposit(1, cash("10")));
    assert_eq!(world.state().status, Status::Active);
    assert!(world.state().investment_due);
    assert_eq!(world.state().transfers.len(), 1);
    world.settle();
    assert_eq!(world.state().transfers.len(), 0);
}

#[test]
fn only_cash_is_due_for_investment() {
    let mut world = given(definition(&HALVES));
    world.when(deposit(1, units("OLD", "3")));
    assert!(!world.state().investment_due);
    assert_eq!(world.state().quantity(asset("OLD")), quantity("3"));
}

#[test]
fn an_investment_is_no_longer_due_when_its_cash_is_withdrawn() {
    let mut world = given(definition(&HALVES)).cash("10");
    world.when(withdraw(90, cash("4")));
    assert!(world.state().investment_due);
    world.when(withdraw(91, cash("6")));
    assert!(!world.state().investment_due);
}

#[test]
fn pause_and_resume_follow_each_other() {
    let world = given(definition(&HALVES));
    let refusal = |status, action| IndexRefusal::Status { status, action };
    world.then_refused(IndexCommand::Pause, &refusal(Status::Pending, "pausing"));
    world.then_refused(IndexCommand::Resume, &refusal(Status::Pending, "resuming"));
    let mut world = world.cash("1");
    world.when(IndexCommand::Pause);
    world.then_refused(IndexCommand::Pause, &refusal(Status::Paused, "pausing"));
    // A paused index still takes funds and changes.
    world.when(deposit(50, cash("1")));
    world.when(withdraw(51, cash("1")));
    world.when(update(definition(&[("AAA", "100")])));
    assert_eq!(world.state().status, Status::Paused);
    world.when(IndexCommand::Resume);
    world.then_refused(IndexCommand::Resume, &refusal(Status::Active, "resuming"));
}

#[test]
fn a_deleted_index_is_not_found_and_its_id_stays_taken() {
    let mut world = given(definition(&HALVES));
    world.when(IndexCommand::Delete);
    for command in [
        IndexCommand::Pause,
        IndexCommand::Resume,
        IndexCommand::Delete,
        update(definition(&HALVES)),
        deposit(1, cash("1")),
        withdraw(1, cash("1")),
    ] {
        world.then_refused(command.clone(), &IndexRefusal::NotFound);
        assert_eq!(decide(None, command, T0), Err(IndexRefusal::NotFound));
    }
    world.then_refused(create(), &IndexRefusal::Exists);
}

#[test]
fn a_running_rebalance_keeps_its_ground() {
    let mut world = running();
    let running = world.state().rebalance.as_ref().unwrap().rebalance_id;
    let refusal = IndexRefusal::RebalanceRunning(running);
    let mut moved = definition(&HALVES);
    moved.account = Text::required("other").unwrap();
    for command in [
        IndexCommand::Delete,
        withdraw(90, cash("1")),
        deposit(90, units("AAA", "1")),
        update(definition(&[("AAA", "100")])),
        update(moved),
    ] {
        world.then_refused(command, &refusal);
    }
    // Cash is only more to buy with; a new name moves nothing; a pause holds the next check.
    world.when(deposit(91, cash("1")));
    let mut renamed = definition(&HALVES);
    renamed.name = Text::required("Renamed").unwrap();
    world.when(update(renamed));
    world.when(IndexCommand::Pause);
}

#[test]
fn withdrawals_stay_within_what_is_there() {
    let mut world = given(definition(&HALVES)).cash("10").holding("AAA", "2");
    world.then_refused(
        withdraw(90, cash("10.01")),
        &IndexRefusal::InsufficientCash {
            asked: amount("10.01"),
            available: amount("10"),
        },
    );
    world.then_refused(
        withdraw(90, units("AAA", "2.1")),
        &IndexRefusal::InsufficientHolding {
            asset: asset("AAA"),
            asked: quantity("2.1"),
            available: quantity("2"),
        },
    );
    for funds in [cash("0"), cash("-1"), units("AAA", "0"), units("AAA", "-1")] {
        world.then_refused(withdraw(90, funds), &IndexRefusal::NotPositive);
        world.then_refused(deposit(90, funds), &IndexRefusal::NotPositive);
    }
    world.when(withdraw(90, cash("10")));
    world.when(withdraw(91, units("AAA", "2")));
    assert_eq!(world.state().cash, Amount::ZERO);
    assert!(world.state().holdings.is_empty());
}

#[test]
fn the_account_stays_while_there_are_funds() {
    let mut moved = definition(&HALVES);
    moved.account = Text::required("other").unwrap();
    let mut world = given(definition(&HALVES));
    world.when(update(moved.clone()));
    let world = given(definition(&HALVES)).cash("1");
    world.then_refused(update(moved), &IndexRefusal::AccountInUse);
}

#[test]
fn transfers_on_their_way_are_bounded_and_hold_a_deletion() {
    let mut world = given(definition(&HALVES));
    for id in 1..=16 {
        world.when(deposit(id, cash("1")));
    }
    world.then_refused(deposit(17, cash("1")), &IndexRefusal::TooManyTransfers(16));
    let first = IndexRefusal::TransferPending(TransferId::from_u128(1));
    world.then_refused(IndexCommand::Delete, &first);
    // Asked again, a transfer on its way is booked already.
    assert!(world.when(deposit(16, cash("1"))).is_empty());
    assert_eq!(world.state().cash, amount("16"));
    let transfer_id = TransferId::from_u128(1);
    world.when(IndexCommand::SettleTransfer { transfer_id });
    assert!(
        world
            .when(IndexCommand::SettleTransfer { transfer_id })
            .is_empty()
    );
    world.when(deposit(17, cash("1")));
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let mut world = given(definition(&HALVES));
    let most = rust_decimal::Decimal::MAX;
    world.when(deposit(1, Funds::Cash(Amount::new(most))));
    let refusal = IndexRefusal::Arithmetic(crate::values::ArithmeticError);
    world.then_refused(deposit(2, Funds::Cash(Amount::new(most))), &refusal);
}

#[test]
fn what_changes_holdings_cash_or_definition_makes_drift_news_again() {
    let noticed = || {
        let mut world = given(definition(&HALVES))
            .cash("10")
            .holding("AAA", "6")
            .holding("BBB", "4")
            .prices(7, &[("AAA", "100"), ("BBB", "100")]);
        world.check();
        assert_eq!(world.state().noticed_seq, Some(7));
        world
    };
    for command in [
        update(definition(&HALVES)),
        deposit(90, cash("1")),
        withdraw(90, cash("1")),
        withdraw(90, units("AAA", "1")),
    ] {
        let mut world = noticed();
        world.when(command);
        assert_eq!(world.state().noticed_seq, None);
    }
    let mut world = noticed();
    world.rebalance();
    assert_eq!(world.state().noticed_seq, None);
}

#[test]
fn events_before_the_first_change_nothing() {
    let mut index = None;
    apply(&mut index, &IndexEvent::Paused(IndexPaused { at: T0 }));
    assert_eq!(index, None);
}
