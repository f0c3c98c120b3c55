//! 100,000 plans of random indexes: what a venue, an owner and the books demand holds for all.
//!
//! Every plan comes from a seed of its own, which is told when it breaks a rule.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use std::collections::BTreeMap;

use super::*;
use crate::drift::Basis;
use crate::index::{Band, Constituent, Definition, Destination, DriftMeasure, Funds, Scope};
use crate::testing::*;
use crate::values::ArithmeticError;

/// Plans in all; the seeds are 0 to this.
const PLANS: u64 = 100_000;

/// Threads that share them.
const THREADS: u64 = 2;

/// `SplitMix64` (Steele, Lea, Flood 2014): good enough to choose numbers, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn decimal(&mut self, end: u64, scale: u32) -> Decimal {
        Decimal::new(i64::try_from(self.below(end)).unwrap(), scale)
    }
}

const LOTS: [&str; 7] = [
    "0",
    "0.000000000001",
    "0.00000001",
    "0.001",
    "0.01",
    "1",
    "10",
];
const TICKS: [&str; 5] = ["0", "0", "0.000001", "0.01", "0.5"];
const COSTS: [&str; 5] = ["0", "0", "0.1", "0.25", "1"];
const MINS: [&str; 5] = ["0", "0", "1", "10", "250"];

/// A random index, the prices it meets, and the venue's rules.
struct Case {
    world: World,
    rules: BTreeMap<Asset, InstrumentRules>,
}

fn rules(dice: &mut Dice, price: Decimal) -> InstrumentRules {
    let tick = dice.pick(&TICKS);
    InstrumentRules {
        lot_step: quantity(dice.pick(&LOTS)),
        // A price below some ticks is none that the venue could have.
        tick_size: Price::new(tick.parse().unwrap())
            .min(Price::new((price / Decimal::TEN).round_dp(6))),
        min_quantity: quantity(dice.pick(&["0", "0", "0.5", "2"])),
        min_notional: amount(dice.pick(&MINS)),
        max_notional: dice
            .one_in(4)
            .then(|| Amount::new(dice.decimal(5_000_000, 2) + Decimal::from(100))),
        fee: percent(dice.pick(&COSTS)),
        slippage: percent(dice.pick(&["0", "0", "0.05", "0.5"])),
    }
}

fn band(dice: &mut Dice) -> Option<Band> {
    let width = Percent::new(dice.decimal(2_000, 2) + Decimal::new(1, 2));
    match dice.below(5) {
        0 => Some(Band::Absolute { width }),
        1 => Some(Band::Relative { width }),
        2 => Some(Band::FiveTwentyFive),
        _ => None,
    }
}

fn parameters(dice: &mut Dice, definition: &mut Definition) {
    let rebalancing = &mut definition.rebalancing;
    rebalancing.drift_threshold = Percent::new(dice.decimal(1_500, 2));
    rebalancing.measure = dice.pick(&[
        DriftMeasure::Absolute,
        DriftMeasure::Relative,
        DriftMeasure::Turnover,
    ]);
    rebalancing.scope = dice.pick(&[Scope::Index, Scope::Breaching]);
    let fraction = Percent::new(dice.decimal(10_001, 2));
    rebalancing.destination = dice.pick(&[
        Destination::Target,
        Destination::BandEdge,
        Destination::Fraction { percent: fraction },
    ]);
    let risk = &mut definition.risk;
    risk.min_trade_notional = amount(dice.pick(&MINS));
    risk.min_trade_percent = percent(dice.pick(&["0", "0", "0.1", "1"]));
    risk.max_turnover = dice
        .one_in(4)
        .then(|| Percent::new(dice.decimal(5_000, 2) + Decimal::new(1, 2)));
    let max = Amount::new(dice.decimal(10_000_000, 2) + Decimal::from(300));
    risk.max_trade_notional = dice.one_in(4).then_some(max);
    if dice.one_in(4) {
        risk.cash_buffer = Amount::new(dice.decimal(1_000_000, 2));
    }
}

fn case(seed: u64) -> Case {
    let mut dice = Dice(seed);
    let count = 1 + dice.below(6);
    let mut definition = definition(&[("A0", "100")]);
    parameters(&mut dice, &mut definition);
    let weights: Vec<u64> = (0..count).map(|_| 1 + dice.below(1_000)).collect();
    let cash_weight = if dice.one_in(3) { dice.below(300) } else { 0 };
    let sum = Decimal::from(weights.iter().sum::<u64>() + cash_weight);
    let mut left = Decimal::ONE_HUNDRED;
    let mut lines = Vec::new();
    for (at, weight) in weights.iter().enumerate() {
        let share = Decimal::from(*weight) * Decimal::ONE_HUNDRED / sum;
        let share = share.round_dp(4).max(Decimal::new(1, 4)).min(left);
        let is_last = at + 1 == weights.len() && cash_weight == 0;
        let target = Percent::new(if is_last { left } else { share });
        left -= target.get();
        let mut line = Constituent::new(asset(&format!("A{at}")), target);
        line.band = band(&mut dice);
        line.locked = at > 0 && dice.one_in(6);
        lines.push(line);
    }
    definition.constituents = lines.into();
    definition.cash_percentage = Percent::new(left);
    let mut world = given(definition);
    let mut rules_of = BTreeMap::new();
    let mut prices = Vec::new();
    let foreign = u64::from(dice.one_in(4));
    for at in 0..count + foreign {
        let symbol = format!("A{at}");
        let most = dice.pick(&[20_000, 20_000, 5_000_000]);
        let price = Decimal::new(1, 2) + dice.decimal(most, 2);
        rules_of.insert(asset(&symbol), rules(&mut dice, price));
        let held = Decimal::from(dice.below(50_000)) / price;
        let held = held.trunc_with_scale(dice.pick(&[0, 3, 12]));
        if !held.is_zero() && !dice.one_in(5) {
            world = world.holding(&symbol, &held.to_string());
        }
        prices.push((symbol, price.to_string()));
    }
    let invest = dice.one_in(4);
    let cash = dice.decimal(if invest { 20_000_000 } else { 200_000 }, 2);
    if !cash.is_zero() {
        world.deposit_unsettled(Funds::Cash(Amount::new(cash)), invest);
        world.settle();
    }
    let prices: Vec<_> = prices
        .iter()
        .map(|(a, p)| (a.as_str(), p.as_str()))
        .collect();
    let table = rules_of.clone();
    let world = world
        .prices(1, &prices)
        .rules(move |asset| table.get(&asset).copied().unwrap_or(InstrumentRules::NONE));
    Case {
        world,
        rules: rules_of,
    }
}

impl Case {
    fn plan(&self) -> Result<TradePlan, DriftError> {
        plan(self.world.state(), &self.world.prices, &*self.world.rules)
    }

    fn risk(&self) -> crate::index::Risk {
        self.world.state().definition.risk
    }

    fn is_locked(&self, asset: Asset) -> bool {
        let mut lines = self.world.state().definition.constituents.iter();
        lines.any(|line| line.asset == asset && line.locked)
    }
}

fn sum(orders: &[PlannedOrder], side: Side) -> Amount {
    let orders = orders.iter().filter(|order| order.side == side);
    orders.fold(Amount::ZERO, |sum, order| sum.add(order.notional).unwrap())
}

/// Lots, ticks, minima and maxima of every order, and the price limits that go with it.
fn meets_the_rules(case: &Case, plan: &TradePlan) {
    let (risk, purse) = (case.risk(), Amount::new(Decimal::from(1_000_000_000)));
    for order in &plan.orders {
        let rules = case.rules[&order.asset];
        assert!(order.quantity.is_positive() && !case.is_locked(order.asset));
        let lot = rules.lot_step.get().max(Quantity::FINEST.get());
        assert!((order.quantity.get() % lot).is_zero(), "lots: {order:?}");
        assert!(order.quantity >= rules.min_quantity, "too few: {order:?}");
        assert_eq!(
            order.notional,
            order.quantity.value_at(order.price).unwrap()
        );
        let min = risk.min_trade_notional.max(rules.min_notional);
        assert!(order.notional >= min, "too small: {order:?}");
        for max in [risk.max_trade_notional, rules.max_notional]
            .into_iter()
            .flatten()
        {
            assert!(order.notional <= max, "too large: {order:?}");
        }
        let limits = Limits::new(rules, &risk);
        let expected = limits.expected(order.side, order.price).unwrap();
        let (limit, fills) = match order.side {
            Side::Sell => {
                let limit = limits.sell_limit(order.price, risk.max_slippage).unwrap();
                (limit, limit <= expected)
            }
            Side::Buy => {
                let limit = limits.buy_limit(order, purse, risk.max_slippage).unwrap();
                (limit, limit >= expected)
            }
        };
        assert!(fills, "{limit:?} would not fill at {expected:?}");
        let tick = rules.tick_size.get();
        assert!(
            tick.is_zero() || (limit.get() % tick).is_zero(),
            "ticks: {limit:?}"
        );
    }
}

/// Sells come first and are held, buys are paid, and the turnover stays within its limit.
fn stays_within(case: &Case, plan: &TradePlan, total: Amount) {
    let index = case.world.state();
    let buys_begin = plan.orders.iter().position(|order| order.side == Side::Buy);
    let buys_begin = buys_begin.unwrap_or(plan.orders.len());
    assert!(
        plan.orders[buys_begin..]
            .iter()
            .all(|order| order.side == Side::Buy)
    );
    let mut sold: BTreeMap<Asset, Decimal> = BTreeMap::new();
    for order in &plan.orders[..buys_begin] {
        *sold.entry(order.asset).or_default() += order.quantity.get();
    }
    for (asset, sold) in &sold {
        assert!(
            *sold <= index.quantity(*asset).get(),
            "{asset} is sold short"
        );
        let buys = &plan.orders[buys_begin..];
        assert!(
            buys.iter().all(|order| order.asset != *asset),
            "{asset} both ways"
        );
    }
    if let Some(max) = case.risk().max_turnover {
        let max = total.percent(max).unwrap();
        assert!(
            sum(&plan.orders, Side::Sell) <= max,
            "sells beyond the turnover"
        );
        assert!(
            sum(&plan.orders, Side::Buy) <= max,
            "buys beyond the turnover"
        );
    }
}

/// Carries a plan out order by order as expected; cash never goes below zero.
fn carry_out(case: &Case, plan: &TradePlan) -> Index {
    let mut index = case.world.state().clone();
    for order in &plan.orders {
        let rules = case.rules[&order.asset];
        let limits = Limits::new(rules, &case.risk());
        let price = limits.expected(order.side, order.price).unwrap();
        let notional = order.quantity.value_at(price).unwrap();
        let fee = notional.percent(rules.fee).unwrap();
        let (quantity, paid) = match order.side {
            Side::Sell => (-order.quantity.get(), notional.sub(fee).unwrap()),
            Side::Buy => (
                order.quantity.get(),
                Amount::ZERO.sub(notional.add(fee).unwrap()).unwrap(),
            ),
        };
        index.cash = index.cash.add(paid).unwrap();
        assert!(index.cash >= Amount::ZERO, "{order:?} is not paid");
        let held = Quantity::new(index.quantity(order.asset).get() + quantity);
        index
            .holdings
            .retain(|holding| holding.asset != order.asset);
        if held.is_positive() {
            index.holdings.push(crate::index::Holding {
                asset: order.asset,
                quantity: held,
            });
        }
        index.holdings.sort_by_key(|holding| holding.asset);
    }
    index
}

/// Every line that is not traded and is off target says why.
fn gives_reasons(case: &Case, plan: &TradePlan) -> Result<(), ArithmeticError> {
    let index = case.world.state();
    let valuation = drift::value(index, &case.world.prices).unwrap();
    let locked = drift::Locked::of(&valuation.lines)?;
    let basis = Basis::new(index, valuation.total, locked).unwrap();
    for line in &valuation.lines {
        let traded = plan.orders.iter().any(|order| order.asset == line.asset);
        let reason = plan
            .skipped
            .iter()
            .find(|skipped| skipped.asset == line.asset);
        let off = !basis.excess(line.value, line.target)?.is_zero();
        // Costs that come off may move a target onto a line that was off by less than them.
        let cost_free = case
            .rules
            .values()
            .all(|r| r.fee.is_zero() && r.slippage.is_zero());
        if off && !traded && (cost_free || plan.orders.is_empty()) {
            assert!(reason.is_some(), "{} is off and says nothing", line.asset);
        }
        if line.locked {
            assert_eq!(reason.map(|line| line.reason), Some(LineReason::Locked));
        }
    }
    Ok(())
}

fn is_for_later(plan: &TradePlan) -> bool {
    plan.skipped.iter().any(|line| {
        matches!(
            line.reason,
            LineReason::TrimmedToTurnover | LineReason::TrimmedToMaxNotional
        )
    })
}

/// Whether the plan of a seed trades; nothing where the index has no value to share out.
fn holds(seed: u64) -> Option<Kind> {
    let mut case = case(seed);
    let first = match case.plan() {
        Ok(plan) => plan,
        Err(DriftError::NoValue) => return None,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(
        case.plan().as_ref(),
        Ok(&first),
        "the same input, the same plan"
    );
    let total = drift::value(case.world.state(), &case.world.prices)
        .unwrap()
        .total;
    meets_the_rules(&case, &first);
    stays_within(&case, &first, total);
    gives_reasons(&case, &first).unwrap();
    let after = carry_out(&case, &first);
    let later = is_for_later(&first);
    // The deposit is invested with the rebalance that carries the plan out.
    case.world.index = Some(after);
    if !later {
        match case.plan() {
            Ok(second) => assert!(second.orders.is_empty(), "{first:?} then {second:?}"),
            Err(DriftError::NoValue) => {}
            Err(other) => panic!("{other}"),
        }
    }
    Some(match (first.orders.is_empty(), later) {
        (true, _) => Kind::Empty,
        (false, true) => Kind::Limited,
        (false, false) => Kind::Whole,
    })
}

/// What a plan turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Limited,
    Whole,
}

fn told(seed: u64) -> Option<Kind> {
    std::panic::catch_unwind(|| holds(seed)).unwrap_or_else(|_| panic!("seed {seed}"))
}

/// Rebalances that are carried out by the rules of `rebalance`, order by order.
const REBALANCES: u64 = 5_000;

#[test]
fn a_plan_after_a_rebalance_is_empty() {
    let mut whole = 0;
    for seed in 0..REBALANCES {
        let Case { mut world, .. } = case(seed);
        let planned = plan(world.state(), &world.prices, &*world.rules);
        let planned = planned.ok().filter(|plan| !plan.orders.is_empty());
        let Some(planned) = planned.filter(|plan| !is_for_later(plan)) else {
            continue;
        };
        world.rebalance();
        match plan(world.state(), &world.prices, &*world.rules) {
            Ok(second) => assert!(
                second.orders.is_empty(),
                "seed {seed}: {planned:?} then {second:?}"
            ),
            Err(error) => assert_eq!(error, DriftError::NoValue, "seed {seed}"),
        }
        whole += 1;
    }
    assert!(whole > REBALANCES / 4, "{whole}");
}

#[test]
fn a_hundred_thousand_plans_keep_every_rule() {
    let count = |thread: u64| {
        let found = (thread..PLANS).step_by(usize::try_from(THREADS).unwrap());
        found.filter_map(told).collect::<Vec<Kind>>()
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || count(thread)))
            .collect();
        let found = threads.into_iter().map(|thread| thread.join().unwrap());
        found.flatten().collect::<Vec<Kind>>()
    });
    // The generator must not have become one of trivial cases.
    for kind in [Kind::Empty, Kind::Limited, Kind::Whole] {
        let share = found.iter().filter(|found| **found == kind).count() * 100 / found.len();
        assert!(share >= 5, "{kind:?}: {share} %");
    }
}
