//! Transfers: booked first, then told to the venue, then noted as settled.

use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::index::{self, IndexCommand, PendingTransfer};
use evenkeel_events::AppendError;
use ractor::ActorRef;

use super::IndexMsg;
use super::live::Live;
use crate::journal::Origin;
use crate::ports::{VenueAccount, VenueTransfer};

/// Longest wait for a venue to take a transfer; it is told again at the next check.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);

impl Live {
    /// Tells the venue of every transfer that it may not know of yet. Idempotent at the venue.
    pub(super) async fn settle_transfers(
        &mut self,
        _: &ActorRef<IndexMsg>,
    ) -> Result<(), AppendError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let (pending, owner) = (index.transfers.clone(), index.owner);
        for transfer in pending {
            if !self.tell_venue(transfer).await {
                break;
            }
            let settle = IndexCommand::SettleTransfer {
                transfer_id: transfer.transfer_id,
            };
            let decided = index::decide(self.index.as_ref(), settle, self.shell.now());
            let events = decided
                .unwrap_or_default()
                .into_iter()
                .map(Event::Index)
                .collect();
            let origin = Origin::new(Some(owner), "system:settlement", self.shell.new_key());
            self.commit(events, &origin).await?;
        }
        Ok(())
    }

    async fn tell_venue(&self, pending: PendingTransfer) -> bool {
        let Some(venue) = &self.venue else {
            return false;
        };
        let PendingTransfer {
            transfer_id,
            funds,
            incoming,
        } = pending;
        let transfer = VenueTransfer {
            account: VenueAccount(self.id),
            transfer_id,
            funds,
            incoming,
        };
        match tokio::time::timeout(TRANSFER_TIMEOUT, venue.transfer(&transfer)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(index = %self.id, transfer = %transfer_id, %error, "the venue did not take the transfer");
                false
            }
            Err(_) => {
                tracing::warn!(index = %self.id, transfer = %transfer_id, "the venue did not answer in time");
                false
            }
        }
    }
}
