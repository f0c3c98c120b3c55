//! The catalogue of event types: name, payload version, and how bytes become an event again.
//!
//! A payload's layout is frozen with its version. To change one: keep the old struct, give the
//! new one the next version, and turn the old into the new in [`decode`] (an upcast).

use evenkeel_domain::Event;
use evenkeel_domain::access::{AccessEvent, OwnerCreatedV1, TokenIssuedV1, TokenIssuedV2};
use evenkeel_domain::index::{CheckSkipped, IndexCreatedV1, IndexEvent, IndexUpdatedV1};
use evenkeel_domain::job::JobEvent;
use evenkeel_domain::market::MarketEvent;
use evenkeel_domain::rebalance::{RebalanceEvent, RebalanceStartedV1, TradeExecutedV1};
use evenkeel_domain::request::RequestEvent;
use evenkeel_domain::trading::TradingEvent;
use evenkeel_domain::webhook::{
    AttemptFailedV1, DeliveryFailedV1, SecretRotatedV1, WebhookCreatedV1, WebhookCreatedV2,
    WebhookEvent, WebhookUpdatedV1, WebhookUpdatedV2,
};
use evenkeel_events::codec::{self, CodecError};
use serde_json::Value;

/// Why a stored event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A type or version that this program does not know: a newer one wrote it.
    #[error(
        "event type {event_type} v{payload_version} is unknown here; a newer evenkeel wrote it"
    )]
    Unknown {
        /// Type name.
        event_type: String,
        /// Payload version.
        payload_version: u16,
    },
    /// The payload is not what its type says.
    #[error("event type {event_type}: {source}")]
    Payload {
        /// Type name.
        event_type: String,
        /// What is wrong with it.
        source: CodecError,
    },
}

/// One line per event type: its name, its current version, where it stands in the domain; and one
/// per layout of the past, with what it is upcast to.
macro_rules! catalogue {
    (
        now { $($name:literal v $version:literal => $group:ident($family:ident::$variant:ident),)+ }
        old { $($was:literal v $past:literal $layout:ident => $to:ident($of:ident::$now:ident),)+ }
    ) => {
        /// All event types with their current payload versions.
        pub const TYPES: &[(&str, u16)] = &[$(($name, $version)),+];

        /// Type name and payload version of an event.
        pub fn type_of(event: &Event) -> (&'static str, u16) {
            match event {
                $(Event::$group($family::$variant(_)) => ($name, $version),)+
            }
        }

        /// The payload of an event as stored bytes.
        pub fn encode(event: &Event) -> Result<Vec<u8>, CodecError> {
            match event {
                $(Event::$group($family::$variant(payload)) => codec::encode(payload),)+
            }
        }

        /// An event from its type, version and stored bytes.
        pub fn decode(event_type: &str, payload_version: u16, payload: &[u8]) -> Result<Event, CatalogueError> {
            let refuse = |source| CatalogueError::Payload { event_type: event_type.to_owned(), source };
            match (event_type, payload_version) {
                $(($name, $version) => codec::decode(payload)
                    .map(|payload| Event::$group($family::$variant(payload)))
                    .map_err(refuse),)+
                $(($was, $past) => codec::decode::<$layout>(payload)
                    .map(|payload| Event::$to($of::$now(payload.into())))
                    .map_err(refuse),)+
                _ => Err(CatalogueError::Unknown { event_type: event_type.to_owned(), payload_version }),
            }
        }

        /// The payload of an event as JSON.
        pub fn to_json(event: &Event) -> Value {
            let json = match event {
                $(Event::$group($family::$variant(payload)) => serde_json::to_value(payload),)+
            };
            // Payloads are plain structs with string keys, which JSON always takes.
            json.unwrap_or_default()
        }
    };
}

catalogue! {
    now {
        "index.created" v 2 => Index(IndexEvent::Created),
        "index.updated" v 2 => Index(IndexEvent::Updated),
        "index.paused" v 1 => Index(IndexEvent::Paused),
        "index.resumed" v 1 => Index(IndexEvent::Resumed),
        "index.deleted" v 1 => Index(IndexEvent::Deleted),
        "index.deposited" v 1 => Index(IndexEvent::Deposited),
        "index.withdrawn" v 1 => Index(IndexEvent::Withdrawn),
        "index.transfer_settled" v 1 => Index(IndexEvent::TransferSettled),
        "index.check_skipped" v 2 => Index(IndexEvent::CheckSkipped),
        "index.trading_mode_set" v 1 => Index(IndexEvent::TradingModeSet),
        "index.check_recovered" v 1 => Index(IndexEvent::CheckRecovered),
        "index.reconciled" v 1 => Index(IndexEvent::Reconciled),
        "drift.detected" v 1 => Index(IndexEvent::DriftDetected),
        "drift.threshold_exceeded" v 1 => Index(IndexEvent::ThresholdExceeded),
        "drift.band_breached" v 1 => Index(IndexEvent::BandBreached),
        "rebalance.started" v 2 => Rebalance(RebalanceEvent::Started),
        "rebalance.approved" v 1 => Rebalance(RebalanceEvent::Approved),
        "order.intended" v 1 => Rebalance(RebalanceEvent::OrderIntended),
        "order.accepted" v 1 => Rebalance(RebalanceEvent::OrderAccepted),
        "trade.executed" v 2 => Rebalance(RebalanceEvent::TradeExecuted),
        "trade.failed" v 1 => Rebalance(RebalanceEvent::TradeFailed),
        "rebalance.stuck" v 1 => Rebalance(RebalanceEvent::Stuck),
        "rebalance.replanned" v 1 => Rebalance(RebalanceEvent::Replanned),
        "rebalance.cancel_requested" v 1 => Rebalance(RebalanceEvent::CancelRequested),
        "rebalance.cancelled" v 1 => Rebalance(RebalanceEvent::Cancelled),
        "rebalance.completed" v 1 => Rebalance(RebalanceEvent::Completed),
        "rebalance.failed" v 1 => Rebalance(RebalanceEvent::Failed),
        "prices.recorded" v 1 => Market(MarketEvent::PricesRecorded),
        "price.held" v 1 => Market(MarketEvent::PriceHeld),
        "job.scheduled" v 1 => Job(JobEvent::Scheduled),
        "job.run_completed" v 1 => Job(JobEvent::RunCompleted),
        "job.failed" v 1 => Job(JobEvent::Failed),
        "webhook.created" v 3 => Webhook(WebhookEvent::Created),
        "webhook.updated" v 3 => Webhook(WebhookEvent::Updated),
        "webhook.deleted" v 1 => Webhook(WebhookEvent::Deleted),
        "webhook.enabled" v 1 => Webhook(WebhookEvent::Enabled),
        "webhook.disabled" v 1 => Webhook(WebhookEvent::Disabled),
        "webhook.secret_rotated" v 2 => Webhook(WebhookEvent::SecretRotated),
        "webhook.redelivery_requested" v 1 => Webhook(WebhookEvent::RedeliveryRequested),
        "webhook.checkpointed" v 1 => Webhook(WebhookEvent::Checkpointed),
        "delivery.attempt_failed" v 2 => Webhook(WebhookEvent::AttemptFailed),
        "delivery.succeeded" v 1 => Webhook(WebhookEvent::Delivered),
        "delivery.failed" v 2 => Webhook(WebhookEvent::DeliveryFailed),
        "owner.created" v 2 => Access(AccessEvent::OwnerCreated),
        "token.issued" v 3 => Access(AccessEvent::TokenIssued),
        "token.revoked" v 1 => Access(AccessEvent::TokenRevoked),
        "owner.erased" v 1 => Access(AccessEvent::OwnerErased),
        "trading.mode_set" v 1 => Trading(TradingEvent::ModeSet),
        "request.begun" v 1 => Request(RequestEvent::Begun),
        "request.answered" v 1 => Request(RequestEvent::Answered),
    }
    old {
        "index.created" v 1 IndexCreatedV1 => Index(IndexEvent::Created),
        "index.updated" v 1 IndexUpdatedV1 => Index(IndexEvent::Updated),
        "index.check_skipped" v 1 CheckSkipped => Index(IndexEvent::CheckSkipped),
        "rebalance.started" v 1 RebalanceStartedV1 => Rebalance(RebalanceEvent::Started),
        "trade.executed" v 1 TradeExecutedV1 => Rebalance(RebalanceEvent::TradeExecuted),
        "webhook.created" v 1 WebhookCreatedV1 => Webhook(WebhookEvent::Created),
        "webhook.created" v 2 WebhookCreatedV2 => Webhook(WebhookEvent::Created),
        "webhook.updated" v 1 WebhookUpdatedV1 => Webhook(WebhookEvent::Updated),
        "webhook.updated" v 2 WebhookUpdatedV2 => Webhook(WebhookEvent::Updated),
        "webhook.secret_rotated" v 1 SecretRotatedV1 => Webhook(WebhookEvent::SecretRotated),
        "delivery.attempt_failed" v 1 AttemptFailedV1 => Webhook(WebhookEvent::AttemptFailed),
        "delivery.failed" v 1 DeliveryFailedV1 => Webhook(WebhookEvent::DeliveryFailed),
        "owner.created" v 1 OwnerCreatedV1 => Access(AccessEvent::OwnerCreated),
        "token.issued" v 1 TokenIssuedV1 => Access(AccessEvent::TokenIssued),
        "token.issued" v 2 TokenIssuedV2 => Access(AccessEvent::TokenIssued),
    }
}
