//! A venue in memory that outlives engines: the truth that the books must agree with.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::{InstrumentRules, Side};
use evenkeel_domain::rebalance::{Fill, Reason};
use evenkeel_domain::values::{Amount, Asset, Quantity, TransferId};
use tokio::sync::watch;

use crate::ports::{
    Balances, Venue, VenueAccount, VenueError, VenueOrder, VenueReport, VenueTransfer,
};

/// What a scripted venue does with the next order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fills it.
    None,
    /// Says it can be tried again, and did nothing.
    Retryable,
    /// Fills it and gives no clear answer.
    FilledUnclear,
    /// Refuses it.
    Refused,
    /// Panics after it has filled it.
    FilledPanic,
    /// Takes it and leaves it open; when it is cancelled, half of it turns out to be filled.
    Open,
    /// Does nothing, and says nothing about it or anything else until it is told to speak.
    Silence,
}

/// A venue in memory that outlives engines: the truth that the books must agree with.
#[derive(Debug, Default)]
pub(crate) struct TestVenue {
    pub(crate) orders: Mutex<HashMap<String, VenueReport>>,
    pub(crate) sent: Mutex<Vec<String>>,
    pub(crate) script: Mutex<Vec<Fault>>,
    /// How long it takes to answer.
    pub(crate) pace: Mutex<Duration>,
    pub(crate) silent: AtomicBool,
    open: Mutex<HashMap<String, VenueOrder>>,
    accounts: Mutex<HashMap<VenueAccount, Balances>>,
    transfers: Mutex<HashSet<TransferId>>,
    /// How often it was asked for balances.
    pub(crate) asked: watch::Sender<u32>,
    /// While somebody holds it, balances are looked up and not yet told.
    pub(crate) held_back: tokio::sync::Mutex<()>,
    /// Whether it gives no balances at all.
    pub(crate) mute: AtomicBool,
}

impl TestVenue {
    /// Changes an account behind the engine's back.
    pub(crate) fn by_hand(&self, account: VenueAccount, change: impl FnOnce(&mut Balances)) {
        change(self.accounts.lock().unwrap().entry(account).or_default());
    }

    fn book(&self, order: &VenueOrder) -> VenueReport {
        let mut accounts = self.accounts.lock().unwrap();
        let balances = accounts.entry(order.account).or_default();
        let (quantity, price) = (order.order.quantity, order.order.price);
        let notional = quantity.value_at(price).unwrap();
        let held = balances
            .holdings
            .iter()
            .position(|(asset, _)| *asset == order.order.asset);
        match order.order.side {
            Side::Buy => {
                balances.cash = balances.cash.sub(notional).unwrap();
                match held {
                    Some(at) => {
                        balances.holdings[at].1 = balances.holdings[at].1.add(quantity).unwrap();
                    }
                    None => balances.holdings.push((order.order.asset, quantity)),
                }
            }
            Side::Sell => {
                balances.cash = balances.cash.add(notional).unwrap();
                let at = held.unwrap();
                balances.holdings[at].1 = balances.holdings[at].1.sub(quantity).unwrap();
            }
        }
        balances
            .holdings
            .retain(|(_, quantity)| !quantity.is_zero());
        balances.holdings.sort_unstable();
        VenueReport::Filled(Fill {
            quantity,
            price,
            notional,
            fee: Amount::ZERO,
            base_fee: Quantity::ZERO,
        })
    }

    fn next_fault(&self) -> Fault {
        let mut script = self.script.lock().unwrap();
        if script.is_empty() {
            Fault::None
        } else {
            script.remove(0)
        }
    }
}

pub(super) fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap()
}

#[async_trait]
impl Venue for TestVenue {
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError> {
        let pace = *self.pace.lock().unwrap();
        if !pace.is_zero() {
            super::time_passes(pace).await;
        }
        self.sent
            .lock()
            .unwrap()
            .push(order.client_order_id.clone());
        if let Some(report) = self.orders.lock().unwrap().get(&order.client_order_id) {
            return Ok(report.clone());
        }
        let fault = self.next_fault();
        match fault {
            Fault::Retryable => return Err(VenueError::Retryable(reason("busy"))),
            Fault::Refused => return Err(VenueError::Refused(reason("not today"))),
            Fault::Silence => {
                self.silent.store(true, Ordering::SeqCst);
                return Err(VenueError::Unknown(reason("no answer")));
            }
            Fault::Open => {
                let id = order.client_order_id.clone();
                let mut orders = self.orders.lock().unwrap();
                orders.insert(id.clone(), VenueReport::Open);
                self.open.lock().unwrap().insert(id, order.clone());
                return Ok(VenueReport::Open);
            }
            Fault::None | Fault::FilledUnclear | Fault::FilledPanic => {}
        }
        let report = self.book(order);
        self.orders
            .lock()
            .unwrap()
            .insert(order.client_order_id.clone(), report.clone());
        match fault {
            Fault::FilledUnclear => Err(VenueError::Unknown(reason("connection lost"))),
            Fault::FilledPanic => panic!("the adapter fell over"),
            _ => Ok(report),
        }
    }

    async fn find(&self, _: VenueAccount, id: &str) -> Result<Option<VenueReport>, VenueError> {
        if self.silent.load(Ordering::SeqCst) {
            return Err(VenueError::Unknown(reason("no answer")));
        }
        Ok(self.orders.lock().unwrap().get(id).cloned())
    }

    async fn cancel(&self, _: VenueAccount, id: &str) -> Result<(), VenueError> {
        if self.silent.load(Ordering::SeqCst) {
            return Err(VenueError::Unknown(reason("no answer")));
        }
        let open = self.open.lock().unwrap().remove(id);
        if let Some(mut order) = open {
            let half = order.order.quantity.value_at("0.5".parse().unwrap());
            order.order.quantity = Quantity::new(half.unwrap().get());
            let report = self.book(&order);
            self.orders.lock().unwrap().insert(id.to_owned(), report);
        }
        Ok(())
    }

    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        if !self.transfers.lock().unwrap().insert(transfer.transfer_id) {
            return Ok(());
        }
        let mut accounts = self.accounts.lock().unwrap();
        let balances = accounts.entry(transfer.account).or_default();
        match (transfer.funds, transfer.incoming) {
            (Funds::Cash(amount), true) => balances.cash = balances.cash.add(amount).unwrap(),
            (Funds::Cash(amount), false) => balances.cash = balances.cash.sub(amount).unwrap(),
            (Funds::Asset(asset, quantity), _) => balances.holdings.push((asset, quantity)),
        }
        Ok(())
    }

    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        let held = self.accounts.lock().unwrap().get(&account).cloned();
        self.asked.send_modify(|times| *times += 1);
        let _told = self.held_back.lock().await;
        if self.mute.load(Ordering::SeqCst) {
            return Err(VenueError::Retryable(reason("not now")));
        }
        Ok(held.unwrap_or_default())
    }

    fn rules(&self, _: Asset) -> InstrumentRules {
        InstrumentRules {
            lot_step: "0.000000000001".parse::<Quantity>().unwrap(),
            ..InstrumentRules::NONE
        }
    }
}
