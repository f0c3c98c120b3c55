//! What one order must meet: lots, smallest and largest notional; and what it costs.

use rust_decimal::Decimal;

use super::{InstrumentRules, LineReason, PlannedOrder, Side};
use crate::index::Risk;
use crate::values::{Amount, ArithmeticError, Asset, Percent, Price, Quantity, SCALE_MAX};

/// The lot step of an instrument whose venue names none: the finest quantity that is kept.
const FINEST_LOT: Quantity = Quantity::FINEST;

/// The limits of an order in one instrument of one index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    lot_step: Quantity,
    /// Above zero.
    tick: Option<Decimal>,
    min: Amount,
    /// Least notional by the index's minimum in per cent.
    min_share: Amount,
    min_quantity: Quantity,
    /// Of one order.
    max: Option<Amount>,
    /// Most orders of one trade.
    parts: u32,
    fee: Percent,
    slippage: Percent,
}

/// A trade within its limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sized {
    /// All its parts together.
    pub(crate) order: PlannedOrder,
    /// It was larger than all parts at their largest.
    pub(crate) trimmed: bool,
}

impl Limits {
    /// The limits of a single order.
    pub(crate) fn new(rules: InstrumentRules, risk: &Risk) -> Self {
        let lot_step = rules.lot_step;
        let tick = rules.tick_size;
        let max = match (risk.max_trade_notional, rules.max_notional) {
            (Some(index), Some(venue)) => Some(index.min(venue)),
            (index, venue) => index.or(venue),
        };
        Self {
            lot_step: if lot_step.is_positive() {
                lot_step
            } else {
                FINEST_LOT
            },
            tick: tick.is_positive().then_some(tick.get()),
            min: risk.min_trade_notional.max(rules.min_notional),
            min_share: Amount::ZERO,
            min_quantity: rules.min_quantity,
            max,
            parts: 1,
            fee: rules.fee,
            slippage: rules.slippage,
        }
    }

    /// The limits of a trade of up to so many orders.
    pub(crate) fn of_parts(self, parts: usize) -> Self {
        let parts = u32::try_from(parts).unwrap_or(1);
        Self { parts, ..self }
    }

    /// The same with the index's minimum in per cent as money.
    pub(crate) fn of_share(self, min_share: Amount) -> Self {
        Self { min_share, ..self }
    }

    /// The limits of what adds to a trade: its sum has to meet the minima.
    pub(crate) fn of_more(self) -> Self {
        Self {
            min: Amount::ZERO,
            min_share: Amount::ZERO,
            min_quantity: Quantity::ZERO,
            ..self
        }
    }

    /// A trade of at most `quantity`: rounded toward zero to lots, trimmed to as many orders of
    /// the largest size as there may be, and only then held against the minimum. When the
    /// parts of an even split would be too small, there is one part less and the rest is left.
    pub(crate) fn order(
        &self,
        asset: Asset,
        side: Side,
        quantity: Quantity,
        price: Price,
    ) -> Result<Sized, LineReason> {
        let whole = self.floor(quantity).map_err(arithmetic)?;
        let (quantity, part) = self.parts_of(whole, price).map_err(arithmetic)?;
        self.require_large_enough(part, price)?;
        let notional = quantity.value_at(price).map_err(arithmetic)?;
        Ok(Sized {
            order: PlannedOrder {
                asset,
                side,
                quantity,
                price,
                notional,
            },
            trimmed: quantity < whole,
        })
    }

    fn require_large_enough(&self, part: Quantity, price: Price) -> Result<(), LineReason> {
        if !part.is_positive() {
            return Err(LineReason::BelowLotStep);
        }
        if part < self.min_quantity {
            return Err(LineReason::BelowMinQuantity);
        }
        let notional = part.value_at(price).map_err(arithmetic)?;
        if notional < self.min {
            return Err(LineReason::BelowMinNotional);
        }
        if notional < self.min_share {
            return Err(LineReason::BelowMinPercent);
        }
        Ok(())
    }

    /// How much of a quantity of whole lots is traded, and the smallest of its parts.
    fn parts_of(
        &self,
        whole: Quantity,
        price: Price,
    ) -> Result<(Quantity, Quantity), ArithmeticError> {
        let Some(most) = self.largest(price)?.filter(|most| *most < whole) else {
            return Ok((whole, whole));
        };
        if !most.is_positive() {
            return Ok((most, most));
        }
        let parts = parts(whole, most)?;
        if parts <= Decimal::from(self.parts) {
            let even = whole.get().checked_div(parts).ok_or(ArithmeticError)?;
            let even = self.floor(Quantity::new(even))?;
            if self.require_large_enough(even, price).is_ok() {
                return Ok((whole, even));
            }
        }
        let fewer = parts.checked_sub(Decimal::ONE).ok_or(ArithmeticError)?;
        let fewer = fewer.min(Decimal::from(self.parts));
        let traded = most.get().checked_mul(fewer).ok_or(ArithmeticError)?;
        Ok((Quantity::new(traded), most))
    }

    /// The largest quantity of one order.
    fn largest(&self, price: Price) -> Result<Option<Quantity>, ArithmeticError> {
        self.max.map(|max| self.at_most(max, price)).transpose()
    }

    /// The most lots that are worth no more than an amount.
    pub(crate) fn at_most(
        &self,
        amount: Amount,
        price: Price,
    ) -> Result<Quantity, ArithmeticError> {
        let quantity = self.floor(amount.quantity_at(price)?)?;
        // The division was rounded, maybe up.
        if quantity.value_at(price)? > amount {
            return self.less_one_lot(quantity);
        }
        Ok(quantity)
    }

    /// The orders of a trade that [`Self::order`] has sized, as even as lots allow.
    pub(crate) fn split(
        &self,
        asset: Asset,
        side: Side,
        quantity: Quantity,
        price: Price,
    ) -> Result<Vec<PlannedOrder>, ArithmeticError> {
        let most = self.largest(price)?.unwrap_or(quantity);
        let count = parts(quantity, most)?;
        let lots = self.lots(quantity)?;
        let each = lots.checked_div(count).ok_or(ArithmeticError)?.trunc();
        let (mut left, mut orders) = (lots, Vec::new());
        let mut parts = count;
        while parts > Decimal::ZERO {
            // The first ones take the lots that the even share leaves over.
            let even = each.checked_mul(parts).ok_or(ArithmeticError)?;
            let lots = if even < left {
                each.checked_add(Decimal::ONE).ok_or(ArithmeticError)?
            } else {
                each
            };
            let part = lots.checked_mul(self.lot_step.get());
            let quantity = Quantity::new(part.ok_or(ArithmeticError)?);
            orders.push(PlannedOrder {
                asset,
                side,
                quantity,
                price,
                notional: quantity.value_at(price)?,
            });
            left = left.checked_sub(lots).ok_or(ArithmeticError)?;
            parts = parts.checked_sub(Decimal::ONE).ok_or(ArithmeticError)?;
        }
        Ok(orders)
    }

    fn lots(&self, quantity: Quantity) -> Result<Decimal, ArithmeticError> {
        let lots = quantity.get().checked_div(self.lot_step.get());
        Ok(lots.ok_or(ArithmeticError)?.round())
    }

    /// Rounds toward zero to lots.
    pub(crate) fn floor(&self, quantity: Quantity) -> Result<Quantity, ArithmeticError> {
        quantity.floor_to(self.lot_step)
    }

    /// One lot less.
    pub(crate) fn less_one_lot(&self, quantity: Quantity) -> Result<Quantity, ArithmeticError> {
        quantity.sub(self.lot_step)
    }

    /// What one lot is worth.
    pub(crate) fn lot_value(&self, price: Price) -> Result<Amount, ArithmeticError> {
        self.lot_step.value_at(price)
    }

    /// The most that buying a quantity costs, expected slippage and fee included. Rounded up
    /// wherever 28 digits do not suffice, so that the cash there always covers the venue's bill.
    pub(crate) fn cost(&self, quantity: Quantity, price: Price) -> Result<Amount, ArithmeticError> {
        let cost = times_up(price.get(), factor(self.slippage).ok_or(ArithmeticError)?)
            .and_then(|expected| self.up_to_tick(expected))
            .and_then(|unit| times_up(quantity.get(), unit))
            .and_then(|paid| times_up(paid, self.fee_factor()?));
        cost.map(Amount::new).ok_or(ArithmeticError)
    }

    /// What buying a quantity loses to slippage and fee.
    pub(crate) fn loss(&self, quantity: Quantity, price: Price) -> Result<Amount, ArithmeticError> {
        self.cost(quantity, price)?.sub(quantity.value_at(price)?)
    }

    /// What a sell is expected to bring, slippage and fee taken off.
    pub(crate) fn proceeds(
        &self,
        quantity: Quantity,
        price: Price,
    ) -> Result<Amount, ArithmeticError> {
        let unit = factor(Percent::new(-self.slippage.get()))
            .and_then(|factor| price.get().checked_mul(factor))
            .and_then(|expected| self.down_to_tick(expected))
            .ok_or(ArithmeticError)?;
        let paid = quantity.value_at(Price::new(unit))?;
        Ok(paid.sub(paid.percent(self.fee)?)?.max(Amount::ZERO))
    }

    /// The worst price that a buy may pay: the index's largest slippage, and no more than the
    /// cash there pays for, but never below the fill that the plan expects. A multiple of the
    /// tick: the next one down, or the next one up where that would not fill any more.
    pub(crate) fn buy_limit(
        &self,
        order: &PlannedOrder,
        cash: Amount,
        max_slippage: Percent,
    ) -> Result<Price, ArithmeticError> {
        let limit = || -> Option<Price> {
            let price = order.price.get();
            let worst = price.checked_mul(factor(max_slippage)?)?;
            let expected = price.checked_mul(factor(self.slippage)?)?.min(worst);
            let units = times_up(order.quantity.get(), self.fee_factor()?)?;
            let affordable = cash.get().checked_div(units)?.trunc_with_scale(SCALE_MAX);
            let limit = self.down_to_tick(affordable.min(worst))?;
            let limit = limit.max(self.up_to_tick(expected)?);
            Some(Price::new(limit.normalize()))
        };
        limit().ok_or(ArithmeticError)
    }

    /// The worst price that a sell may get: a multiple of the tick, the next one down.
    pub(crate) fn sell_limit(
        &self,
        price: Price,
        max_slippage: Percent,
    ) -> Result<Price, ArithmeticError> {
        let worst = factor(Percent::new(-max_slippage.get()));
        let worst = worst.and_then(|factor| price.get().checked_mul(factor));
        let worst = worst.and_then(|worst| self.down_to_tick(worst));
        worst
            .map(|worst| Price::new(worst.normalize()))
            .ok_or(ArithmeticError)
    }

    /// The price that a fill is expected at: slippage and tick against the trader.
    #[cfg(test)]
    pub(crate) fn expected(&self, side: Side, price: Price) -> Option<Price> {
        let price = match side {
            Side::Buy => self.up_to_tick(price.get() * factor(self.slippage)?),
            Side::Sell => {
                let factor = factor(Percent::new(-self.slippage.get()))?;
                self.down_to_tick(price.get() * factor)
            }
        };
        price.map(Price::new)
    }

    fn up_to_tick(&self, price: Decimal) -> Option<Decimal> {
        let Some(tick) = self.tick else {
            return Some(price);
        };
        price.checked_div(tick)?.ceil().checked_mul(tick)
    }

    /// Never below one tick: a price of zero is none.
    fn down_to_tick(&self, price: Decimal) -> Option<Decimal> {
        let Some(tick) = self.tick else {
            return Some(price);
        };
        let ticks = price.checked_div(tick)?.floor().max(Decimal::ONE);
        ticks.checked_mul(tick)
    }

    fn fee_factor(&self) -> Option<Decimal> {
        factor(self.fee)
    }
}

/// How many orders of at most `most` a quantity takes; both are whole lots above zero.
fn parts(quantity: Quantity, most: Quantity) -> Result<Decimal, ArithmeticError> {
    let parts = quantity.get().checked_div(most.get());
    Ok(parts.ok_or(ArithmeticError)?.ceil().max(Decimal::ONE))
}

/// A percentage as what a value is multiplied with to add it: 1 % is 1.01.
fn factor(percent: Percent) -> Option<Decimal> {
    let part = percent.get().checked_div(Decimal::ONE_HUNDRED)?;
    Decimal::ONE.checked_add(part)
}

/// A product of positive numbers, never below the true one: a product that keeps all digits has
/// the sum of both scales, any other was rounded.
fn times_up(a: Decimal, b: Decimal) -> Option<Decimal> {
    let product = a.checked_mul(b)?;
    if product.is_zero() || product.scale() == a.scale() + b.scale() {
        return Some(product);
    }
    product.checked_add(Decimal::new(1, product.scale()))
}

fn arithmetic(_: ArithmeticError) -> LineReason {
    LineReason::Arithmetic
}
