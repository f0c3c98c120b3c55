//! What the paper venue's log holds. Layouts are frozen with their version.

use bytes::Bytes;
use evenkeel_actors::ports::{VenueAccount, VenueOrder, VenueReport, VenueTransfer};
use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::Reason;
use evenkeel_domain::values::{Amount, Asset, Price, Quantity, Timestamp, TransferId};
use evenkeel_events::codec::{self, CodecError};
use evenkeel_events::{
    Causation, Expected, Metadata, NewEvent, OwnerKey, Recorded, StreamAppend, StreamId, Version,
};
use serde::{Deserialize, Serialize};

use super::faults::Slices;
use super::orders::{self, OpenOrder, Traded};
use super::seen::Seen;

const TRANSFERRED: &str = "paper.transferred";
const FILLED: &str = "paper.filled";
const REFUSED: &str = "paper.refused";
const OPENED: &str = "paper.opened";
const SLICED: &str = "paper.sliced";
const CLOSED: &str = "paper.closed";
const BY_HAND: &str = "paper.traded_by_hand";

/// One line of an account's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Transferred(Transferred),
    /// An order that was filled at once.
    Filled(Filled),
    Refused(Refused),
    /// An order that stays open.
    Opened(Opened),
    Sliced(Sliced),
    Closed(Closed),
    /// A trade that no order of the engine asked for.
    ByHand(ByHand),
}

/// `paper.transferred` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transferred {
    pub(super) transfer_id: TransferId,
    pub(super) funds: Funds,
    pub(super) incoming: bool,
}

/// `paper.filled` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filled {
    pub(super) client_order_id: String,
    pub(super) asset: Asset,
    pub(super) side: Side,
    pub(super) fill: Traded,
}

/// `paper.filled` v1: fees were in cash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FilledV1 {
    client_order_id: String,
    asset: Asset,
    side: Side,
    quantity: Quantity,
    price: Price,
    notional: Amount,
    fee: Amount,
}

impl From<FilledV1> for Filled {
    fn from(old: FilledV1) -> Self {
        Self {
            client_order_id: old.client_order_id,
            asset: old.asset,
            side: old.side,
            fill: Traded {
                quantity: old.quantity,
                price: old.price,
                notional: old.notional,
                fee: old.fee,
                base_fee: Quantity::ZERO,
            },
        }
    }
}

/// `paper.refused` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) client_order_id: String,
    pub(super) reason: Reason,
}

/// `paper.opened` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) client_order_id: String,
    pub(super) asset: Asset,
    pub(super) side: Side,
    pub(super) quantity: Quantity,
    /// What every slice of it is filled at.
    pub(super) price: Price,
    pub(super) slices: u32,
    /// After so many slices it expires.
    pub(super) filled: u32,
    /// The time of a slice; none for one whenever the order is asked for.
    pub(super) every_ms: Option<u64>,
    pub(super) at: Timestamp,
}

/// `paper.sliced` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sliced {
    pub(super) client_order_id: String,
    pub(super) fill: Traded,
}

/// How an order that was open ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    Filled,
    Expired,
    Cancelled,
}

/// `paper.closed` v1. The fill is the sum of its slices, which have moved the balances already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    pub(super) client_order_id: String,
    pub(super) asset: Asset,
    pub(super) side: Side,
    pub(super) fill: Option<Traded>,
    pub(super) ending: Ending,
}

/// `paper.traded_by_hand` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ByHand {
    pub(super) asset: Asset,
    pub(super) side: Side,
    pub(super) fill: Traded,
}

impl Record {
    pub(super) fn filled(order: &VenueOrder, fill: Traded) -> Self {
        Self::Filled(Filled {
            client_order_id: order.client_order_id.clone(),
            asset: order.order.asset,
            side: order.order.side,
            fill,
        })
    }

    pub(super) fn refused(order: &VenueOrder, reason: Reason) -> Self {
        Self::Refused(Refused {
            client_order_id: order.client_order_id.clone(),
            reason,
        })
    }

    pub(super) fn opened(order: &VenueOrder, price: Price, by: Slices, at: Timestamp) -> Self {
        Self::Opened(Opened {
            client_order_id: order.client_order_id.clone(),
            asset: order.order.asset,
            side: order.order.side,
            quantity: order.order.quantity,
            price,
            slices: by.of,
            filled: by.filled,
            every_ms: by.every.map(evenkeel_domain::values::Span::as_millis),
            at,
        })
    }

    pub(super) fn closed(order: &OpenOrder, ending: Ending) -> Self {
        Self::Closed(Closed {
            client_order_id: order.opened.client_order_id.clone(),
            asset: order.opened.asset,
            side: order.opened.side,
            fill: order.filled,
            ending,
        })
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

    /// The report of an order, for the line that closed it.
    pub(super) fn report_of(&self, client_order_id: &str) -> Option<VenueReport> {
        let (id, report) = match self {
            Self::Filled(line) => (&line.client_order_id, VenueReport::Filled(line.fill.fill())),
            Self::Refused(line) => (
                &line.client_order_id,
                VenueReport::Refused(line.reason.clone()),
            ),
            Self::Closed(line) => (
                &line.client_order_id,
                orders::report(line.fill, line.ending),
            ),
            Self::Transferred(_) | Self::Opened(_) | Self::Sliced(_) | Self::ByHand(_) => {
                return None;
            }
        };
        (id == client_order_id).then_some(report)
    }

    /// Notes the id that the record is found by.
    pub(super) fn note(&self, seen: &Seen, account: VenueAccount) {
        match self {
            Self::Transferred(line) => seen.note(account, &line.transfer_id),
            Self::Filled(line) => seen.note(account, line.client_order_id.as_str()),
            Self::Refused(line) => seen.note(account, line.client_order_id.as_str()),
            Self::Opened(line) => seen.note(account, line.client_order_id.as_str()),
            Self::Closed(line) => seen.note(account, line.client_order_id.as_str()),
            Self::Sliced(_) | Self::ByHand(_) => {}
        }
    }

    pub(super) fn transfers(&self, id: TransferId) -> Option<()> {
        matches!(self, Self::Transferred(line) if line.transfer_id == id).then_some(())
    }

    /// Type, version and bytes.
    pub(super) fn stored(&self) -> Result<(&'static str, u16, Vec<u8>), CodecError> {
        Ok(match self {
            Self::Transferred(line) => (TRANSFERRED, 1, codec::encode(line)?),
            Self::Filled(line) => (FILLED, 2, codec::encode(line)?),
            Self::Refused(line) => (REFUSED, 1, codec::encode(line)?),
            Self::Opened(line) => (OPENED, 1, codec::encode(line)?),
            Self::Sliced(line) => (SLICED, 1, codec::encode(line)?),
            Self::Closed(line) => (CLOSED, 1, codec::encode(line)?),
            Self::ByHand(line) => (BY_HAND, 1, codec::encode(line)?),
        })
    }

    pub(super) fn append(
        &self,
        stream: StreamId,
        expected: Version,
        now: Timestamp,
    ) -> Result<StreamAppend, CodecError> {
        let (event_type, payload_version, payload) = self.stored()?;
        let metadata = Metadata {
            owner: OwnerKey::SYSTEM,
            by: "paper".into(),
            cause: Causation::default(),
            recorded_at_us: now.as_micros(),
        };
        let event = NewEvent {
            event_type,
            payload_version,
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
        Self::of_stored(
            &recorded.event_type,
            recorded.payload_version,
            &recorded.payload,
        )
    }

    pub(super) fn of_stored(
        event_type: &str,
        version: u16,
        payload: &[u8],
    ) -> Result<Self, CodecError> {
        match (event_type, version) {
            (TRANSFERRED, 1) => codec::decode(payload).map(Self::Transferred),
            (FILLED, 1) => codec::decode::<FilledV1>(payload).map(|line| Self::Filled(line.into())),
            (FILLED, 2) => codec::decode(payload).map(Self::Filled),
            (REFUSED, 1) => codec::decode(payload).map(Self::Refused),
            (OPENED, 1) => codec::decode(payload).map(Self::Opened),
            (SLICED, 1) => codec::decode(payload).map(Self::Sliced),
            (CLOSED, 1) => codec::decode(payload).map(Self::Closed),
            (BY_HAND, 1) => codec::decode(payload).map(Self::ByHand),
            (other, version) => Err(CodecError::Decode(format!(
                "{other} v{version} is unknown here; a newer evenkeel wrote it"
            ))),
        }
    }
}
