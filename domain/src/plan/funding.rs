//! Buys from the cash that is there: all whole, or all smaller by the same factor.

use rust_decimal::Decimal;

use super::{Limits, LineReason, PlannedOrder};
use crate::values::{Amount, ArithmeticError, Quantity};

/// A buy that would bring a line to its target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) order: PlannedOrder,
    /// The part that comes before the rest of any other buy: what brings it to its destination
    /// in a plan, and what the plan promised when the plan is carried out.
    pub(crate) first: Quantity,
    pub(crate) limits: Limits,
}

/// What the cash suffices for.
#[derive(Debug)]
pub(crate) struct Funded {
    /// In the order of what was wanted; none where nothing tradable is left.
    pub(crate) orders: Vec<Option<PlannedOrder>>,
    /// What the first parts of all buys cost beyond the cash.
    pub(crate) shortfall: Amount,
}

impl Wanted {
    /// The buy with another quantity; none when that is no order any more.
    fn sized(&self, quantity: Quantity) -> Result<Option<PlannedOrder>, ArithmeticError> {
        let PlannedOrder {
            asset, side, price, ..
        } = self.order;
        match self.limits.order(asset, side, quantity, price) {
            Ok(sized) => Ok(Some(sized.order)),
            Err(LineReason::Arithmetic) => Err(ArithmeticError),
            Err(_) => Ok(None),
        }
    }

    fn cost(&self, quantity: Quantity) -> Result<Amount, ArithmeticError> {
        self.limits.cost(quantity, self.order.price)
    }

    /// The largest order for at most `quantity` that `cash` pays for.
    fn affordable(
        &self,
        quantity: Quantity,
        cash: Amount,
    ) -> Result<Option<PlannedOrder>, ArithmeticError> {
        let mut order = self.sized(quantity)?;
        // Rounding may make the quantity one lot too large, never two.
        if let Some(large) = order
            && self.cost(large.quantity)? > cash
        {
            order = self.sized(self.limits.less_one_lot(large.quantity)?)?;
        }
        match order {
            Some(order) if self.cost(order.quantity)? <= cash => Ok(Some(order)),
            _ => Ok(None),
        }
    }
}

/// Shares the cash among buys, in their order.
///
/// When it does not suffice, all shrink by the same factor; a buy that falls below its minimum
/// is dropped and the rest share its part. What rounding to lots leaves over goes to the first
/// ones, so that a plan right after this one finds nothing more to buy.
pub(crate) fn fund(wanted: &[Wanted], cash: Amount) -> Result<Funded, ArithmeticError> {
    let shares = shrink(wanted, cash)?;
    let mut orders = Vec::with_capacity(wanted.len());
    let mut left = cash;
    for (buy, share) in wanted.iter().zip(shares) {
        let order = buy.affordable(share, left)?;
        if let Some(order) = order {
            left = left.sub(buy.cost(order.quantity)?)?;
        }
        orders.push(order);
    }
    // First those that have a part already: dropped ones come only where all others are whole.
    for dropped in [false, true] {
        for (buy, order) in wanted.iter().zip(&mut orders) {
            if order.is_none() == dropped {
                left = top_up(buy, order, left)?;
            }
        }
    }
    let cost = total_cost(wanted.iter().map(|buy| (buy, buy.first)))?;
    Ok(Funded {
        orders,
        shortfall: cost.sub(cash)?.max(Amount::ZERO),
    })
}

/// The quantities after shrinking, zero for dropped ones.
fn shrink(wanted: &[Wanted], cash: Amount) -> Result<Vec<Quantity>, ArithmeticError> {
    let mut kept = vec![true; wanted.len()];
    loop {
        let sharing = wanted.iter().zip(&kept).filter(|(_, kept)| **kept);
        let cost = total_cost(sharing.map(|(buy, _)| (buy, buy.first)))?;
        let mut shares = Vec::with_capacity(wanted.len());
        let mut smallest_lost = None;
        for (at, (buy, kept)) in wanted.iter().zip(&kept).enumerate() {
            let share = if *kept {
                share(buy, cash, cost)?
            } else {
                Quantity::ZERO
            };
            if *kept && buy.sized(share)?.is_none() {
                smallest_lost = Some(at);
            }
            shares.push(share);
        }
        match smallest_lost.and_then(|at| kept.get_mut(at)) {
            Some(lost) => *lost = false,
            None => return Ok(shares),
        }
    }
}

/// A buy's part of the cash, as a quantity.
fn share(buy: &Wanted, cash: Amount, cost: Amount) -> Result<Quantity, ArithmeticError> {
    if cost <= cash {
        return Ok(buy.first);
    }
    let (first, cash, cost) = (buy.first.get(), cash.get(), cost.get());
    // Multiplied first, because the bare factor is rarely a number of 28 digits.
    first
        .checked_mul(cash)
        .and_then(|product| product.checked_div(cost))
        .or_else(|| cash.checked_div(cost)?.checked_mul(first))
        .map(Quantity::new)
        .ok_or(ArithmeticError)
}

/// Spends what is left on one buy, up to what it wanted; returns what is left then.
fn top_up(
    buy: &Wanted,
    order: &mut Option<PlannedOrder>,
    left: Amount,
) -> Result<Amount, ArithmeticError> {
    let had = order.map_or(Quantity::ZERO, |order| order.quantity);
    let purse = left.add(buy.cost(had)?)?;
    let unit = buy.cost(Quantity::new(Decimal::ONE))?;
    let most = purse.get().checked_div(unit.get()).map(Quantity::new);
    let most = most.ok_or(ArithmeticError)?.min(buy.order.quantity);
    match buy.affordable(most, purse)? {
        Some(larger) if larger.quantity > had => {
            *order = Some(larger);
            purse.sub(buy.cost(larger.quantity)?)
        }
        _ => Ok(left),
    }
}

fn total_cost<'a>(
    mut buys: impl Iterator<Item = (&'a Wanted, Quantity)>,
) -> Result<Amount, ArithmeticError> {
    buys.try_fold(Amount::ZERO, |sum, (buy, quantity)| {
        sum.add(buy.cost(quantity)?)
    })
}
