//! The paper venue: fills at the decision price, with settable slippage, fee and lot.
//!
//! It is a venue of its own: its books are a log apart from the engine's, and survive it. An
//! order is acted on once, ever, by its client order id; a transfer once by its id.
//!
//! ```text
//! place ─► known? its report ─► else decide ─► append (durable) ─► adopt ─► report
//! ```

mod account;
mod faults;
mod record;
mod seen;
#[cfg(test)]
mod tests;

pub use faults::{Fault, Faults};

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use evenkeel_actors::ports::{
    Balances, Clock, Venue, VenueAccount, VenueError, VenueOrder, VenueReport, VenueTransfer,
};
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::Reason;
use evenkeel_domain::values::{Amount, Asset, IndexId, Percent, Quantity};
use evenkeel_events::codec::CodecError;
use evenkeel_events::{Direction, EventLog, ReadError, StreamId};
use tokio::sync::Mutex;

use account::Account;
use record::Record;
use seen::Seen;

/// Records read per page while the books are opened.
const PAGE: usize = 2_048;

/// How the paper venue trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaperSettings {
    /// Distance of a fill from the decision price, against the trader, in per cent.
    pub slippage: Percent,
    /// Fee in per cent of the notional.
    pub fee: Percent,
    /// Quantities are multiples of this.
    pub lot_step: Quantity,
    /// Smaller orders are refused.
    pub min_notional: Amount,
}

impl Default for PaperSettings {
    /// No costs, and lots fine enough not to matter.
    fn default() -> Self {
        Self {
            slippage: Percent::ZERO,
            fee: Percent::ZERO,
            lot_step: Quantity::FINEST,
            min_notional: Amount::ZERO,
        }
    }
}

/// Why the venue did not open.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// Its log cannot be read.
    #[error("the paper venue's books cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A record in it cannot.
    #[error("the paper venue's books at position {position}: {source}")]
    Record {
        /// Where it stands.
        position: u64,
        /// What is wrong with it.
        source: CodecError,
    },
}

/// The paper venue.
pub struct PaperVenue {
    log: Arc<dyn EventLog>,
    settings: PaperSettings,
    faults: Faults,
    clock: Arc<dyn Clock>,
    /// Each account has its own lock: accounts do not wait for each other.
    accounts: std::sync::Mutex<HashMap<VenueAccount, Arc<Mutex<Account>>>>,
    seen: Seen,
}

impl PaperVenue {
    /// Opens the venue on its own log and reads its books.
    pub async fn open(
        log: Arc<dyn EventLog>,
        settings: PaperSettings,
        faults: Faults,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PaperError> {
        let mut accounts: HashMap<VenueAccount, Account> = HashMap::new();
        let seen = Seen::default();
        let mut after = 0;
        loop {
            let page = log.read(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for recorded in &page {
                let Some(account) = account_of(&recorded.stream) else {
                    continue;
                };
                let record = Record::read(recorded).map_err(|source| PaperError::Record {
                    position: recorded.position,
                    source,
                })?;
                record.note(&seen, account);
                accounts
                    .entry(account)
                    .or_default()
                    .adopt(record, recorded.version);
            }
        }
        let locked = accounts
            .into_iter()
            .map(|(id, account)| (id, Arc::new(Mutex::new(account))));
        let accounts = std::sync::Mutex::new(locked.collect());
        Ok(Self {
            log,
            settings,
            faults,
            clock,
            accounts,
            seen,
        })
    }

    fn account(&self, id: VenueAccount) -> Arc<Mutex<Account>> {
        // Each use is one look-up or insertion, so a poisoned lock is used on.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(id).or_default())
    }

    /// The report of an order: newest ones are in memory, older ones in the log.
    async fn known(
        &self,
        id: VenueAccount,
        account: &Account,
        order: &str,
    ) -> Result<Option<VenueReport>, VenueError> {
        if let Some(report) = account.report(order) {
            return Ok(Some(report));
        }
        if account.remembers_all() || !self.seen.may_have(id, order) {
            return Ok(None);
        }
        self.look_up(id, |record| record.report_of(order)).await
    }

    /// Searches an account's records from the newest to the oldest.
    async fn look_up<T>(
        &self,
        id: VenueAccount,
        wanted: impl Fn(&Record) -> Option<T>,
    ) -> Result<Option<T>, VenueError> {
        let (stream, mut before) = (stream_of(id), u64::MAX);
        loop {
            let page = self
                .log
                .read_stream(&stream, before, PAGE, Direction::Backward)
                .await;
            let page = page.map_err(|error| retryable(&error.to_string()))?;
            for recorded in &page {
                before = recorded.version;
                let record =
                    Record::read(recorded).map_err(|error| retryable(&error.to_string()))?;
                if let Some(found) = wanted(&record) {
                    return Ok(Some(found));
                }
            }
            if page.len() < PAGE {
                return Ok(None);
            }
        }
    }

    /// Appends a record and adopts it. What an append that failed did nobody knows, so its id is
    /// noted before.
    async fn book(
        &self,
        id: VenueAccount,
        account: &mut Account,
        record: Record,
    ) -> Result<(), VenueError> {
        record.note(&self.seen, id);
        let append = record.append(stream_of(id), account.version, self.clock.now());
        let append = append.map_err(|error| retryable(&error.to_string()))?;
        let appended = self
            .log
            .append(vec![append])
            .await
            .map_err(|error| VenueError::Unknown(reason(&error.to_string())))?;
        account.adopt(
            record,
            appended.versions.first().copied().unwrap_or_default(),
        );
        Ok(())
    }

    async fn carry_out(&self, order: &VenueOrder, refuse: bool) -> Result<VenueReport, VenueError> {
        let account = self.account(order.account);
        let mut account = account.lock().await;
        if let Some(report) = self
            .known(order.account, &account, &order.client_order_id)
            .await?
        {
            return Ok(report);
        }
        let report = if refuse {
            VenueReport::Refused(reason("refused on demand"))
        } else {
            account.decide(&order.order, &self.settings)
        };
        let record = Record::of_order(order, &report);
        self.book(order.account, &mut account, record).await?;
        Ok(report)
    }
}

#[async_trait]
impl Venue for PaperVenue {
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError> {
        match self.faults.next() {
            Fault::None => self.carry_out(order, false).await,
            Fault::Refuse => self.carry_out(order, true).await,
            Fault::ErrorBefore => Err(retryable("an error before acting, on demand")),
            Fault::ErrorAfter => {
                self.carry_out(order, false).await?;
                Err(VenueError::Unknown(reason(
                    "an error after acting, on demand",
                )))
            }
            Fault::NeverAnswers => {
                self.carry_out(order, false).await?;
                std::future::pending().await
            }
        }
    }

    async fn find(
        &self,
        account: VenueAccount,
        client_order_id: &str,
    ) -> Result<Option<VenueReport>, VenueError> {
        let id = account;
        let account = self.account(id);
        let account = account.lock().await;
        self.known(id, &account, client_order_id).await
    }

    /// Every order is closed when it is answered, so there is nothing to close.
    async fn cancel(&self, _: VenueAccount, _: &str) -> Result<(), VenueError> {
        Ok(())
    }

    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError> {
        let account = self.account(transfer.account);
        let mut account = account.lock().await;
        let id = transfer.transfer_id;
        let known = account.has_transfer(id)
            || (!account.remembers_all()
                && self.seen.may_have(transfer.account, &id)
                && self
                    .look_up(transfer.account, |record| record.transfers(id))
                    .await?
                    .is_some());
        if known {
            return Ok(());
        }
        if !account.covers(transfer) {
            return Err(VenueError::Refused(reason(
                "the account does not hold what is to go out",
            )));
        }
        self.book(
            transfer.account,
            &mut account,
            Record::of_transfer(transfer),
        )
        .await
    }

    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError> {
        let account = self.account(account);
        let account = account.lock().await;
        Ok(account.balances.clone())
    }

    fn rules(&self, _: Asset) -> InstrumentRules {
        let PaperSettings {
            slippage,
            fee,
            lot_step,
            min_notional,
        } = self.settings;
        InstrumentRules {
            lot_step,
            min_notional,
            fee,
            slippage,
        }
    }
}

/// The stream of an account: its index's id, under a name of the venue's own.
fn stream_of(account: VenueAccount) -> StreamId {
    #[expect(
        clippy::expect_used,
        reason = "`acct_` and 32 hex digits are a stream name"
    )]
    StreamId::new(format!("acct_{:032x}", account.0.as_u128())).expect("a stream name")
}

fn account_of(stream: &StreamId) -> Option<VenueAccount> {
    let digits = stream.as_str().strip_prefix("acct_")?;
    u128::from_str_radix(digits, 16)
        .ok()
        .map(|bits| VenueAccount(IndexId::from_u128(bits)))
}

/// A reason, cut to the length that one may have.
fn reason(text: &str) -> Reason {
    let cut: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Reason::optional(&cut).unwrap_or_default()
}

fn retryable(text: &str) -> VenueError {
    VenueError::Retryable(reason(text))
}
