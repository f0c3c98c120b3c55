//! What becomes of an order: the rules that it is accepted by, what a fill costs, and how an order
//! that stays open is filled slice by slice. Pure.

use evenkeel_actors::ports::VenueReport;
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::{Fill, Order};
use evenkeel_domain::values::{
    Amount, ArithmeticError, Asset, Percent, Price, Quantity, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::record::{Ending, Opened};
use super::{FeeIn, PaperSettings};

/// What was traded, as the books keep it. Its layout is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traded {
    pub(super) quantity: Quantity,
    pub(super) price: Price,
    pub(super) notional: Amount,
    pub(super) fee: Amount,
    pub(super) base_fee: Quantity,
}

impl Traded {
    pub(super) fn fill(self) -> Fill {
        Fill {
            quantity: self.quantity,
            price: self.price,
            notional: self.notional,
            fee: self.fee,
            base_fee: self.base_fee,
        }
    }

    /// Two fills of one order, which have one price.
    fn and(self, other: Self) -> Result<Self, ArithmeticError> {
        Ok(Self {
            quantity: self.quantity.add(other.quantity)?,
            price: self.price,
            notional: self.notional.add(other.notional)?,
            fee: self.fee.add(other.fee)?,
            base_fee: self.base_fee.add(other.base_fee)?,
        })
    }
}

/// The fill of an order in full, or the rule that it breaks.
pub(super) fn fill(
    account: &Account,
    order: &Order,
    settings: &PaperSettings,
) -> Result<Traded, &'static str> {
    let overflow = |_: ArithmeticError| "a number does not fit into 28 digits";
    let (quantity, side) = (order.quantity, order.side);
    if !quantity.is_positive() {
        return Err("the quantity is not above zero");
    }
    if quantity.floor_to(settings.lot_step).map_err(overflow)? != quantity {
        return Err("the quantity is no multiple of the lot step");
    }
    let price = slipped(order.price, side, settings.slippage).map_err(overflow)?;
    let beyond = match side {
        Side::Buy => price > order.limit,
        Side::Sell => price < order.limit,
    };
    if beyond {
        return Err("the price is beyond the order's limit");
    }
    let traded = trade(account, (order.asset, side), quantity, price, settings);
    let traded = traded.map_err(overflow)?;
    if traded.notional < settings.min_notional {
        return Err("the notional is below the venue's minimum");
    }
    if account
        .covers_trade(order.asset, side, &traded)
        .map_err(overflow)?
    {
        Ok(traded)
    } else {
        Err("the account does not cover the order")
    }
}

/// What a quantity costs at a price. A fee in the asset is rounded toward zero to what is kept.
fn trade(
    account: &Account,
    (asset, side): (Asset, Side),
    quantity: Quantity,
    price: Price,
    settings: &PaperSettings,
) -> Result<Traded, ArithmeticError> {
    let notional = quantity.value_at(price)?;
    let in_cash = Traded {
        quantity,
        price,
        notional,
        fee: notional.percent(settings.fee)?,
        base_fee: Quantity::ZERO,
    };
    let share = Amount::new(quantity.get()).percent(settings.fee)?;
    let in_base = Traded {
        fee: Amount::ZERO,
        base_fee: Quantity::new(share.get()).floor_to(Quantity::FINEST)?,
        ..in_cash
    };
    let takes_base = settings.fee_in == FeeIn::Base
        && (side == Side::Buy || account.covers_trade(asset, side, &in_base)?);
    Ok(if takes_base { in_base } else { in_cash })
}

/// The price moved against the trader by the slippage.
fn slipped(price: Price, side: Side, slippage: Percent) -> Result<Price, ArithmeticError> {
    if slippage.is_zero() {
        return Ok(price);
    }
    let by = Amount::new(price.get()).percent(slippage)?;
    let by = Price::new(by.get());
    match side {
        Side::Buy => price.add(by),
        Side::Sell => price.sub(by),
    }
}

/// An order that stays open: the fold of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenOrder {
    pub(super) opened: Opened,
    /// Slices that were filled.
    pub(super) done: u32,
    /// Their sum.
    pub(super) filled: Option<Traded>,
}

/// What happens to an open order next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Slice(Traded),
    Close(Ending),
}

impl OpenOrder {
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            opened,
            done: 0,
            filled: None,
        }
    }

    /// Adopts a slice. Slices are parts of one fill that fits, so their sums fit.
    pub(super) fn adopt(&mut self, slice: Traded) -> Result<(), ArithmeticError> {
        self.filled = Some(match self.filled {
            Some(before) => before.and(slice)?,
            None => slice,
        });
        self.done = self.done.saturating_add(1);
        Ok(())
    }

    /// How many things are due: by the clock, or one when the order is asked for.
    pub(super) fn due(&self, now: Timestamp, asked: bool) -> u32 {
        let Some(every_ms) = self.opened.every_ms else {
            return u32::from(asked);
        };
        let since = now.since(self.opened.at).as_millis();
        let due = since.checked_div(every_ms).unwrap_or(u64::MAX);
        u32::try_from(due)
            .unwrap_or(u32::MAX)
            .saturating_sub(self.done)
            // An order that expires does so in the time of one more slice.
            .min(self.opened.filled.saturating_sub(self.done) + 1)
    }

    /// Whether all of it is filled.
    pub(super) fn is_full(&self) -> bool {
        self.filled
            .is_some_and(|filled| filled.quantity >= self.opened.quantity)
    }

    /// The next slice, or the end: an order that the account no longer covers expires.
    pub(super) fn next(
        &self,
        account: &Account,
        settings: &PaperSettings,
    ) -> Result<Next, ArithmeticError> {
        if self.is_full() {
            return Ok(Next::Close(Ending::Filled));
        }
        if self.done >= self.opened.filled {
            return Ok(Next::Close(Ending::Expired));
        }
        let Opened {
            asset, side, price, ..
        } = self.opened;
        let slice = trade(
            account,
            (asset, side),
            self.slice(settings.lot_step)?,
            price,
            settings,
        )?;
        Ok(if account.covers_trade(asset, side, &slice)? {
            Next::Slice(slice)
        } else {
            Next::Close(Ending::Expired)
        })
    }

    /// An equal part in whole lots; the last one is what is left, and so is one below a lot.
    fn slice(&self, lot_step: Quantity) -> Result<Quantity, ArithmeticError> {
        let Opened {
            quantity, slices, ..
        } = self.opened;
        let before = self.filled.map_or(Quantity::ZERO, |filled| filled.quantity);
        let left = quantity.sub(before)?;
        let part = quantity.get().checked_div(slices.into());
        let part = Quantity::new(part.ok_or(ArithmeticError)?).floor_to(lot_step)?;
        let last = self.done.saturating_add(1) >= slices;
        Ok(if last || part.is_zero() || part > left {
            left
        } else {
            part
        })
    }
}

/// The report of a closed order.
pub(super) fn report(filled: Option<Traded>, ending: Ending) -> VenueReport {
    match filled {
        Some(traded) => VenueReport::Filled(traded.fill()),
        None => VenueReport::Refused(super::reason(match ending {
            Ending::Filled => "nothing was filled",
            Ending::Expired => "the order has expired",
            Ending::Cancelled => "the order was cancelled",
        })),
    }
}
