//! What a subscriber receives: the same bytes in every attempt, before and after a restart.

use bytes::Bytes;
use evenkeel_domain::values::{IndexId, Timestamp, WebhookId};
use evenkeel_events::{Position, Recorded};
use serde_json::{Map, Value, json};

use crate::catalogue;
use crate::journal::{self, ReplayError};
use crate::shell::Shell;

/// `webhook-id`: one per subscription and event, stable over retries and restarts.
pub(crate) fn message_id(webhook: WebhookId, position: Position) -> String {
    format!("msg_{:032x}_{position}", webhook.as_u128())
}

/// The body for an event: `{"type","timestamp","data"}`, data with `indexId` and `indexName`.
pub(crate) fn body(shell: &Shell, recorded: &Recorded) -> Result<Bytes, ReplayError> {
    let event = journal::decode(recorded)?;
    let mut data = match catalogue::to_json(&event) {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    if let Ok(index_id) = recorded.stream.as_str().parse::<IndexId>() {
        let name = shell.directory.read().get(&index_id).map(|entry| entry.name.to_string());
        data.insert("indexId".to_owned(), json!(index_id));
        data.insert("indexName".to_owned(), json!(name));
    }
    data.insert("position".to_owned(), json!(recorded.position));
    let at = Timestamp::from_micros(recorded.metadata.recorded_at_us);
    Ok(envelope(&recorded.event_type, at, Value::Object(data)))
}

/// The body of a test message.
pub(crate) fn test_body(webhook: WebhookId, at: Timestamp) -> Bytes {
    envelope("webhook.test", at, json!({ "webhookId": webhook, "message": "evenkeel can reach this endpoint" }))
}

fn envelope(event_type: &str, at: Timestamp, data: Value) -> Bytes {
    Bytes::from(json!({ "type": event_type, "timestamp": at, "data": data }).to_string())
}
