//! The venue of these tests: it outlives every engine, fills orders in many manners, fails in
//! many ways, and remembers all that it ever acted on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::{InstrumentRules, Side};
use evenkeel_domain::rebalance::{Fill, Reason};
use evenkeel_domain::values::{Amount, Asset, Percent, Price, Quantity, TransferId};

use super::probe::{Boundary, Probe, Strike};
use crate::ports::{
    Balances, Venue, VenueAccount, VenueError, VenueOrder, VenueReport, VenueTransfer,
};

/// What becomes of an order that the venue accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It is filled at once.
    Fill,
    /// It is refused.
    Reject,
    /// It stays open for so many questions, then it is filled.
    OpenThenFill(u32),
    /// It stays open for so many questions, then expires with half of it filled.
    OpenThenHalf(u32),
    /// It stays open for so many questions, then expires without a fill.
    OpenThenNothing(u32),
    /// It is filled at once, and for so many calls the venue says nothing clear about it.
    Silent(u32),
    /// The same, and after that it turns out to be open for two questions.
    SilentThenOpen(u32),
}

/// Which client order ids the venue knows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// All there ever were.
    Never,
    /// Those of open orders: the id of a closed one is acted on again.
    WhenClosed,
}

/// An order at the venue.
#[derive(Debug, Clone)]
pub(super) struct TruthOrder {
    order: VenueOrder,
    pub(super) account: VenueAccount,
    pub(super) filled: Option<Fill>,
    /// How often it was acted on: once, or the engine has traded twice.
    pub(super) acted: u32,
    pub(super) closed: bool,
    /// Questions until it closes, and how.
    questions: u32,
    manner: Manner,
    silence: u32,
}

/// How a venue call that is not struck behaves: what a seed says.
pub(super) trait Weather: Send + Sync {
    /// How an order is filled.
    fn manner(&self, client_order_id: &str) -> Manner;

    /// What the nth call of a kind about an id meets.
    fn strike(&self, boundary: Boundary, id: &str, nth: u32) -> Option<Strike>;

    /// How long a call takes to reach the venue, and its answer to come back.
    fn latency(&self, boundary: Boundary, id: &str, nth: u32) -> (Duration, Duration);
}

#[derive(Default)]
struct Books {
    accounts: BTreeMap<VenueAccount, Balances>,
    orders: BTreeMap<String, TruthOrder>,
    transfers: HashSet<TransferId>,
    calls: HashMap<(u8, String), u32>,
}

/// The venue.
pub(super) struct Truth {
    books: Mutex<Books>,
    pub(super) probe: Arc<Probe>,
    weather: Mutex<Arc<dyn Weather>>,
    reuse: Reuse,
    fee: Percent,
}

impl Truth {
    pub(super) fn new(
        probe: Arc<Probe>,
        weather: Arc<dyn Weather>,
        reuse: Reuse,
        fee: Percent,
    ) -> Self {
        Self {
            books: Mutex::default(),
            probe,
            weather: Mutex::new(weather),
            reuse,
            fee,
        }
    }

    pub(super) fn set_weather(&self, weather: Arc<dyn Weather>) {
        *self.weather.lock().unwrap() = weather;
    }

    fn weather(&self) -> Arc<dyn Weather> {
        Arc::clone(&self.weather.lock().unwrap())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub(super) fn orders(&self) -> BTreeMap<String, TruthOrder> {
        self.books().orders.clone()
    }

    pub(super) fn held(&self, account: VenueAccount) -> Balances {
        self.books()
            .accounts
            .get(&account)
            .cloned()
            .unwrap_or_default()
    }

    /// What a call meets: a strike of the probe, else of the weather. Takes the way there.
    async fn call(&self, boundary: Boundary, id: &str) -> (Option<Strike>, Duration) {
        let nth = {
            let mut books = self.books();
            let calls = books
                .calls
                .entry((boundary as u8, id.to_owned()))
                .or_default();
            *calls += 1;
            *calls
        };
        let weather = self.weather();
        let (there, back) = weather.latency(boundary, id, nth);
        pause(there).await;
        let strike = self.probe.reach(boundary);
        (strike.or_else(|| weather.strike(boundary, id, nth)), back)
    }

    /// Does what a call is for, as its strike has it.
    async fn act<T>(
        &self,
        boundary: Boundary,
        id: &str,
        effect: impl Fn(&mut Books) -> Result<T, VenueError> + Send + Sync,
    ) -> Result<T, VenueError> {
        let (strike, back) = self.call(boundary, id).await;
        match strike {
            Some(Strike::Fail) => return Err(VenueError::Retryable(reason("try again"))),
            Some(Strike::CrashBefore) => self.probe.crash().await,
            _ => {}
        }
        let done = effect(&mut self.books());
        match strike {
            Some(Strike::FailAfterEffect) => {
                return Err(VenueError::Unknown(reason("connection lost")));
            }
            Some(Strike::CrashAfter | Strike::RestartTwice) => self.probe.crash().await,
            Some(Strike::Timeout) => std::future::pending::<()>().await,
            // The network repeats the request; the caller sees the second answer.
            Some(Strike::Duplicate) if self.reuse == Reuse::Never => {
                return effect(&mut self.books());
            }
            _ => {}
        }
        pause(back).await;
        done
    }

    fn accept(&self, books: &mut Books, order: &VenueOrder, manner: Manner) {
        let (questions, silence) = match manner {
            Manner::OpenThenFill(n) | Manner::OpenThenHalf(n) | Manner::OpenThenNothing(n) => {
                (n, 0)
            }
            Manner::Silent(n) => (0, n),
            Manner::SilentThenOpen(n) => (2, n),
            Manner::Fill | Manner::Reject => (0, 0),
        };
        let acted = books.orders.get(&order.client_order_id);
        let acted = acted.map_or(0, |order| order.acted) + 1;
        let accepted = TruthOrder {
            order: order.clone(),
            account: order.account,
            filled: None,
            acted,
            closed: false,
            questions,
            manner,
            silence,
        };
        books.orders.insert(order.client_order_id.clone(), accepted);
        if questions == 0 {
            self.close(books, &order.client_order_id);
        }
    }

    /// Closes an order as its manner says.
    fn close(&self, books: &mut Books, id: &str) {
        let Some(order) = books.orders.get_mut(id).filter(|order| !order.closed) else {
            return;
        };
        order.closed = true;
        let (whole, manner) = (order.order.clone(), order.manner);
        let quantity = match manner {
            Manner::Reject | Manner::OpenThenNothing(_) => return,
            Manner::OpenThenHalf(_) => half(whole.order.quantity),
            _ => whole.order.quantity,
        };
        let fill = self.book(books, &whole, quantity);
        if let Some(order) = books.orders.get_mut(id) {
            order.filled = fill;
        }
    }

    /// Moves the balances; nothing when the account does not cover it.
    fn book(&self, books: &mut Books, order: &VenueOrder, quantity: Quantity) -> Option<Fill> {
        let price = order.order.price;
        let notional = quantity.value_at(price).unwrap();
        let fee = notional.percent(self.fee).unwrap();
        let balances = books.accounts.entry(order.account).or_default();
        let held = holding(balances, order.order.asset);
        let (held, cash) = match order.order.side {
            Side::Buy => (
                held.add(quantity).unwrap(),
                balances.cash.sub(notional).unwrap().sub(fee).unwrap(),
            ),
            Side::Sell => (
                held.sub(quantity).unwrap(),
                balances.cash.add(notional).unwrap().sub(fee).unwrap(),
            ),
        };
        if !quantity.is_positive() || held < Quantity::ZERO || cash < Amount::ZERO {
            return None;
        }
        balances.cash = cash;
        hold(balances, order.order.asset, held);
        Some(Fill {
            quantity,
            price,
            notional,
            fee,
            base_fee: Quantity::ZERO,
        })
    }

    /// What the venue says about an order when it is asked.
    fn tell(&self, books: &mut Books, id: &str) -> Result<Option<VenueReport>, VenueError> {
        let Some(order) = books.orders.get_mut(id) else {
            return Ok(None);
        };
        if order.silence > 0 {
            order.silence -= 1;
            return Err(VenueError::Unknown(reason("no clear answer")));
        }
        if !order.closed {
            order.questions = order.questions.saturating_sub(1);
            if order.questions > 0 {
                return Ok(Some(VenueReport::Open));
            }
            self.close(books, id);
        }
        let order = books.orders.get(id);
        Ok(order.map(|order| match order.filled {
            Some(fill) => VenueReport::Filled(fill),
            None => VenueReport::Refused(reason("closed without a fill")),
        }))
    }

    /// Moves balances behind the engine's back.
    pub(super) fn by_hand(&self, account: VenueAccount, change: impl FnOnce(&mut Balances)) {
        change(self.books().accounts.entry(account).or_default());
    }
}

#[async_trait]
impl Venue for Truth {
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError> {
        let id = order.client_order_id.as_str();
        let manner = self.weather().manner(id);
        self.act(Boundary::Place, id, |books| {
            let known = books.orders.get(id);
            let again = known.is_some_and(|known| known.closed && self.reuse == Reuse::WhenClosed);
            if known.is_none() || again {
                self.accept(books, order, manner);
            }
            let told = self.tell(books, id)?;
            Ok(told.unwrap_or(VenueReport::Open))
        })
        .await
    }

    async fn find(&self, _: VenueAccount, id: &str) -> Result<Option<VenueReport>, VenueError> {
        self.act(Boundary::Find, id, |books| self.tell(books, id))
            .await
    }

    async fn cancel(&self, _: VenueAccount, id: &str) -> Result<(), VenueError> {
        self.act(Boundary::Cancel, id, |books| {
            self.close(books, id);
            Ok(())
        })
        .await
    }

    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        let mut books = self.books();
        if !books.transfers.insert(transfer.transfer_id) {
            return Ok(());
        }
        let balances = books.accounts.entry(transfer.account).or_default();
        match (transfer.funds, transfer.incoming) {
            (Funds::Cash(amount), true) => balances.cash = balances.cash.add(amount).unwrap(),
            (Funds::Cash(amount), false) => balances.cash = balances.cash.sub(amount).unwrap(),
            (Funds::Asset(asset, quantity), incoming) => {
                let held = holding(balances, asset);
                let held = if incoming {
                    held.add(quantity)
                } else {
                    held.sub(quantity)
                };
                hold(balances, asset, held.unwrap());
            }
        }
        Ok(())
    }

    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        let id = account.0.to_string();
        self.act(Boundary::Balances, &id, |books| {
            Ok(books.accounts.get(&account).cloned().unwrap_or_default())
        })
        .await
    }

    fn rules(&self, _: Asset) -> InstrumentRules {
        InstrumentRules {
            fee: self.fee,
            lot_step: Quantity::FINEST,
            ..crate::ports::NO_RULES
        }
    }
}

pub(super) fn holding(balances: &Balances, asset: Asset) -> Quantity {
    let held = balances.holdings.iter().find(|(held, _)| *held == asset);
    held.map_or(Quantity::ZERO, |(_, quantity)| *quantity)
}

pub(super) fn hold(balances: &mut Balances, asset: Asset, quantity: Quantity) {
    balances.holdings.retain(|(held, _)| *held != asset);
    if !quantity.is_zero() {
        balances.holdings.push((asset, quantity));
        balances.holdings.sort_unstable();
    }
}

fn half(quantity: Quantity) -> Quantity {
    let half = quantity.value_at("0.5".parse::<Price>().unwrap()).unwrap();
    Quantity::new(half.get())
        .floor_to(Quantity::FINEST)
        .unwrap()
}

async fn pause(span: Duration) {
    if !span.is_zero() {
        crate::testing::time_passes(span).await;
    }
}

fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap()
}
