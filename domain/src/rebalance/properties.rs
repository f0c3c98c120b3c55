//! What holds for every rebalance, whatever the prices, costs, limits and fills.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::drift::{self, Slots};
use crate::index::{Constituent, Index};
use crate::plan::InstrumentRules;
use crate::testing::*;
use crate::values::Percent;

/// An index somewhere off its targets, and the market and the venue that it meets.
#[derive(Debug, Clone)]
struct Scenario {
    /// Per constituent: weight, price in hundredths, held thousandths, lot step.
    lines: Vec<(u32, u32, u32, usize)>,
    cash_weight: u32,
    cash_cents: u32,
    /// A holding without a target: price in hundredths, held thousandths.
    foreign: Option<(u32, u32)>,
    fee: usize,
    slippage: usize,
    min: usize,
    max: Option<u32>,
}

const LOTS: [&str; 6] = ["0.000000000001", "0.00000001", "0.001", "0.01", "1", "10"];
const FEES: [&str; 4] = ["0", "0.1", "0.25", "1"];
const SLIPPAGES: [&str; 3] = ["0", "0.05", "0.5"];
const MINS: [&str; 4] = ["0", "1", "10", "250"];

fn scenario() -> impl Strategy<Value = Scenario> {
    let line = (1..1_000_u32, 1..500_000_u32, 0..200_000_u32, 0..LOTS.len());
    (
        prop::collection::vec(line, 1..7),
        prop_oneof![Just(0), 0..300_u32],
        100_000..10_000_000_u32,
        prop::option::of((1..500_000_u32, 1..50_000_u32)),
        0..FEES.len(),
        0..SLIPPAGES.len(),
        0..MINS.len(),
        prop::option::weighted(0.3, 300..100_000_u32),
    )
        .prop_map(
            |(lines, cash_weight, cash_cents, foreign, fee, slippage, min, max)| Scenario {
                lines,
                cash_weight,
                cash_cents,
                foreign,
                fee,
                slippage,
                min,
                max,
            },
        )
}

/// The same without costs, limits and coarse lots.
fn frictionless() -> impl Strategy<Value = Scenario> {
    scenario().prop_map(|mut scenario| {
        scenario.lines.iter_mut().for_each(|line| line.3 = 0);
        (scenario.fee, scenario.slippage, scenario.min) = (0, 0, 0);
        scenario.max = None;
        scenario
    })
}

fn symbol(at: usize) -> String {
    format!("A{at}")
}

impl Scenario {
    fn world(&self) -> World {
        let mut definition = definition(&[("A0", "100")]);
        let sum: u32 = self.lines.iter().map(|line| line.0).sum::<u32>() + self.cash_weight;
        let weight = |weight: u32| {
            let percent = Decimal::from(weight) * Decimal::ONE_HUNDRED / Decimal::from(sum);
            Percent::new(percent.round_dp(4).max(Decimal::new(1, 4)))
        };
        definition.constituents = (0..self.lines.len())
            .map(|at| Constituent::new(asset(&symbol(at)), weight(self.lines[at].0)))
            .collect();
        let invested = definition.constituents.iter().map(|c| c.target.get());
        let cash = Decimal::ONE_HUNDRED - invested.sum::<Decimal>();
        definition.cash_percentage = Percent::new(if self.cash_weight == 0 {
            Decimal::ZERO
        } else {
            cash.max(Decimal::ZERO)
        });
        definition.risk.min_trade_notional = amount(MINS[self.min]);
        definition.risk.max_trade_notional = self.max.map(|max| amount(&max.to_string()));
        let mut world = given(definition)
            .rules(self.rules())
            .cash(&Decimal::new(self.cash_cents.into(), 2).to_string());
        let mut prices = Vec::new();
        let held = self.lines.iter().map(|line| (line.1, line.2));
        for (at, (cents, held)) in held.chain(self.foreign).enumerate() {
            if held > 0 {
                world = world.holding(&symbol(at), &Decimal::new(held.into(), 3).to_string());
            }
            prices.push((symbol(at), Decimal::new(cents.into(), 2).to_string()));
        }
        let prices: Vec<_> = prices
            .iter()
            .map(|(a, p)| (a.as_str(), p.as_str()))
            .collect();
        world.prices(1, &prices)
    }

    fn rules(&self) -> impl Fn(Asset) -> InstrumentRules + 'static {
        let lots = self.lines.iter().enumerate();
        let lots: BTreeMap<_, _> = lots
            .map(|(at, line)| (asset(&symbol(at)), quantity(LOTS[line.3])))
            .collect();
        let (fee, slippage) = (percent(FEES[self.fee]), percent(SLIPPAGES[self.slippage]));
        move |asset| InstrumentRules {
            lot_step: lots.get(&asset).copied().unwrap_or(quantity(LOTS[0])),
            fee,
            slippage,
            ..free(asset)
        }
    }
}

fn total(index: &Index, world: &World) -> Amount {
    let report = drift::report(index, &world.prices);
    report.map_or(Amount::ZERO, |report| report.total_value)
}

/// One outcome out of many: whole, at the limit, in part, refused, never sent, unknown at first.
fn outcome(world: &mut World, kind: u8) -> OrderOutcome {
    let order = world.open();
    let whole = world.expected_fill(&order);
    let scaled = |quantity: Quantity, price: Price| {
        let notional = quantity.value_at(price).unwrap();
        let fee = notional.percent((world.rules)(order.asset).fee).unwrap();
        OrderOutcome::Filled(Fill {
            quantity,
            price,
            notional,
            fee,
            base_fee: Quantity::ZERO,
        })
    };
    match kind % 8 {
        0 => OrderOutcome::Refused(Reason::optional("not today").unwrap()),
        1 => OrderOutcome::NotSent(Reason::optional("no way through").unwrap()),
        2 => scaled(order.quantity, order.limit),
        3 => {
            let half = order.quantity.get() / Decimal::TWO;
            scaled(Quantity::new(half.round_dp(12)), order.price)
        }
        4 => {
            world.report(OrderOutcome::Unknown(Reason::default()));
            assert!(
                world
                    .report(OrderOutcome::Unknown(Reason::default()))
                    .is_empty()
            );
            OrderOutcome::Filled(whole)
        }
        _ => OrderOutcome::Filled(whole),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn weights_equal_targets_without_costs_and_lots(scenario in frictionless()) {
        let mut world = scenario.world();
        let before = total(world.state(), &world);
        world.rebalance();
        let report = drift::report(world.state(), &world.prices).unwrap();
        prop_assert!(report.total_value == before);
        for line in report.assets {
            prop_assert!(line.drift.abs() <= percent("0.000000001"), "{line:?}");
        }
    }

    #[test]
    fn a_plan_at_target_is_empty(scenario in frictionless()) {
        let mut world = scenario.world();
        world.rebalance();
        let plan = world.plan();
        prop_assert!(plan.orders.is_empty(), "{plan:?}");
    }

    #[test]
    fn a_plan_after_a_rebalance_without_fees_is_empty(mut scenario in scenario()) {
        (scenario.fee, scenario.slippage, scenario.max) = (0, 0, None);
        let mut world = scenario.world();
        world.rebalance();
        let plan = world.plan();
        prop_assert!(plan.orders.is_empty(), "{:?} {plan:?}", world.state());
    }

    #[test]
    fn costs_below_the_minimum_cause_no_second_rebalance(mut scenario in scenario()) {
        scenario.lines.iter_mut().for_each(|line| line.3 = 0);
        scenario.max = None;
        let mut world = scenario.world();
        // A line that just misses the minimum may pass it when the total shrinks: no oscillation.
        let plan = world.plan();
        let traded = |asset| plan.orders.iter().any(|order| order.asset == asset);
        let waits = plan.skipped.iter().any(|line| !traded(line.asset));
        let before = total(world.state(), &world);
        world.rebalance();
        let lost = before.sub(total(world.state(), &world)).unwrap();
        if lost < world.state().definition.risk.min_trade_notional && !waits {
            let plan = world.plan();
            prop_assert!(plan.orders.is_empty(), "{plan:?}");
        }
    }

    #[test]
    fn rebalances_at_the_same_prices_come_to_rest(scenario in scenario()) {
        let mut world = scenario.world();
        let mut rounds = 0;
        while !world.plan().orders.is_empty() {
            world.rebalance();
            rounds += 1;
            // Largest trades take as many rounds as they need; without them it is soon quiet.
            prop_assert!(rounds < 100 || scenario.max.is_some(), "{:?}", world.plan());
            if rounds == 100 {
                break;
            }
        }
    }

    #[test]
    fn whatever_the_venue_does_the_books_stay_at_zero_or_above(
        scenario in scenario(),
        kinds in prop::collection::vec(any::<u8>(), 400),
    ) {
        let mut world = scenario.world();
        world.start(Trigger::Manual);
        let planned = world.state().rebalance.as_ref().map_or(0, |r| r.plan.orders.len());
        let mut bought = false;
        for kind in kinds {
            if world.state().rebalance.is_none() {
                break;
            }
            if world.reconciles() {
                world.settle_round();
                bought = false;
                continue;
            }
            let order = world.open();
            prop_assert!(!bought || order.side == Side::Buy, "a sell after a buy");
            bought |= order.side == Side::Buy;
            if order.side == Side::Sell {
                prop_assert!(order.quantity <= world.state().quantity(order.asset));
            }
            let outcome = outcome(&mut world, kind);
            world.report(outcome);
            let state = world.state();
            prop_assert!(state.cash >= Amount::ZERO);
            prop_assert!(state.holdings.iter().all(|h| h.quantity.is_positive()));
        }
        prop_assert!(world.state().rebalance.is_none(), "{planned} orders take as many steps");
    }

    #[test]
    fn drifts_sum_to_zero_and_the_headline_agrees(
        first in scenario(), second in scenario(),
    ) {
        // The same slots serve another index: they must find out that they do not fit.
        let mut slots = Slots::default();
        for world in [first.world(), second.world(), first.world()] {
            let index = world.state();
            let report = drift::report(index, &world.prices).unwrap();
            let headline = drift::headline(index, &world.prices, &mut slots).unwrap();
            prop_assert_eq!(headline.drift, report.drift);
            prop_assert_eq!(headline.worst, report.worst);
            prop_assert_eq!(headline.total_value, report.total_value);
            let largest = report.assets.iter().map(|line| line.drift.abs()).max();
            prop_assert_eq!(Some(report.drift), largest);
            let weight = index.cash.percent_of(report.total_value).unwrap();
            let cash = weight.sub(index.definition.cash_percentage).unwrap();
            let drifts = report.assets.iter().map(|line| line.drift.get());
            let sum = drifts.clone().sum::<Decimal>() + cash.get();
            prop_assert!(sum.abs() < Decimal::new(1, 18), "{sum}");
            let half = (drifts.map(|d| d.abs()).sum::<Decimal>() + cash.get().abs()) / Decimal::TWO;
            prop_assert!((half - report.turnover.get()).abs() < Decimal::new(1, 18));
        }
    }
}
