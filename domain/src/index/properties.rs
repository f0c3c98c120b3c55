//! Whatever owners, checks and venues do, in any order: the books hold, and the log tells the
//! same story again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use proptest::prelude::*;

use super::*;
use crate::Event;
use crate::check::Verdict;
use crate::plan::InstrumentRules;
use crate::rebalance::{OrderOutcome, Phase, Reason};
use crate::testing::*;
use crate::values::Span;

/// Something that happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Deposit(u32, bool),
    DepositAsset(u8, u32),
    Withdraw(u32),
    WithdrawAsset(u8, u32),
    Settle,
    Update(u8),
    Pause,
    Resume,
    Delete,
    Prices([u16; 3], u64),
    Check,
    Start,
    Report(u8),
    Forged(u32, i64, i64),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..1_000_000_u32, any::<bool>()).prop_map(|(n, invest)| Step::Deposit(n, invest)),
        2 => (0..4_u8, 0..10_000_u32).prop_map(|(a, n)| Step::DepositAsset(a, n)),
        2 => (0..500_000_u32).prop_map(Step::Withdraw),
        1 => (0..4_u8, 0..10_000_u32).prop_map(|(a, n)| Step::WithdrawAsset(a, n)),
        6 => Just(Step::Settle),
        1 => (0..4_u8).prop_map(Step::Update),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => (0..40_u8).prop_map(|n| if n == 0 { Step::Delete } else { Step::Check }),
        4 => (prop::array::uniform3(0..500_u16), any::<u64>()).prop_map(|(p, s)| Step::Prices(p, s)),
        6 => Just(Step::Check),
        3 => Just(Step::Start),
        14 => any::<u8>().prop_map(Step::Report),
        1 => (any::<u32>(), any::<i64>(), any::<i64>()).prop_map(|(s, q, n)| Step::Forged(s, q, n)),
        2 => (0..200_000_000_u32).prop_map(Step::Wait),
    ]
}

const SYMBOLS: [&str; 4] = ["AAA", "BBB", "CCC", "OLD"];

fn weights(kind: u8) -> Definition {
    let mut definition = match kind {
        0 => definition(&[("AAA", "50"), ("BBB", "50")]),
        1 => definition(&[("AAA", "30"), ("BBB", "30"), ("CCC", "30")]),
        2 => definition(&[("CCC", "100")]),
        _ => definition(&[("BBB", "12.34"), ("AAA", "80")]),
    };
    definition.rebalancing.method = match kind {
        0 => Method::Hybrid,
        1 => Method::Drift,
        2 => Method::None,
        _ => Method::Daily,
    };
    definition
}

fn hundredths(n: impl Into<i64>) -> String {
    rust_decimal::Decimal::new(n.into(), 2).to_string()
}

fn command(world: &mut World, step: &Step) -> Option<IndexCommand> {
    let units =
        |at: u8, n: u32| Funds::Asset(asset(SYMBOLS[usize::from(at)]), quantity(&hundredths(n)));
    let cash = |n: u32| Funds::Cash(amount(&hundredths(n)));
    let transfer_id = TransferId::from_u128(world.next_id());
    let deposit = |funds, invest| IndexCommand::Deposit {
        transfer_id,
        funds,
        invest,
    };
    let withdraw = |funds| IndexCommand::Withdraw { transfer_id, funds };
    Some(match *step {
        Step::Deposit(n, invest) => deposit(cash(n), invest),
        Step::DepositAsset(at, n) => deposit(units(at, n), true),
        Step::Withdraw(n) => withdraw(cash(n)),
        Step::WithdrawAsset(at, n) => withdraw(units(at, n)),
        Step::Update(kind) => IndexCommand::Update {
            definition: weights(kind),
        },
        Step::Pause => IndexCommand::Pause,
        Step::Resume => IndexCommand::Resume,
        Step::Delete => IndexCommand::Delete,
        _ => return None,
    })
}

/// Takes a step; refusals are fine, panics are not.
fn take(world: &mut World, step: &Step) {
    if let Some(command) = command(world, step) {
        if let Ok(events) = world.try_command(command) {
            world.adopt(&events);
        }
        return;
    }
    match step {
        Step::Settle if world.state().status != Status::Deleted => world.settle(),
        Step::Prices(prices, seq) => {
            let texts = prices.map(|p| {
                if p == 0 {
                    "missing".to_owned()
                } else {
                    hundredths(p)
                }
            });
            let [a, b, c] = &texts;
            world.prices = snapshot(
                *seq,
                &[("AAA", a.as_str()), ("BBB", b), ("CCC", c), ("OLD", "3")],
            );
        }
        Step::Check => {
            if let Verdict::Rebalance(trigger) = world.check().verdict {
                world.start(trigger);
            }
        }
        Step::Start
            if world.state().rebalance.is_none()
                && crate::drift::report(world.state(), &world.prices).is_ok() =>
        {
            world.start(crate::rebalance::Trigger::Manual);
        }
        Step::Report(_) if world.reconciles() => {
            world.settle_round();
        }
        Step::Report(kind) if world.state().rebalance.is_some() => {
            let order = world.open();
            let outcome = match kind % 8 {
                0 => OrderOutcome::Refused(Reason::default()),
                1 => OrderOutcome::Unknown(Reason::default()),
                2 => OrderOutcome::NotSent(Reason::default()),
                _ => OrderOutcome::Filled(world.expected_fill(&order)),
            };
            world.report(outcome);
        }
        Step::Forged(step, quantity, notional) => {
            let outcome = OrderOutcome::Filled(crate::rebalance::Fill {
                quantity: Quantity::new((*quantity).into()),
                price: price("1"),
                notional: Amount::new((*notional).into()),
                fee: Amount::ZERO,
                base_fee: Quantity::ZERO,
            });
            if let Ok(events) = world.try_report(step % 4, outcome) {
                world.adopt_rebalance(&events);
            }
        }
        Step::Wait(ms) => world.now = world.now.plus(Span::from_millis(u64::from(*ms))),
        _ => {}
    }
}

fn holds_together(index: &Index) {
    assert!(index.cash >= Amount::ZERO);
    assert!(index.holdings.iter().all(|h| h.quantity.is_positive()));
    assert!(index.holdings.is_sorted_by(|a, b| a.asset < b.asset));
    assert!(index.transfers.len() <= TRANSFERS_MAX);
    if let Some(rebalance) = &index.rebalance {
        let on_its_way = matches!(
            rebalance.phase,
            Phase::Selling | Phase::Buying | Phase::Stuck
        );
        assert_eq!(rebalance.open.is_some(), on_its_way);
        assert!(
            !rebalance.phase.is_terminal(),
            "what ended leaves the index"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_life_holds_together_and_its_log_tells_it_again(
        steps in prop::collection::vec(step(), 1..120), costs in 0..3_u8,
    ) {
        let mut world = given(weights(0)).rules(move |asset| InstrumentRules {
            fee: percent(["0", "0.1", "1"][usize::from(costs)]),
            slippage: percent(["0", "0.05", "0.5"][usize::from(costs)]),
            lot_step: quantity(["0.000000000001", "0.01", "1"][usize::from(costs)]),
            ..free(asset)
        });
        for step in &steps {
            take(&mut world, step);
            holds_together(world.state());
        }
        let mut again = None;
        for event in &world.log {
            match event {
                Event::Index(event) => apply(&mut again, event),
                Event::Rebalance(event) => apply_rebalance(&mut again, event),
                other => panic!("{other:?} is no event of an index"),
            }
        }
        prop_assert_eq!(again, world.index);
    }

    #[test]
    fn a_log_in_any_order_never_panics(
        steps in prop::collection::vec(step(), 1..60), order in any::<prop::sample::Index>(),
    ) {
        let mut world = given(weights(1)).prices(1, &[("AAA", "1"), ("BBB", "2"), ("CCC", "3")]);
        for step in &steps {
            take(&mut world, step);
        }
        // Torn apart at any point and told the wrong way round.
        let cut = order.index(world.log.len());
        let mut index = None;
        for event in world.log[cut..].iter().chain(world.log[..cut].iter().rev()) {
            match event {
                Event::Index(event) => apply(&mut index, event),
                Event::Rebalance(event) => apply_rebalance(&mut index, event),
                other => panic!("{other:?} is no event of an index"),
            }
        }
    }
}
