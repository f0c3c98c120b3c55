//! What the paper venue's log holds. Layouts are frozen with their version.

use bytes::Bytes;
use evenkeel_actors::ports::{VenueAccount, VenueOrder, VenueReport, VenueTransfer};
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::{Fill, Reason};
use evenkeel_domain::values::{Asset, Timestamp, TransferId};
use evenkeel_events::codec::{self, CodecError};
use evenkeel_events::{
    Causation, Expected, Metadata, NewEvent, OwnerKey, Recorded, StreamAppend, StreamId, Version,
};
use serde::{Deserialize, Serialize};

use super::seen::Seen;

const TRANSFERRED: &str = "paper.transferred";
const FILLED: &str = "paper.filled";
const REFUSED: &str = "paper.refused";
const VERSION: u16 = 1;

/// One line of an account's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Transferred(Transferred),
    Filled(Filled),
    Refused(Refused),
}

/// `paper.transferred` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transferred {
    pub(super) transfer_id: TransferId,
    pub(super) funds: Funds,
    pub(super) incoming: bool,
}

/// `paper.filled` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filled {
    pub(super) client_order_id: String,
    pub(super) asset: Asset,
    pub(super) side: Side,
    pub(super) fill: Fill,
}

/// `paper.refused` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) client_order_id: String,
    pub(super) reason: Reason,
}

impl Record {
    pub(super) fn of_order(order: &VenueOrder, report: &VenueReport) -> Self {
        let client_order_id = order.client_order_id.clone();
        match report {
            VenueReport::Filled(fill) => {
                let (asset, side) = (order.order.asset, order.order.side);
                Self::Filled(Filled {
                    client_order_id,
                    asset,
                    side,
                    fill: *fill,
                })
            }
            VenueReport::Refused(reason) => Self::Refused(Refused {
                client_order_id,
                reason: reason.clone(),
            }),
            // The paper venue closes every order at once.
            VenueReport::Open => Self::Refused(Refused {
                client_order_id,
                reason: Reason::default(),
            }),
        }
    }

    pub(super) fn of_transfer(transfer: &VenueTransfer) -> Self {
        let VenueTransfer {
            transfer_id,
            funds,
            incoming,
            ..
        } = *transfer;
        Self::Transferred(Transferred {
            transfer_id,
            funds,
            incoming,
        })
    }

    /// The client order id and the report, for a line about an order.
    pub(super) fn order(&self) -> Option<(&str, VenueReport)> {
        match self {
            Self::Transferred(_) => None,
            Self::Filled(filled) => {
                Some((&filled.client_order_id, VenueReport::Filled(filled.fill)))
            }
            Self::Refused(refused) => Some((
                &refused.client_order_id,
                VenueReport::Refused(refused.reason.clone()),
            )),
        }
    }

    pub(super) fn report_of(&self, client_order_id: &str) -> Option<VenueReport> {
        self.order()
            .filter(|(id, _)| *id == client_order_id)
            .map(|(_, report)| report)
    }

    pub(super) fn transfers(&self, id: TransferId) -> Option<()> {
        matches!(self, Self::Transferred(line) if line.transfer_id == id).then_some(())
    }

    /// Notes the id that the record is found by.
    pub(super) fn note(&self, seen: &Seen, account: VenueAccount) {
        match self {
            Self::Transferred(line) => seen.note(account, &line.transfer_id),
            Self::Filled(line) => seen.note(account, line.client_order_id.as_str()),
            Self::Refused(line) => seen.note(account, line.client_order_id.as_str()),
        }
    }

    pub(super) fn append(
        &self,
        stream: StreamId,
        expected: Version,
        now: Timestamp,
    ) -> Result<StreamAppend, CodecError> {
        let (event_type, payload) = match self {
            Self::Transferred(line) => (TRANSFERRED, codec::encode(line)?),
            Self::Filled(line) => (FILLED, codec::encode(line)?),
            Self::Refused(line) => (REFUSED, codec::encode(line)?),
        };
        let metadata = Metadata {
            owner: OwnerKey::SYSTEM,
            by: "paper".into(),
            cause: Causation::default(),
            recorded_at_us: now.as_micros(),
        };
        let event = NewEvent {
            event_type,
            payload_version: VERSION,
            payload: Bytes::from(payload),
            metadata,
        };
        Ok(StreamAppend {
            stream,
            expected: Expected::Exact(expected),
            events: vec![event],
        })
    }

    pub(super) fn read(recorded: &Recorded) -> Result<Self, CodecError> {
        let payload = &recorded.payload;
        match (&*recorded.event_type, recorded.payload_version) {
            (TRANSFERRED, VERSION) => codec::decode(payload).map(Self::Transferred),
            (FILLED, VERSION) => codec::decode(payload).map(Self::Filled),
            (REFUSED, VERSION) => codec::decode(payload).map(Self::Refused),
            (other, version) => Err(CodecError::Decode(format!(
                "{other} v{version} is unknown here; a newer evenkeel wrote it"
            ))),
        }
    }
}
