//! What a delivery looks like by its channel: the event itself, or a sentence for people.
//!
//! The limits and what is escaped are those of the services' own documents: Slack, "Formatting
//! text for app surfaces" and "Rate limits"; Discord, "Execute Webhook" and "Rate Limits".

use evenkeel_domain::webhook::Channel;
use serde_json::{Map, Value, json};

/// Longest text in characters. Slack cuts after 40,000 and advises 4,000.
const SLACK_TEXT_MAX: usize = 4_000;

/// Longest content in characters; Discord refuses more.
const DISCORD_CONTENT_MAX: usize = 2_000;

/// Facts that are told besides the headline: what fits a screen.
const FACTS_MAX: usize = 12;

/// Fields that are for programs.
const NOT_TOLD: [&str; 6] = [
    "indexId",
    "indexName",
    "position",
    "at",
    "webhookId",
    "owner",
];

/// The body of a message of a type, made at a time, with its data.
pub(super) fn body(
    channel: Channel,
    event_type: &str,
    at: &Value,
    data: &Map<String, Value>,
) -> Value {
    match channel {
        Channel::Webhook => json!({ "type": event_type, "timestamp": at, "data": data }),
        Channel::Slack => {
            let text = told(event_type, data, "*", for_slack);
            json!({ "text": cut(&text, SLACK_TEXT_MAX) })
        }
        Channel::Discord => {
            let text = told(event_type, data, "**", for_discord);
            json!({
                "content": cut(&text, DISCORD_CONTENT_MAX),
                // A name in a text rings no bells.
                "allowed_mentions": { "parse": [] },
            })
        }
    }
}

/// `*Growth*: rebalance completed`, and a line per fact.
fn told(
    event_type: &str,
    data: &Map<String, Value>,
    bold: &str,
    escaped: fn(&str) -> String,
) -> String {
    let what = escaped(&event_type.replace(['.', '_'], " "));
    let name = data.get("indexName").and_then(Value::as_str);
    let headline = match name {
        Some(name) => format!("{bold}{}{bold}: {what}", escaped(name)),
        None => format!("{bold}{what}{bold}"),
    };
    let facts = data
        .iter()
        .filter(|(name, _)| !NOT_TOLD.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name, plain(value)?)))
        .take(FACTS_MAX)
        .map(|(name, value)| format!("• {}: {}", escaped(name), escaped(&value)));
    std::iter::once(headline)
        .chain(facts)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A value that fits a line; lists and objects are counted.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.len().to_string()),
        Value::Null | Value::Object(_) => None,
        other => Some(other.to_string()),
    }
}

fn for_slack(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

fn for_discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '@' | '#' | '[' | ']' | '(' | ')'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;

    fn data(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_event_is_told_in_the_words_of_its_channel() {
        let data = data(&json!({
            "indexId": "idx_1", "indexName": "A & <b>", "asset": "BTC", "quantity": "1.5",
            "at": "2026-01-01T00:00:00Z", "reason": "", "orders": [1, 2], "position": 7,
        }));
        let at = json!("2026-01-01T00:00:00Z");
        assert_eq!(
            body(Channel::Slack, "trade.executed", &at, &data),
            json!({"text": "*A &amp; &lt;b&gt;*: trade executed\n• asset: BTC\n• orders: 2\n• quantity: 1.5"})
        );
        let discord = body(Channel::Discord, "drift.threshold_exceeded", &at, &data);
        let content = discord["content"].as_str().unwrap();
        assert!(content.starts_with("**A & \\<b\\>**: drift threshold exceeded\n"));
        assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
        let whole = body(Channel::Webhook, "trade.executed", &at, &data);
        assert_eq!(whole["data"]["position"], 7);
    }

    #[test]
    fn a_text_keeps_to_the_limit_whatever_is_in_it() {
        let data = data(&json!({ "indexName": "@everyone", "note": "*".repeat(9_000) }));
        for (channel, field, max) in [
            (Channel::Slack, "text", SLACK_TEXT_MAX),
            (Channel::Discord, "content", DISCORD_CONTENT_MAX),
        ] {
            let body = body(channel, "index.updated", &Value::Null, &data);
            let text = body[field].as_str().unwrap();
            assert_eq!(text.chars().count(), max);
            assert!(text.ends_with('…'));
        }
        assert_eq!(for_discord("@everyone"), "\\@everyone");
    }
}
