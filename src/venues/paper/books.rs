//! The books under the venue: its log, the accounts that are folded from it, and what was ever
//! acted on.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use evenkeel_actors::ports::{Clock, VenueAccount, VenueError, VenueReport};
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::Fill;
use evenkeel_domain::values::{Asset, IndexId};
use evenkeel_events::codec::CodecError;
use evenkeel_events::{Direction, EventLog, ReadError, Recorded, StreamId};
use tokio::sync::Mutex;

use super::account::Account;
use super::record::Record;
use super::seen::Seen;
use super::{reason, retryable};

/// Records read per page.
const PAGE: usize = 2_048;

/// Why the books cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The venue's log cannot be read.
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

/// An order that the venue acted on: something was traded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperOrder {
    /// The account.
    pub account: VenueAccount,
    /// The client order id that it came with.
    pub client_order_id: String,
    /// The asset.
    pub asset: Asset,
    /// Buy or sell.
    pub side: Side,
    /// What was traded, in all its slices.
    pub fill: Fill,
}

/// The log and the accounts.
pub(super) struct Books {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    /// Each account has its own lock: accounts do not wait for each other.
    accounts: std::sync::Mutex<HashMap<VenueAccount, Arc<Mutex<Account>>>>,
    seen: Seen,
}

impl Books {
    pub(super) async fn open(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PaperError> {
        let mut accounts: HashMap<VenueAccount, Account> = HashMap::new();
        let seen = Seen::default();
        each(&*log, |id, recorded, record| {
            record.note(&seen, id);
            let account = accounts.entry(id).or_default();
            account.adopt(record, recorded.version);
        })
        .await?;
        let locked = accounts
            .into_iter()
            .map(|(id, account)| (id, Arc::new(Mutex::new(account))));
        let accounts = std::sync::Mutex::new(locked.collect());
        Ok(Self {
            log,
            clock,
            accounts,
            seen,
        })
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn account(&self, id: VenueAccount) -> Arc<Mutex<Account>> {
        // Each use is one look-up or insertion, so a poisoned lock is used on.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(id).or_default())
    }

    /// The report of an order: newest ones are in memory, older ones in the log.
    pub(super) async fn known(
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
    pub(super) async fn look_up<T>(
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

    /// Whether the books may hold an id; never false for one that they hold.
    pub(super) fn may_have(&self, account: VenueAccount, id: &(impl Hash + ?Sized)) -> bool {
        self.seen.may_have(account, id)
    }

    /// Appends a record and adopts it. What an append that failed did nobody knows, so its id is
    /// noted before.
    pub(super) async fn book(
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

    /// Every order that traded, those that are still open with what they have so far.
    pub(super) async fn traded(&self) -> Result<Vec<PaperOrder>, PaperError> {
        let (mut traded, mut open) = (Vec::new(), HashMap::<VenueAccount, Account>::new());
        each(&*self.log, |account, recorded, record| {
            traded.extend(closed_with(account, &record));
            let state = open.entry(account).or_default();
            state.adopt(record, recorded.version);
        })
        .await?;
        for (account, state) in open {
            traded.extend(state.open.into_iter().filter_map(|order| {
                Some(PaperOrder {
                    account,
                    client_order_id: order.opened.client_order_id,
                    asset: order.opened.asset,
                    side: order.opened.side,
                    fill: order.filled?.fill(),
                })
            }));
        }
        Ok(traded)
    }
}

/// Every record of every account, in the log's order.
async fn each(
    log: &dyn EventLog,
    mut look: impl FnMut(VenueAccount, &Recorded, Record),
) -> Result<(), PaperError> {
    let mut after = 0;
    loop {
        let page = log.read(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.position;
        for recorded in &page {
            let Some(account) = account_of(&recorded.stream) else {
                continue;
            };
            let record = Record::read(recorded).map_err(|source| PaperError::Record {
                position: recorded.position,
                source,
            })?;
            look(account, recorded, record);
        }
    }
}

/// The order that a line closed with something traded.
fn closed_with(account: VenueAccount, record: &Record) -> Option<PaperOrder> {
    let (client_order_id, asset, side, traded) = match record {
        Record::Filled(line) => (&line.client_order_id, line.asset, line.side, line.fill),
        Record::Closed(line) => (&line.client_order_id, line.asset, line.side, line.fill?),
        Record::Transferred(_)
        | Record::Refused(_)
        | Record::Opened(_)
        | Record::Sliced(_)
        | Record::ByHand(_) => return None,
    };
    Some(PaperOrder {
        account,
        client_order_id: client_order_id.clone(),
        asset,
        side,
        fill: traded.fill(),
    })
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
