//! What a plan is expected to cost, by the rules of its venue.
//!
//! ```text
//! slippage  notional × slippage %                       a fill is that much worse than its price
//! fee       (notional + slippage) × fee %   of a buy    the venue charges what it really traded
//!           (notional − slippage) × fee %   of a sell
//! ```
//!
//! The same figures that the planner takes off before it sizes buys. A fee in the asset itself is
//! given as what it is worth.

use serde::Serialize;

use super::{InstrumentRules, PlannedOrder, Side};
use crate::values::{Amount, ArithmeticError, Asset};

/// What one order is expected to cost, in the account's quote currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCost {
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// What the venue charges.
    pub fee: Amount,
    /// What a fill at another price than the plan's costs.
    pub slippage: Amount,
}

/// What a plan is expected to cost, in the account's quote currency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanCost {
    /// All fees.
    pub fee: Amount,
    /// All slippage.
    pub slippage: Amount,
    /// Both.
    pub total: Amount,
    /// One entry per order, in the order of the plan.
    pub orders: Vec<OrderCost>,
}

/// What the orders of a plan are expected to cost, each under its instrument's rules.
///
/// # Errors
///
/// A figure that does not fit into 28 digits.
pub fn cost(
    orders: impl IntoIterator<Item = (PlannedOrder, InstrumentRules)>,
) -> Result<PlanCost, ArithmeticError> {
    let mut plan = PlanCost::default();
    for (order, rules) in orders {
        let cost = of_order(&order, &rules)?;
        plan.fee = plan.fee.add(cost.fee)?;
        plan.slippage = plan.slippage.add(cost.slippage)?;
        plan.orders.push(cost);
    }
    plan.total = plan.fee.add(plan.slippage)?;
    Ok(plan)
}

fn of_order(order: &PlannedOrder, rules: &InstrumentRules) -> Result<OrderCost, ArithmeticError> {
    let slippage = order.notional.percent(rules.slippage)?;
    let traded = match order.side {
        Side::Buy => order.notional.add(slippage)?,
        Side::Sell => order.notional.sub(slippage)?,
    };
    Ok(OrderCost {
        asset: order.asset,
        side: order.side,
        fee: traded.percent(rules.fee)?,
        slippage,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its expectation does")]
    use super::*;
    use crate::testing::*;

    fn rules(fee: &str, slippage: &str) -> impl Fn(Asset) -> InstrumentRules + 'static {
        let (fee, slippage) = (percent(fee), percent(slippage));
        move |asset| InstrumentRules {
            fee,
            slippage,
            ..free(asset)
        }
    }

    /// 60 AAA and 40 BBB at 100 each: 1,000 must move.
    fn sixty_forty(fee: &str, slippage: &str) -> World {
        given(definition(&[("AAA", "50"), ("BBB", "50")]))
            .holding("AAA", "60")
            .holding("BBB", "40")
            .prices(1, &[("AAA", "100"), ("BBB", "100")])
            .rules(rules(fee, slippage))
    }

    fn cost_of(world: &World, fee: &str, slippage: &str) -> PlanCost {
        let rules = rules(fee, slippage);
        let orders = world.plan().orders.into_iter();
        cost(orders.map(|order| (order, rules(order.asset)))).unwrap()
    }

    #[test]
    fn a_sell_of_a_thousand_costs_its_fee_and_its_slippage() {
        // Fee in per cent, slippage in per cent, the fee of the sell, its slippage.
        for (fee, slippage, paid, slipped) in [
            ("0", "0", "0", "0"),
            ("0.1", "0", "1", "0"),
            ("0", "0.5", "0", "5"),
            // The fee is taken from what was traded: 0.1 % of 995.
            ("0.1", "0.5", "0.995", "5"),
        ] {
            // Planned without costs, which would make it larger.
            let cost = cost_of(&sixty_forty("0", "0"), fee, slippage);
            let sell = OrderCost {
                asset: asset("AAA"),
                side: Side::Sell,
                fee: amount(paid),
                slippage: amount(slipped),
            };
            assert_eq!(cost.orders[0], sell, "{fee} {slippage}");
            assert_eq!(cost.orders.len(), 2);
        }
    }

    #[test]
    fn what_is_expected_is_what_the_fills_cost() {
        let (fee, slippage) = ("0.1", "0.5");
        let mut world = sixty_forty(fee, slippage);
        let expected = cost_of(&world, fee, slippage);
        let before = world.state().cash;
        world.rebalance();
        let state = world.state();
        let held: Amount = state
            .holdings
            .iter()
            .map(|line| line.quantity.value_at(price("100")).unwrap())
            .fold(Amount::ZERO, |sum, value| sum.add(value).unwrap());
        let left = held.add(state.cash).unwrap();
        let lost = amount("10000").add(before).unwrap().sub(left).unwrap();
        assert_eq!(lost, expected.total);
        assert_eq!(expected.total, expected.fee.add(expected.slippage).unwrap());
    }

    #[test]
    fn nothing_to_trade_costs_nothing_and_what_does_not_fit_is_an_error() {
        assert_eq!(cost([]).unwrap(), PlanCost::default());
        let order = PlannedOrder {
            asset: asset("AAA"),
            side: Side::Buy,
            quantity: quantity("1"),
            price: price("1"),
            notional: Amount::new(rust_decimal::Decimal::MAX),
        };
        let dear = rules("50", "50")(order.asset);
        assert_eq!(cost([(order, dear)]), Err(ArithmeticError));
    }
}
