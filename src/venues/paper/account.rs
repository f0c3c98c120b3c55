//! An account at the paper venue: balances, open orders, and what became of its newest orders.

use std::collections::VecDeque;

use evenkeel_actors::ports::{Balances, VenueReport, VenueTransfer};
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::Side;
use evenkeel_domain::values::{Amount, ArithmeticError, Asset, Quantity, TransferId};
use evenkeel_events::Version;

use super::orders::{OpenOrder, Traded};
use super::record::Record;

/// Lines that an account keeps in memory; older ones are looked up in the log. A saga asks for
/// the order that it sent last, so the newest few suffice.
const REMEMBERED_MAX: usize = 4;

/// An account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) balances: Balances,
    pub(super) version: Version,
    pub(super) open: Vec<OpenOrder>,
    newest: VecDeque<Record>,
}

impl Account {
    /// Whether every line is in memory.
    pub(super) fn remembers_all(&self) -> bool {
        u64::try_from(self.newest.len()).is_ok_and(|lines| lines == self.version)
    }

    /// What is known of an order without a look into the log.
    pub(super) fn report(&self, client_order_id: &str) -> Option<VenueReport> {
        if self.open_order(client_order_id).is_some() {
            return Some(VenueReport::Open);
        }
        self.newest
            .iter()
            .rev()
            .find_map(|record| record.report_of(client_order_id))
    }

    pub(super) fn open_order(&self, client_order_id: &str) -> Option<&OpenOrder> {
        self.open
            .iter()
            .find(|order| order.opened.client_order_id == client_order_id)
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
            Record::Filled(line) => self.book_trade(line.asset, line.side, &line.fill),
            Record::ByHand(line) => self.book_trade(line.asset, line.side, &line.fill),
            Record::Opened(line) => {
                self.open.push(OpenOrder::new(line.clone()));
                Ok(())
            }
            Record::Sliced(line) => {
                let id = &line.client_order_id;
                let is_it = |order: &&mut OpenOrder| order.opened.client_order_id == *id;
                let Some(order) = self.open.iter_mut().find(is_it) else {
                    return Err(ArithmeticError);
                };
                order.adopt(line.fill)?;
                let (asset, side) = (order.opened.asset, order.opened.side);
                self.book_trade(asset, side, &line.fill)
            }
            Record::Closed(line) => {
                let id = &line.client_order_id;
                self.open
                    .retain(|order| order.opened.client_order_id != *id);
                Ok(())
            }
        }
    }

    fn book_trade(
        &mut self,
        asset: Asset,
        side: Side,
        traded: &Traded,
    ) -> Result<(), ArithmeticError> {
        match side {
            Side::Buy => {
                self.take_cash(traded.notional.add(traded.fee)?)?;
                self.add(asset, traded.quantity.sub(traded.base_fee)?)
            }
            Side::Sell => {
                self.take(asset, traded.quantity.add(traded.base_fee)?)?;
                self.add_cash(traded.notional.sub(traded.fee)?)
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

    pub(super) fn holding(&self, asset: Asset) -> Quantity {
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

    /// Whether what a trade takes is there, fees with it.
    pub(super) fn covers_trade(
        &self,
        asset: Asset,
        side: Side,
        traded: &Traded,
    ) -> Result<bool, ArithmeticError> {
        Ok(match side {
            Side::Buy => traded.notional.add(traded.fee)? <= self.balances.cash,
            Side::Sell => {
                traded.quantity.add(traded.base_fee)? <= self.holding(asset)
                    && traded.fee <= traded.notional
            }
        })
    }
}
