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
    min: Amount,
    max: Option<Amount>,
    fee: Percent,
    slippage: Percent,
}

/// An order within its limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sized {
    pub(crate) order: PlannedOrder,
    /// It was larger than the largest trade.
    pub(crate) trimmed: bool,
}

impl Limits {
    pub(crate) fn new(rules: InstrumentRules, risk: &Risk) -> Self {
        let lot_step = rules.lot_step;
        Self {
            lot_step: if lot_step.is_positive() {
                lot_step
            } else {
                FINEST_LOT
            },
            min: risk.min_trade_notional.max(rules.min_notional),
            max: risk.max_trade_notional,
            fee: rules.fee,
            slippage: rules.slippage,
        }
    }

    /// An order for at most `quantity`: rounded toward zero to lots, trimmed to the largest
    /// trade, and only then held against the minimum.
    pub(crate) fn order(
        &self,
        asset: Asset,
        side: Side,
        quantity: Quantity,
        price: Price,
    ) -> Result<Sized, LineReason> {
        let whole = self.floor(quantity).map_err(arithmetic)?;
        let quantity = self.trim(whole, price).map_err(arithmetic)?;
        if !quantity.is_positive() {
            return Err(LineReason::BelowLotStep);
        }
        let notional = quantity.value_at(price).map_err(arithmetic)?;
        if notional < self.min {
            return Err(LineReason::BelowMinNotional);
        }
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

    fn trim(&self, quantity: Quantity, price: Price) -> Result<Quantity, ArithmeticError> {
        match self.max {
            Some(max) if quantity.value_at(price)? > max => self.floor(max.quantity_at(price)?),
            _ => Ok(quantity),
        }
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
        let cost = times_up(quantity.get(), price.get())
            .and_then(|notional| times_up(notional, factor(self.slippage)?))
            .and_then(|paid| times_up(paid, self.fee_factor()?));
        cost.map(Amount::new).ok_or(ArithmeticError)
    }

    /// What a sell of a notional is expected to bring, slippage and fee taken off.
    pub(crate) fn proceeds(&self, notional: Amount) -> Result<Amount, ArithmeticError> {
        let paid = notional.sub(notional.percent(self.slippage)?)?;
        let kept = paid.sub(paid.percent(self.fee)?)?;
        Ok(kept.max(Amount::ZERO))
    }

    /// The worst price that a buy may pay: the index's largest slippage, and no more than the
    /// cash there pays for, but never below the fill that the plan expects.
    pub(crate) fn buy_limit(
        &self,
        order: &PlannedOrder,
        cash: Amount,
        max_slippage: Percent,
    ) -> Result<Price, ArithmeticError> {
        let limit = || -> Option<Price> {
            let price = order.price.get();
            let expected = price.checked_mul(factor(self.slippage)?)?;
            let worst = price.checked_mul(factor(max_slippage)?)?;
            let units = times_up(order.quantity.get(), self.fee_factor()?)?;
            let affordable = cash.get().checked_div(units)?.trunc_with_scale(SCALE_MAX);
            Some(Price::new(affordable.max(expected).min(worst).normalize()))
        };
        limit().ok_or(ArithmeticError)
    }

    fn fee_factor(&self) -> Option<Decimal> {
        factor(self.fee)
    }
}

/// The worst price that a sell may get.
pub(crate) fn sell_limit(price: Price, max_slippage: Percent) -> Result<Price, ArithmeticError> {
    let worst = factor(Percent::new(-max_slippage.get()));
    let worst = worst.and_then(|factor| price.get().checked_mul(factor));
    worst
        .map(|worst| Price::new(worst.normalize()))
        .ok_or(ArithmeticError)
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
