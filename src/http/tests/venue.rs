//! A venue in memory whose books are true, and that does with the next orders what a test wants.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use evenkeel_actors::ports::{
    Balances, NO_RULES, Venue, VenueAccount, VenueError, VenueOrder, VenueReport, VenueTransfer,
};
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::{InstrumentRules, Side};
use evenkeel_domain::rebalance::{Fill, Reason};
use evenkeel_domain::values::{Amount, Asset, Price, Quantity, TransferId};

/// What happens to the next order, instead of being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is taken and stays open; when it is cancelled, half of it turns out to be filled.
    StaysOpen,
    /// It never arrives, and the venue says nothing any more until it is told to speak.
    NeverArrives,
    /// The same, but it is filled.
    FilledUnheard,
}

/// Cash and units of one account.
#[derive(Debug, Default)]
struct Books {
    cash: Amount,
    units: BTreeMap<Asset, Quantity>,
}

#[derive(Debug, Default)]
struct State {
    fates: VecDeque<Fate>,
    silent: bool,
    accounts: HashMap<VenueAccount, Books>,
    orders: HashMap<String, VenueReport>,
    open: HashMap<String, VenueOrder>,
    transfers: HashSet<TransferId>,
}

/// The venue.
#[derive(Debug, Default)]
pub struct HandVenue(Mutex<State>);

impl HandVenue {
    /// The next order meets this.
    pub fn next(&self, fate: Fate) {
        self.state().fates.push_back(fate);
    }

    /// A venue that fell silent speaks again.
    pub fn speak(&self) {
        self.state().silent = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The books, unless the venue is silent.
    fn heard(&self) -> Result<MutexGuard<'_, State>, VenueError> {
        let state = self.state();
        if state.silent {
            let nothing = Reason::optional("no answer").unwrap();
            return Err(VenueError::Unknown(nothing));
        }
        Ok(state)
    }
}

impl Books {
    /// Fills an order at its price, without costs.
    fn fill(&mut self, order: &VenueOrder) -> VenueReport {
        let order = order.order;
        let notional = order.quantity.value_at(order.price).unwrap();
        let units = self.units.entry(order.asset).or_default();
        (self.cash, *units) = match order.side {
            Side::Buy => (
                self.cash.sub(notional).unwrap(),
                units.add(order.quantity).unwrap(),
            ),
            Side::Sell => (
                self.cash.add(notional).unwrap(),
                units.sub(order.quantity).unwrap(),
            ),
        };
        VenueReport::Filled(Fill {
            quantity: order.quantity,
            price: order.price,
            notional,
            fee: Amount::ZERO,
            base_fee: Quantity::ZERO,
        })
    }

    fn transfer(&mut self, funds: Funds, incoming: bool) {
        match (funds, incoming) {
            (Funds::Cash(amount), true) => self.cash = self.cash.add(amount).unwrap(),
            (Funds::Cash(amount), false) => self.cash = self.cash.sub(amount).unwrap(),
            (Funds::Asset(asset, quantity), incoming) => {
                let units = self.units.entry(asset).or_default();
                let moved = if incoming {
                    units.add(quantity)
                } else {
                    units.sub(quantity)
                };
                *units = moved.unwrap();
            }
        }
    }
}

#[async_trait]
impl Venue for HandVenue {
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError> {
        let mut state = self.heard()?;
        let id = order.client_order_id.clone();
        if let Some(report) = state.orders.get(&id) {
            return Ok(report.clone());
        }
        let fate = state.fates.pop_front();
        let lost = || VenueError::Unknown(Reason::optional("connection lost").unwrap());
        state.silent = matches!(fate, Some(Fate::NeverArrives | Fate::FilledUnheard));
        let report = match fate {
            Some(Fate::NeverArrives) => return Err(lost()),
            Some(Fate::StaysOpen) => {
                state.open.insert(id.clone(), order.clone());
                VenueReport::Open
            }
            Some(Fate::FilledUnheard) | None => {
                state.accounts.entry(order.account).or_default().fill(order)
            }
        };
        state.orders.insert(id, report.clone());
        if state.silent {
            Err(lost())
        } else {
            Ok(report)
        }
    }

    async fn find(&self, _: VenueAccount, id: &str) -> Result<Option<VenueReport>, VenueError> {
        Ok(self.heard()?.orders.get(id).cloned())
    }

    async fn cancel(&self, account: VenueAccount, id: &str) -> Result<(), VenueError> {
        let mut state = self.heard()?;
        if let Some(mut order) = state.open.remove(id) {
            let half: Price = "0.5".parse().unwrap();
            let half = order.order.quantity.value_at(half).unwrap();
            order.order.quantity = Quantity::new(half.get());
            let report = state.accounts.entry(account).or_default().fill(&order);
            state.orders.insert(id.to_owned(), report);
        }
        Ok(())
    }

    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        let mut state = self.heard()?;
        if state.transfers.insert(transfer.transfer_id) {
            let books = state.accounts.entry(transfer.account).or_default();
            books.transfer(transfer.funds, transfer.incoming);
        }
        Ok(())
    }

    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        let state = self.heard()?;
        let Some(books) = state.accounts.get(&account) else {
            return Ok(Balances::default());
        };
        let held = books.units.iter().filter(|(_, units)| !units.is_zero());
        Ok(Balances {
            cash: books.cash,
            holdings: held.map(|(asset, units)| (*asset, *units)).collect(),
        })
    }

    fn rules(&self, _: Asset) -> InstrumentRules {
        InstrumentRules {
            lot_step: "0.000000000001".parse().unwrap(),
            ..NO_RULES
        }
    }
}
