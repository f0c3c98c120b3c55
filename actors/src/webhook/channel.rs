//! What a delivery looks like by its channel: the event itself, or sentences for people. A mail is
//! `{"subject","text"}` here; the transport makes a message of it.
//!
//! The limits and what is escaped are those of the services' own documents: Slack, "Formatting
//! text for app surfaces" and "Rate limits"; Discord, "Execute Webhook" and "Rate Limits".

use evenkeel_domain::webhook::Channel;
use serde_json::{Map, Value, json};

/// Longest text in characters. Slack cuts after 40,000 and advises 4,000.
const SLACK_TEXT_MAX: usize = 4_000;

/// Longest content in characters; Discord refuses more.
const DISCORD_CONTENT_MAX: usize = 2_000;

/// Longest subject of a mail in characters: what mail readers show.
const SUBJECT_MAX: usize = 120;

/// Longest text of a mail in characters: a digest of the most events has a few hundred for each.
const MAIL_TEXT_MAX: usize = 100_000;

/// Names of indexes that the subject of a digest tells.
const SUBJECT_NAMES_MAX: usize = 3;

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

/// What is told of an event: its type, when it was, its data.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) event_type: String,
    pub(super) at: Value,
    pub(super) data: Map<String, Value>,
}

/// The body of a message.
pub(super) fn body(channel: Channel, item: &Item) -> Value {
    match channel {
        Channel::Webhook => json!({
            "type": item.event_type,
            "timestamp": item.at,
            "data": item.data,
        }),
        Channel::Slack => {
            let text = told(item, "*", for_slack);
            json!({ "text": cut(&text, SLACK_TEXT_MAX) })
        }
        Channel::Discord => {
            let text = told(item, "**", for_discord);
            json!({
                "content": cut(&text, DISCORD_CONTENT_MAX),
                // A name in a text rings no bells.
                "allowed_mentions": { "parse": [] },
            })
        }
        Channel::Email { .. } => mail(std::slice::from_ref(item)),
    }
}

/// A mail of one event, or of all that have gathered.
pub(super) fn mail(items: &[Item]) -> Value {
    let subject = match items {
        [item] => headline(item, "", str::to_owned),
        items => match names(items) {
            names if names.is_empty() => format!("{} events", items.len()),
            names => format!("{} events: {names}", items.len()),
        },
    };
    let at = |item: &Item| item.at.as_str().unwrap_or_default().to_owned();
    let text = items
        .iter()
        .map(|item| format!("{}\n{}\n", at(item), told(item, "", str::to_owned)))
        .collect::<Vec<_>>()
        .join("\n");
    json!({ "subject": cut(&subject, SUBJECT_MAX), "text": cut(&text, MAIL_TEXT_MAX) })
}

/// The first names of indexes that items are of, each once, and how many more there are.
fn names(items: &[Item]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in items.iter().filter_map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(SUBJECT_NAMES_MAX);
    names.truncate(SUBJECT_NAMES_MAX);
    let told = names.join(", ");
    if more > 0 {
        format!("{told} and {more} more")
    } else {
        told
    }
}

fn name(item: &Item) -> Option<&str> {
    item.data.get("indexName").and_then(Value::as_str)
}

/// `*Growth*: rebalance completed`.
fn headline(item: &Item, bold: &str, escaped: fn(&str) -> String) -> String {
    let what = escaped(&item.event_type.replace(['.', '_'], " "));
    match name(item) {
        Some(name) => format!("{bold}{}{bold}: {what}", escaped(name)),
        None => format!("{bold}{what}{bold}"),
    }
}

/// The headline, and a line per fact.
fn told(item: &Item, bold: &str, escaped: fn(&str) -> String) -> String {
    let headline = headline(item, bold, escaped);
    let facts = item
        .data
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

    use evenkeel_domain::values::Span;

    use super::*;

    fn item(event_type: &str, data: &Value) -> Item {
        Item {
            event_type: event_type.to_owned(),
            at: json!("2026-01-01T00:00:00Z"),
            data: data.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn an_event_is_told_in_the_words_of_its_channel() {
        let data = json!({
            "indexId": "idx_1", "indexName": "A & <b>", "asset": "BTC", "quantity": "1.5",
            "at": "2026-01-01T00:00:00Z", "reason": "", "orders": [1, 2], "position": 7,
        });
        let trade = item("trade.executed", &data);
        assert_eq!(
            body(Channel::Slack, &trade),
            json!({"text": "*A &amp; &lt;b&gt;*: trade executed\n• asset: BTC\n• orders: 2\n• quantity: 1.5"})
        );
        let discord = body(Channel::Discord, &item("drift.threshold_exceeded", &data));
        let content = discord["content"].as_str().unwrap();
        assert!(content.starts_with("**A & \\<b\\>**: drift threshold exceeded\n"));
        assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
        let whole = body(Channel::Webhook, &trade);
        assert_eq!(whole["data"]["position"], 7);
        let digest = Span::ZERO;
        assert_eq!(
            body(Channel::Email { digest }, &trade),
            json!({
                "subject": "A & <b>: trade executed",
                "text": "2026-01-01T00:00:00Z\nA & <b>: trade executed\n• asset: BTC\n• orders: 2\n• quantity: 1.5\n",
            })
        );
    }

    #[test]
    fn a_digest_names_the_indexes_that_it_is_about() {
        let of = |name: &str| item("index.paused", &json!({"indexName": name}));
        let subject = |items: &[Item]| mail(items)["subject"].as_str().unwrap().to_owned();
        let two = [of("A"), of("B"), of("A")];
        assert_eq!(subject(&two), "3 events: A, B");
        let many: Vec<Item> = ["A", "B", "C", "D", "E"].map(of).into();
        assert_eq!(subject(&many), "5 events: A, B, C and 2 more");
        let held = || item("price.held", &json!({"asset": "BTC"}));
        assert_eq!(subject(&[held(), held()]), "2 events");
        let text = mail(&two)["text"].as_str().unwrap().to_owned();
        assert_eq!(text.matches("index paused").count(), 3);
    }

    #[test]
    fn a_text_keeps_to_the_limit_whatever_is_in_it() {
        let data = json!({ "indexName": "@everyone", "note": "*".repeat(9_000) });
        for (channel, field, max) in [
            (Channel::Slack, "text", SLACK_TEXT_MAX),
            (Channel::Discord, "content", DISCORD_CONTENT_MAX),
        ] {
            let body = body(channel, &item("index.updated", &data));
            let text = body[field].as_str().unwrap();
            assert_eq!(text.chars().count(), max);
            assert!(text.ends_with('…'));
        }
        assert_eq!(for_discord("@everyone"), "\\@everyone");
    }
}
