//! What a subscriber receives: the same bytes in every attempt, before and after a restart.

use bytes::Bytes;
use evenkeel_domain::Event;
use evenkeel_domain::index::IndexEvent;
use evenkeel_domain::values::{IndexId, WebhookId};
use evenkeel_domain::webhook::{Channel, Target};
use evenkeel_events::{Position, Recorded};
use serde_json::{Map, Value, json};

use super::channel::{self, Item};
use crate::catalogue;
use crate::journal::{self, ReplayError};
use crate::ports::{SigningKey, WebhookRequest};
use crate::shell::Shell;

/// The type of test messages; no logged event has it.
const TEST_EVENT: &str = "webhook.test";

/// `webhook-id`: one per subscription and event, stable over retries and restarts.
pub(crate) fn message_id(webhook: WebhookId, position: Position) -> String {
    format!("msg_{:032x}_{position}", webhook.as_u128())
}

/// The body for an event: `{"type","timestamp","data"}`, data with `indexId` and `indexName`
/// where an index is concerned, with `webhookId` where a subscription is; or what its channel
/// makes of that.
pub(crate) fn body(
    shell: &Shell,
    channel: Channel,
    recorded: &Recorded,
) -> Result<Bytes, ReplayError> {
    let body = channel::body(channel, &item(shell, recorded)?);
    Ok(Bytes::from(body.to_string()))
}

/// The id and the body of a mail of several events. Mail servers drop a message whose id they have
/// seen: it is another one when more events have gathered since the last attempt.
pub(crate) fn digest<'a>(
    shell: &Shell,
    webhook: WebhookId,
    events: impl Iterator<Item = &'a Recorded>,
) -> (String, Bytes) {
    let (mut items, mut positions) = (Vec::new(), Vec::new());
    for recorded in events {
        positions.push(recorded.position);
        items.push(item(shell, recorded).unwrap_or_else(|error| {
            tracing::error!(%webhook, %error, "an event of a mail cannot be read");
            named(recorded, Map::new())
        }));
    }
    let (first, last) = (positions.first(), positions.last());
    let [first, last] = [first, last].map(|position| position.copied().unwrap_or_default());
    let id = format!("{}_{last}_{}", message_id(webhook, first), items.len());
    (id, Bytes::from(channel::mail(&items).to_string()))
}

fn item(shell: &Shell, recorded: &Recorded) -> Result<Item, ReplayError> {
    let event = journal::decode(recorded)?;
    let mut data = match catalogue::to_json(&event) {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    if let Ok(index_id) = recorded.stream.as_str().parse::<IndexId>() {
        let name = name_of(shell, &event, index_id);
        data.insert("indexId".to_owned(), json!(index_id));
        data.insert("indexName".to_owned(), json!(name));
    }
    if let Ok(webhook_id) = recorded.stream.as_str().parse::<WebhookId>() {
        data.insert("webhookId".to_owned(), json!(webhook_id));
    }
    data.insert("position".to_owned(), json!(recorded.position));
    Ok(named(recorded, data))
}

fn named(recorded: &Recorded, data: Map<String, Value>) -> Item {
    Item {
        event_type: recorded.event_type.to_string(),
        at: json!(journal::recorded_at(recorded)),
        data,
    }
}

/// The name of the index that an event is of. One that gives the name says it itself: it may be on
/// its way before the directory knows it, and says the same in every attempt.
fn name_of(shell: &Shell, event: &Event, index_id: IndexId) -> Option<String> {
    match event {
        Event::Index(IndexEvent::Created(created)) => Some(created.definition.name.to_string()),
        Event::Index(IndexEvent::Updated(updated)) => Some(updated.definition.name.to_string()),
        _ => {
            let directory = shell.directory.read();
            directory.get(&index_id).map(|entry| entry.name.to_string())
        }
    }
}

/// A signed test message: for an endpoint that is being set up, or on its owner's wish.
pub(crate) fn test_request(
    shell: &Shell,
    webhook_id: WebhookId,
    target: &Target,
    keys: Vec<SigningKey>,
    sample: Option<(String, Map<String, Value>)>,
) -> WebhookRequest {
    let greeting = Map::from_iter([
        ("webhookId".to_owned(), json!(webhook_id)),
        (
            "message".to_owned(),
            json!("evenkeel can reach this endpoint"),
        ),
    ]);
    let (event_type, data) = sample.unwrap_or_else(|| (TEST_EVENT.to_owned(), greeting));
    let item = Item {
        event_type: event_type.clone(),
        at: json!(shell.now()),
        data,
    };
    WebhookRequest {
        webhook_id,
        url: target.url.to_string(),
        message_id: format!("msg_test_{:032x}", shell.ids.next()),
        body: Bytes::from(channel::body(target.channel, &item).to_string()),
        event_type,
        keys,
        signature: target.signature,
        headers: target.headers.clone(),
    }
}
