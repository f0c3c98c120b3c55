//! One event of each kind of a subscription.

use super::reason;
use crate::testing::*;
use crate::values::{IndexId, OwnerId, Sealed, Span, Text, WebhookId};
use crate::webhook::{
    Answer, AttemptFailed, Channel, Checkpointed, Delivered, DeliveryFailed, Filter, Header,
    HeaderName, RATE_MAX, RedeliveryRequested, Schedule, SecretRotated, Signature, Target,
    WebhookCreated, WebhookDeleted, WebhookDisabled, WebhookEnabled, WebhookEvent, WebhookUpdated,
};

fn target() -> Target {
    let url = Text::required("https://example.com/hook").unwrap();
    let events = Filter::new(&["trade.*".to_owned(), "drift.detected".to_owned()]).unwrap();
    Target {
        indexes: vec![IndexId::from_u128(9)],
        tags: vec![Text::required("income").unwrap()],
        retry: Schedule::new(vec![Span::from_secs(5), Span::from_hours(24)]).unwrap(),
        description: Text::required("the ledger").unwrap(),
        headers: vec![Header {
            name: HeaderName::new("X-Gateway-Token").unwrap(),
            value: sealed(),
        }],
        rate_per_second: Some(RATE_MAX),
        signature: Signature::V1a,
        channel: Channel::Slack,
        ..Target::new(url, events)
    }
}

fn answer() -> Answer {
    Answer {
        content_type: Text::required("text/plain").unwrap(),
        body: Text::required("no").unwrap(),
    }
}

fn sealed() -> Sealed {
    Sealed::new(vec![0, 255, 7]).unwrap()
}

pub(super) fn webhook_events() -> Vec<WebhookEvent> {
    vec![
        WebhookEvent::Created(WebhookCreated {
            webhook_id: WebhookId::from_u128(5),
            owner: OwnerId::from_u128(1),
            target: target(),
            enabled: true,
            after: u64::MAX,
            secret: Some(sealed()),
            at: T0,
        }),
        WebhookEvent::Updated(WebhookUpdated {
            target: target(),
            at: T0,
        }),
        WebhookEvent::Enabled(WebhookEnabled { after: 3, at: T0 }),
        WebhookEvent::SecretRotated(SecretRotated {
            generation: 2,
            secret: Some(sealed()),
            overlap_until: hours(24),
            at: T0,
        }),
        WebhookEvent::AttemptFailed(AttemptFailed {
            position: 9,
            attempt: 1,
            status: None,
            reason: reason(),
            answer: answer(),
            duration_ms: 7,
            retry_at: T0.plus(Span::from_secs(2)),
            at: T0,
        }),
        WebhookEvent::Delivered(Delivered {
            position: 8,
            attempts: 2,
            status: 204,
            duration_ms: 3,
            low_water: 4,
            at: T0,
        }),
        WebhookEvent::DeliveryFailed(DeliveryFailed {
            position: 12,
            attempts: 3,
            status: Some(500),
            reason: reason(),
            answer: answer(),
            duration_ms: 7,
            low_water: 5,
            at: T0,
        }),
        WebhookEvent::Checkpointed(Checkpointed {
            low_water: 6,
            at: T0,
        }),
        WebhookEvent::RedeliveryRequested(RedeliveryRequested {
            positions: vec![3, 8],
            at: T0,
        }),
        WebhookEvent::Disabled(WebhookDisabled {
            reason: reason(),
            at: T0,
        }),
        WebhookEvent::Deleted(WebhookDeleted { at: T0 }),
    ]
}
