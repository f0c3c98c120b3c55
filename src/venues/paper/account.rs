//! An account at the paper venue: balances, and what became of its newest orders.

use std::collections::VecDeque;

use evenkeel_actors::ports::{Balances, VenueReport, VenueTransfer};
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::{Fill, Order};
use evenkeel_domain::values::{
    Amount, ArithmeticError, Asset, Percent, Price, Quantity, TransferId,
};
use evenkeel_events::Version;

use super::record::Record;
use super::{PaperSettings, reason};

/// Lines that an account keeps in memory; older ones are looked up in the log. A saga asks for
/// the order that it sent last, so the newest few suffice.
const REMEMBERED_MAX: usize = 8;

/// An account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) balances: Balances,
    pub(super) version: Version,
    newest: VecDeque<Record>,
}

impl Account {
    /// Whether every line is in memory.
    pub(super) fn remembers_all(&self) -> bool {
        u64::try_from(self.newest.len()).is_ok_and(|lines| lines == self.version)
    }

    pub(super) fn report(&self, client_order_id: &str) -> Option<VenueReport> {
        self.newest
            .iter()
            .rev()
            .find_map(|record| record.report_of(client_order_id))
    }

    pub(super) fn has_transfer(&self, id: TransferId) -> bool {
        self.newest
            .iter()
            .any(|record| record.transfers(id).is_some())
    }

    /// Adopts a line. Lines were decided on these balances, so sums fit; one that does not is
    /// left out of the balances and shows in the reconciliation.
    pub(super) fn adopt(&mut self, record: Record, version: Version) {
        if self.book(&record).is_err() {
            tracing::error!(
                ?record,
                "a line of the paper venue's books does not fit its balances"
            );
        }
        self.version = version;
        if self.newest.len() == REMEMBERED_MAX {
            self.newest.pop_front();
        }
        // A thousand accounts with one line each: room for that one, not for four.
        self.newest.reserve_exact(1);
        self.newest.push_back(record);
    }

    fn book(&mut self, record: &Record) -> Result<(), ArithmeticError> {
        match record {
            Record::Refused(_) => Ok(()),
            Record::Transferred(line) => match (line.funds, line.incoming) {
                (Funds::Cash(amount), true) => self.add_cash(amount),
                (Funds::Cash(amount), false) => self.take_cash(amount),
                (Funds::Asset(asset, quantity), true) => self.add(asset, quantity),
                (Funds::Asset(asset, quantity), false) => self.take(asset, quantity),
            },
            Record::Filled(line) => {
                let fill = line.fill;
                match line.side {
                    Side::Buy => {
                        self.take_cash(fill.notional.add(fill.fee)?)?;
                        self.add(line.asset, fill.quantity)
                    }
                    Side::Sell => {
                        self.take(line.asset, fill.quantity)?;
                        self.add_cash(fill.notional.sub(fill.fee)?)
                    }
                }
            }
        }
    }

    fn add_cash(&mut self, amount: Amount) -> Result<(), ArithmeticError> {
        self.balances.cash = self.balances.cash.add(amount)?;
        Ok(())
    }

    fn take_cash(&mut self, amount: Amount) -> Result<(), ArithmeticError> {
        self.balances.cash = self.balances.cash.sub(amount)?;
        Ok(())
    }

    fn add(&mut self, asset: Asset, quantity: Quantity) -> Result<(), ArithmeticError> {
        let holdings = &mut self.balances.holdings;
        match holdings.binary_search_by_key(&asset, |line| line.0) {
            Ok(at) => holdings[at].1 = holdings[at].1.add(quantity)?,
            Err(at) => holdings.insert(at, (asset, quantity)),
        }
        Ok(())
    }

    fn take(&mut self, asset: Asset, quantity: Quantity) -> Result<(), ArithmeticError> {
        let left = self.holding(asset).sub(quantity)?;
        self.balances.holdings.retain(|line| line.0 != asset);
        if left.is_zero() {
            Ok(())
        } else {
            self.add(asset, left)
        }
    }

    fn holding(&self, asset: Asset) -> Quantity {
        let holdings = &self.balances.holdings;
        holdings
            .iter()
            .find(|line| line.0 == asset)
            .map_or(Quantity::ZERO, |line| line.1)
    }

    /// Whether what a transfer takes out is there.
    pub(super) fn covers(&self, transfer: &VenueTransfer) -> bool {
        transfer.incoming
            || match transfer.funds {
                Funds::Cash(amount) => self.balances.cash >= amount,
                Funds::Asset(asset, quantity) => self.holding(asset) >= quantity,
            }
    }

    /// What becomes of an order: filled in full, or refused with the rule that it breaks.
    pub(super) fn decide(&self, order: &Order, settings: &PaperSettings) -> VenueReport {
        match self.fill(order, settings) {
            Ok(fill) => VenueReport::Filled(fill),
            Err(rule) => VenueReport::Refused(reason(rule)),
        }
    }

    fn fill(&self, order: &Order, settings: &PaperSettings) -> Result<Fill, &'static str> {
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
        let notional = quantity.value_at(price).map_err(overflow)?;
        if notional < settings.min_notional {
            return Err("the notional is below the venue's minimum");
        }
        let fee = notional.percent(settings.fee).map_err(overflow)?;
        let covered = match side {
            Side::Buy => notional.add(fee).map_err(overflow)? <= self.balances.cash,
            Side::Sell => quantity <= self.holding(order.asset) && fee <= notional,
        };
        if covered {
            Ok(Fill {
                quantity,
                price,
                notional,
                fee,
                base_fee: Quantity::ZERO,
            })
        } else {
            Err("the account does not cover the order")
        }
    }
}

/// The price moved against the trader by the slippage.
fn slipped(price: Price, side: Side, slippage: Percent) -> Result<Price, ArithmeticError> {
    if slippage.is_zero() {
        return Ok(price);
    }
    let by = Amount::new(price.get()).percent(slippage)?;
    let by = Price::new(by.get());
    let moved = match side {
        Side::Buy => price.add(by)?,
        Side::Sell => price.sub(by)?,
    };
    Ok(moved)
}
