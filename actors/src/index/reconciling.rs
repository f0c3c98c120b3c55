//! How an index compares its books with its venue: the venue is asked beside the actor, which
//! goes on meanwhile; what it says counts if nothing has happened to the index since.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::index::{self, Index, IndexCommand, IndexEvent, Status};
use evenkeel_events::AppendError;
use ractor::ActorRef;
use tokio::time::timeout;

use super::IndexMsg;
use super::live::Live;
use crate::journal::Origin;
use crate::ports::{Balances, Venue, VenueAccount, VenueError};
use crate::reconciliation::{Compared, ReconcileRequest};

/// Longest wait for a venue's balances.
const BALANCES_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks per run before the index waits for the next one.
const ASKS_MAX: u32 = 3;

/// Wait after an ask that failed, unless the venue names one.
const ASK_WAIT: Duration = Duration::from_millis(200);

/// What a venue said, and at which version of the index it was asked.
pub(crate) struct HeldAtVenue {
    version: u64,
    balances: Balances,
    request: ReconcileRequest,
}

impl Live {
    /// Has the venue asked, where there is something to compare.
    pub(super) fn reconcile(&self, myself: &ActorRef<IndexMsg>, request: ReconcileRequest) {
        let venue = match (compared_at_once(self.index.as_ref()), &self.venue) {
            (Some(compared), _) => {
                // A run that is gone needs no answer, here and below.
                let _ = request.reply.send(compared);
                return;
            }
            (None, None) => {
                let _ = request.reply.send(Compared::Failed);
                return;
            }
            (None, Some(venue)) => Arc::clone(venue),
        };
        let (myself, account, version) = (myself.clone(), VenueAccount(self.id), self.version);
        tokio::spawn(async move {
            let Some(balances) = ask(&*venue, account).await else {
                let _ = request.reply.send(Compared::Failed);
                return;
            };
            let held = HeldAtVenue {
                version,
                balances,
                request,
            };
            // An actor that is gone drops the reply, which counts as failed.
            let _ = myself.cast(IndexMsg::HeldAtVenue(Box::new(held)));
        });
    }

    /// Books what the venue holds.
    pub(super) async fn take_held(&mut self, held: HeldAtVenue) -> Result<(), AppendError> {
        let HeldAtVenue {
            version,
            balances,
            request,
        } = held;
        let compared = if version == self.version {
            self.book_held(&balances, &request.origin).await?
        } else {
            Compared::Busy
        };
        let _ = request.reply.send(compared);
        Ok(())
    }

    async fn book_held(
        &mut self,
        balances: &Balances,
        origin: &Origin,
    ) -> Result<Compared, AppendError> {
        let command = IndexCommand::Reconcile {
            cash: balances.cash,
            holdings: balances.lines(),
        };
        let events = match index::decide(self.index.as_ref(), command, self.shell.now()) {
            Ok(events) => events,
            Err(refusal) => {
                tracing::error!(index = %self.id, %refusal, "what the venue holds cannot be booked");
                return Ok(Compared::Failed);
            }
        };
        if events.is_empty() {
            return Ok(Compared::Same);
        }
        for event in &events {
            if let IndexEvent::Reconciled(found) = event {
                tracing::warn!(index = %self.id, ?found, "the venue holds something else than the books said");
            }
        }
        let owner = self.index.as_ref().map(|index| index.owner);
        let origin = Origin {
            owner,
            ..origin.clone()
        };
        let events = events.into_iter().map(Event::Index).collect();
        self.commit(events, &origin).await?;
        Ok(Compared::Corrected)
    }
}

/// How the comparison ends without the venue, if it does.
fn compared_at_once(index: Option<&Index>) -> Option<Compared> {
    let Some(index) = index.filter(|index| index.status != Status::Deleted) else {
        return Some(Compared::Idle);
    };
    if index.rebalance.is_some() || !index.transfers.is_empty() {
        return Some(Compared::Busy);
    }
    (!index.has_funds()).then_some(Compared::Idle)
}

async fn ask(venue: &dyn Venue, account: VenueAccount) -> Option<Balances> {
    for asked in 1..=ASKS_MAX {
        let wait = match timeout(BALANCES_TIMEOUT, venue.balances(account)).await {
            Ok(Ok(balances)) => return Some(balances),
            Ok(Err(VenueError::RateLimited { retry_after })) => retry_after.min(BALANCES_TIMEOUT),
            Ok(Err(error)) => {
                tracing::warn!(index = %account.0, %error, "the venue does not tell what it holds");
                ASK_WAIT
            }
            Err(_) => ASK_WAIT,
        };
        if asked < ASKS_MAX {
            tokio::time::sleep(wait).await;
        }
    }
    None
}
