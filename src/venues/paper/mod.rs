//! The paper venue: fills at the decision price, with settable slippage, fee and lot.
//!
//! It is a venue of its own: its books are a log apart from the engine's, and survive it. An
//! order is acted on once, ever, by its client order id (or, where it is set so, once while it is
//! open); a transfer once by its id.
//!
//! ```text
//! place ─► known? its report ─► else decide ─► append (durable) ─► adopt ─► report
//!                                     └─► stays open ─► slice … slice ─► closed
//! ```
//!
//! Every call first meets its fault ([`Faults`]), then brings open orders up to date.

mod account;
mod books;
mod faults;
mod orders;
mod record;
mod seen;
mod settings;
#[cfg(test)]
mod tests;

pub use books::{PaperError, PaperOrder};
pub use faults::{Call, Fault, Faults, Slices};
pub use settings::{FeeIn, IdRule, PaperSettings};

use std::sync::Arc;

use async_trait::async_trait;
use evenkeel_actors::ports::{
    Balances, Clock, Venue, VenueAccount, VenueError, VenueOrder, VenueReport, VenueTransfer,
};
use evenkeel_domain::plan::{InstrumentRules, Side};
use evenkeel_domain::rebalance::Reason;
use evenkeel_domain::values::{Amount, Asset, Price, Quantity};
use evenkeel_events::EventLog;

use account::Account;
use books::Books;
use orders::{Next, Traded};
use record::{ByHand, Ending, Record, Sliced};

/// The paper venue.
pub struct PaperVenue {
    books: Books,
    settings: PaperSettings,
    faults: Faults,
}

impl PaperVenue {
    /// Opens the venue on its own log and reads its books. Fails when they cannot be read.
    pub async fn open(
        log: Arc<dyn EventLog>,
        settings: PaperSettings,
        faults: Faults,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PaperError> {
        Ok(Self {
            books: Books::open(log, clock).await?,
            settings,
            faults,
        })
    }

    /// Trades in an account behind the engine's back, without a fee and without a fault. Refused
    /// when the account does not hold what it takes.
    pub async fn trade_by_hand(
        &self,
        id: VenueAccount,
        side: Side,
        asset: Asset,
        quantity: Quantity,
        price: Price,
    ) -> Result<(), VenueError> {
        let notional = quantity.value_at(price).map_err(overflow)?;
        let fill = Traded {
            quantity,
            price,
            notional,
            fee: Amount::ZERO,
            base_fee: Quantity::ZERO,
        };
        let account = self.books.account(id);
        let mut account = account.lock().await;
        if !account.covers_trade(asset, side, &fill).map_err(overflow)? {
            return Err(refused("the account does not cover the trade"));
        }
        let line = Record::ByHand(ByHand { asset, side, fill });
        self.books.book(id, &mut account, line).await
    }

    /// Every order that something was traded for, in the order of their ends: to prove that no
    /// client order id was acted on twice, and that the sums agree. Reads all books.
    pub async fn traded(&self) -> Result<Vec<PaperOrder>, PaperError> {
        self.books.traded().await
    }

    /// What an account holds, without meeting a fault. Fails when the books cannot be written.
    pub async fn holdings(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        self.held(account).await
    }

    /// The faults that its calls meet.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Lets a call meet its fault.
    async fn meet<T, F>(&self, fault: Fault, act: impl Fn() -> F) -> Result<T, VenueError>
    where
        F: Future<Output = Result<T, VenueError>>,
    {
        match fault {
            Fault::None | Fault::Partial(_) => act().await,
            Fault::ErrorBefore => Err(retryable("an error before acting, on demand")),
            Fault::Refuse => Err(refused("refused on demand")),
            Fault::RateLimited(retry_after) => Err(VenueError::RateLimited { retry_after }),
            Fault::AnswersTwice => {
                act().await?;
                act().await
            }
            Fault::ErrorAfter => {
                act().await?;
                Err(unknown("an error after acting, on demand"))
            }
            Fault::NeverAnswers => {
                act().await?;
                std::future::pending().await
            }
            Fault::Slow(wait) => {
                let answer = act().await;
                tokio::time::sleep(wait).await;
                answer
            }
        }
    }

    async fn accept(&self, order: &VenueOrder, fault: Fault) -> Result<VenueReport, VenueError> {
        let (id, order_id) = (order.account, &order.client_order_id);
        let account = self.books.account(id);
        let mut account = account.lock().await;
        self.bring_up_to_date(id, &mut account, None).await?;
        let known = self.books.known(id, &account, order_id).await?;
        let again = self.settings.ids == IdRule::UniqueAmongOpen;
        if let Some(report) = known.filter(|report| !again || *report == VenueReport::Open) {
            return Ok(report);
        }
        let (record, report) = self.decide(&account, order, fault);
        self.books.book(id, &mut account, record).await?;
        Ok(report)
    }

    /// What becomes of a new order: filled in full, open, or refused with the rule that it breaks.
    fn decide(&self, account: &Account, order: &VenueOrder, fault: Fault) -> (Record, VenueReport) {
        let decided = match fault {
            Fault::Refuse => Err("refused on demand"),
            _ => orders::fill(account, &order.order, &self.settings),
        };
        match (decided, fault) {
            (Ok(fill), Fault::Partial(by)) => {
                let now = self.books.clock().now();
                let record = Record::opened(order, fill.price, by, now);
                (record, VenueReport::Open)
            }
            (Ok(fill), _) => (
                Record::filled(order, fill),
                VenueReport::Filled(fill.fill()),
            ),
            (Err(rule), _) => (
                Record::refused(order, reason(rule)),
                VenueReport::Refused(reason(rule)),
            ),
        }
    }

    /// Carries out what is due of the account's open orders; the one that is asked for may be
    /// filled by being asked for.
    async fn bring_up_to_date(
        &self,
        id: VenueAccount,
        account: &mut Account,
        asked: Option<&str>,
    ) -> Result<(), VenueError> {
        let now = self.books.clock().now();
        let due = account.open.iter().map(|order| {
            let order_id = order.opened.client_order_id.clone();
            let due = order.due(now, asked == Some(&*order_id));
            (order_id, due)
        });
        let due: Vec<(String, u32)> = due.collect();
        for (order_id, times) in due {
            for _ in 0..times {
                self.go_on_with(id, account, &order_id).await?;
            }
        }
        Ok(())
    }

    /// The next slice of an open order, and its end with the last one.
    async fn go_on_with(
        &self,
        id: VenueAccount,
        account: &mut Account,
        order_id: &str,
    ) -> Result<(), VenueError> {
        let Some(order) = account.open_order(order_id) else {
            return Ok(());
        };
        let next = order.next(account, &self.settings).map_err(overflow)?;
        let slice = match next {
            Next::Close(ending) => return self.close(id, account, order_id, ending).await,
            Next::Slice(fill) => fill,
        };
        let line = Record::Sliced(Sliced {
            client_order_id: order_id.to_owned(),
            fill: slice,
        });
        self.books.book(id, account, line).await?;
        let is_full = account
            .open_order(order_id)
            .is_some_and(orders::OpenOrder::is_full);
        if is_full {
            self.close(id, account, order_id, Ending::Filled).await?;
        }
        Ok(())
    }

    async fn close(
        &self,
        id: VenueAccount,
        account: &mut Account,
        order_id: &str,
        ending: Ending,
    ) -> Result<(), VenueError> {
        let Some(order) = account.open_order(order_id) else {
            return Ok(());
        };
        let line = Record::closed(order, ending);
        self.books.book(id, account, line).await
    }

    async fn report(
        &self,
        id: VenueAccount,
        order_id: &str,
    ) -> Result<Option<VenueReport>, VenueError> {
        let account = self.books.account(id);
        let mut account = account.lock().await;
        self.bring_up_to_date(id, &mut account, Some(order_id))
            .await?;
        self.books.known(id, &account, order_id).await
    }

    async fn withdraw_order(&self, id: VenueAccount, order_id: &str) -> Result<(), VenueError> {
        let account = self.books.account(id);
        let mut account = account.lock().await;
        self.bring_up_to_date(id, &mut account, None).await?;
        self.close(id, &mut account, order_id, Ending::Cancelled)
            .await
    }

    async fn move_funds(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        let account = self.books.account(transfer.account);
        let mut account = account.lock().await;
        let id = transfer.transfer_id;
        let known = account.has_transfer(id)
            || (!account.remembers_all()
                && self.books.may_have(transfer.account, &id)
                && self
                    .books
                    .look_up(transfer.account, |record| record.transfers(id))
                    .await?
                    .is_some());
        if known {
            return Ok(());
        }
        self.bring_up_to_date(transfer.account, &mut account, None)
            .await?;
        if !account.covers(transfer) {
            return Err(refused("the account does not hold what is to go out"));
        }
        let line = Record::of_transfer(transfer);
        self.books.book(transfer.account, &mut account, line).await
    }

    async fn held(&self, id: VenueAccount) -> Result<Balances, VenueError> {
        let account = self.books.account(id);
        let mut account = account.lock().await;
        self.bring_up_to_date(id, &mut account, None).await?;
        Ok(account.balances.clone())
    }
}

#[async_trait]
impl Venue for PaperVenue {
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError> {
        match self.faults.next(Call::Place, order.account) {
            // A refused order is an order with a report.
            Fault::Refuse => self.accept(order, Fault::Refuse).await,
            // Both arrive while the order is open, so also the id rule of open orders knows it.
            Fault::AnswersTwice => {
                let first = self.accept(order, Fault::None).await?;
                let second = self.report(order.account, &order.client_order_id).await?;
                Ok(second.unwrap_or(first))
            }
            fault => self.meet(fault, || self.accept(order, fault)).await,
        }
    }

    async fn find(
        &self,
        account: VenueAccount,
        client_order_id: &str,
    ) -> Result<Option<VenueReport>, VenueError> {
        let fault = self.faults.next(Call::Find, account);
        self.meet(fault, || self.report(account, client_order_id))
            .await
    }

    async fn cancel(&self, account: VenueAccount, client_order_id: &str) -> Result<(), VenueError> {
        let fault = self.faults.next(Call::Cancel, account);
        self.meet(fault, || self.withdraw_order(account, client_order_id))
            .await
    }

    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        let fault = self.faults.next(Call::Transfer, transfer.account);
        self.meet(fault, || self.move_funds(transfer)).await
    }

    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        let fault = self.faults.next(Call::Balances, account);
        self.meet(fault, || self.held(account)).await
    }

    fn rules(&self, _: Asset) -> InstrumentRules {
        let PaperSettings {
            slippage,
            fee,
            lot_step,
            min_notional,
            ..
        } = self.settings;
        InstrumentRules {
            lot_step,
            min_notional,
            fee,
            slippage,
            ..InstrumentRules::NONE
        }
    }
}

/// A reason, cut to the length that one may have.
fn reason(text: &str) -> Reason {
    let cut: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Reason::optional(&cut).unwrap_or_default()
}

fn retryable(text: &str) -> VenueError {
    VenueError::Retryable(reason(text))
}

fn refused(text: &str) -> VenueError {
    VenueError::Refused(reason(text))
}

fn unknown(text: &str) -> VenueError {
    VenueError::Unknown(reason(text))
}

fn overflow(error: evenkeel_domain::values::ArithmeticError) -> VenueError {
    refused(&error.to_string())
}
