//! `/api/webhooks`: subscriptions and their secrets.

use evenkeel_actors::engine::{EngineError, WebhookView, WebhookWish};
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::Tag;
use evenkeel_domain::values::{IndexId, OwnerId, Span, Text, Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    AttemptResult, Channel, Filter, HEADERS_MAX, HeaderName, HeaderValue, INDEXES_MAX, RATE_MAX,
    ROTATION_OVERLAP, ROTATION_OVERLAP_MAX, Schedule, Signature, TAGS_MAX, Target, Url,
};
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::event_types::example_of;
use crate::http::Api;
use crate::http::fields::{
    Fields, Read, boolean, incomplete, list, parsed, required_text, strings, text,
};
use crate::http::problem::{Code, FieldError, Problem};
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};
use crate::webhooks::signature;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let (list, one) = ("/api/webhooks", "/api/webhooks/{id}");
    let manage = Scope::Webhooks;
    vec![
        Row::needs(Scope::Read, Method::GET, list, find),
        Row::needs(manage, Method::POST, list, create),
        Row::needs(Scope::Read, Method::GET, one, load),
        Row::needs(manage, Method::PUT, one, update),
        Row::needs(manage, Method::DELETE, one, delete),
        Row::needs(manage, Method::POST, "/api/webhooks/{id}/test", test),
        Row::needs(
            manage,
            Method::POST,
            "/api/webhooks/{id}/rotate-secret",
            rotate,
        ),
        Row::needs(manage, Method::POST, "/api/webhooks/{id}/enable", enable),
        Row::needs(manage, Method::POST, "/api/webhooks/{id}/disable", disable),
    ]
}

/// A subscription on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookBody<'a> {
    webhook_id: WebhookId,
    owner: OwnerId,
    url: &'a str,
    events: Vec<&'a str>,
    indexes: &'a [IndexId],
    tags: &'a [Tag],
    channel: Channel,
    retry: &'a Schedule,
    rate_per_second: Option<u16>,
    /// Names alone: what headers say is shown to nobody.
    headers: Vec<&'a str>,
    description: &'a str,
    enabled: bool,
    signature: Signature,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a str>,
    /// The secret before signs too until then.
    secret_overlap_until: Option<Timestamp>,
    failure_count: u32,
    succeeded: u64,
    failed: u64,
    /// Of the attempts that succeeded.
    latency: LatencyBody,
    last_triggered_at: Option<Timestamp>,
    disabled_reason: Option<&'a str>,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Serialize)]
struct LatencyBody {
    #[serde(rename = "averageMs")]
    average: u64,
    #[serde(rename = "maxMs")]
    max: u32,
    #[serde(rename = "lastMs")]
    last: u32,
}

fn body(view: &WebhookView) -> WebhookBody<'_> {
    let webhook = &view.webhook;
    WebhookBody {
        webhook_id: webhook.webhook_id,
        owner: webhook.owner,
        url: webhook.target.url.as_str(),
        events: webhook.target.events.entries().collect(),
        indexes: &webhook.target.indexes,
        tags: &webhook.target.tags,
        channel: webhook.target.channel,
        retry: &webhook.target.retry,
        rate_per_second: webhook.target.rate_per_second,
        headers: webhook
            .target
            .headers
            .iter()
            .map(|header| header.name.as_str())
            .collect(),
        description: webhook.target.description.as_str(),
        enabled: webhook.enabled,
        signature: webhook.target.signature,
        secret: view.secret.as_deref(),
        public_key: view.public_key.as_deref(),
        secret_overlap_until: webhook.overlap_until,
        failure_count: webhook.failure_count,
        succeeded: webhook.succeeded,
        failed: webhook.failed,
        latency: LatencyBody {
            average: webhook.latency.total_ms / webhook.succeeded.max(1),
            max: webhook.latency.max_ms,
            last: webhook.latency.last_ms,
        },
        last_triggered_at: webhook.last_triggered_at,
        disabled_reason: webhook.disabled_reason.as_ref().map(Text::as_str),
        version: view.version,
        created_at: webhook.created_at,
        updated_at: webhook.updated_at,
    }
}

fn answer(status: StatusCode, view: &WebhookView) -> Answer {
    reply::tagged(reply::json(status, &body(view)), view.version)
}

/// Which subscription the path names.
pub fn id_of(call: &Call) -> Result<WebhookId, Problem> {
    call.id(0, "webhook")
}

async fn find(api: Api, mut call: Call) -> Answer {
    let (after, limit) = call.query.page()?;
    call.query.finish()?;
    // One more than asked for tells whether there is a next page.
    let mut views = api.engine.webhooks(&call.caller, after, limit + 1).await?;
    let more = views.len() > limit;
    views.truncate(limit);
    let last = views.last().filter(|_| more);
    reply::ok(&Page {
        items: views.iter().map(body).collect(),
        next: last.map(|view| view.webhook.webhook_id.to_string()),
    })
}

/// Reads a subscription, over `base` when it is a change: what is missing stays as it is.
fn wish(body: &[u8], base: Option<&Target>) -> Result<WebhookWish, Problem> {
    let mut fields = Fields::of(body)?;
    let url: Option<Url> = match base {
        None => fields.required("url", required_text),
        Some(_) => fields.optional("url", required_text),
    };
    let events = match base {
        None => fields.required("events", strings),
        Some(_) => fields.optional("events", strings),
    };
    let events = events.map(|types| Filter::new(&types)).transpose();
    if let Err(error) = &events {
        fields.refuse("events", "invalid", error.to_string());
    }
    let indexes = fields.optional("indexes", indexes);
    let tags = fields.optional("tags", tags);
    let description = fields.optional("description", text);
    let retry = fields.optional("retry", schedule);
    let headers = fields.optional("headers", headers);
    let rate = fields.nullable("ratePerSecond", rate);
    let signature = fields.optional("signature", parsed_json);
    let channel = fields.optional("channel", parsed_json);
    // Another secret is for a rotation, which says how long the old one signs too.
    let secret = match base {
        None => fields.optional("secret", secret),
        Some(_) => None,
    };
    let enabled = fields.optional("enabled", boolean);
    let skip_test = fields.optional("skipTest", boolean).unwrap_or(false);
    fields.finish()?;
    let (url, events) = (url, events?);
    let base = match base {
        Some(base) => base.clone(),
        None => Target::new(
            url.clone().ok_or_else(incomplete)?,
            events.clone().ok_or_else(incomplete)?,
        ),
    };
    Ok(WebhookWish {
        target: Target {
            url: url.unwrap_or(base.url),
            events: events.unwrap_or(base.events),
            indexes: indexes.unwrap_or(base.indexes),
            tags: tags.unwrap_or(base.tags),
            description: description.unwrap_or(base.description),
            retry: retry.unwrap_or(base.retry),
            headers: base.headers,
            rate_per_second: rate.unwrap_or(base.rate_per_second),
            signature: signature.unwrap_or(base.signature),
            channel: channel.unwrap_or(base.channel),
        },
        headers,
        secret,
        enabled,
        skip_test,
    })
}

/// One of the names of an enumeration.
fn parsed_json<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

/// Tags, each once.
fn tags(value: &Value) -> Result<Vec<Tag>, String> {
    distinct(value, required_text, TAGS_MAX, "tags")
}

/// `{"x-token":"…"}`.
fn headers(value: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let map = value.as_object().ok_or("it must be an object")?;
    if map.len() > HEADERS_MAX {
        return Err(format!("a subscription has at most {HEADERS_MAX} headers"));
    }
    let header = |(name, value): (&String, &Value)| {
        let name = HeaderName::new(name).map_err(|error| error.to_string())?;
        let text: HeaderValue = text(value).map_err(|error| format!("{name}: {error}"))?;
        let is_visible = text.as_str().chars().all(|c| matches!(c, ' '..='~'));
        let visible = || format!("{name}: a header says visible ASCII characters alone");
        is_visible
            .then_some((name.clone(), text))
            .ok_or_else(visible)
    };
    map.iter().map(header).collect()
}

fn rate(value: &Value) -> Result<u16, String> {
    let rate = value.as_u64().and_then(|rate| u16::try_from(rate).ok());
    let fits = rate.filter(|rate| (1..=RATE_MAX).contains(rate));
    fits.ok_or_else(|| format!("it must be a whole number from 1 to {RATE_MAX}, or null for none"))
}

fn secret(value: &Value) -> Result<String, String> {
    let secret = value.as_str().ok_or("it must be text")?;
    signature::check_secret(secret).map_err(|error| error.to_string())?;
    Ok(secret.to_owned())
}

fn sample(value: &Value) -> Result<(String, Map<String, Value>), String> {
    let name = value.as_str().ok_or("it must be text")?;
    let unknown = || format!("{name:?} is no event type; GET /api/event-types lists them");
    let mut data = example_of(name).ok_or_else(unknown)?;
    data.insert("test".to_owned(), json!(true));
    Ok((name.to_owned(), data))
}

fn overlap(value: &Value) -> Result<Span, String> {
    let span: Span = parsed(value)?;
    let fits = span <= ROTATION_OVERLAP_MAX;
    let too_long = || format!("both secrets sign for at most {ROTATION_OVERLAP_MAX}");
    fits.then_some(span).ok_or_else(too_long)
}

/// Ids of indexes, each once.
fn indexes(value: &Value) -> Result<Vec<IndexId>, String> {
    let none_for_all = "indexes; name none for all";
    distinct(value, parsed, INDEXES_MAX, none_for_all)
}

/// Items of a list, each once.
fn distinct<T: PartialEq>(
    value: &Value,
    read: Read<T>,
    max: usize,
    what: &str,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    for item in list(value)? {
        let item = read(&item)?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    if items.len() > max {
        return Err(format!("a subscription names at most {max} {what}"));
    }
    Ok(items)
}

/// The spans before each further attempt: `["2s","4s"]`.
fn schedule(value: &Value) -> Result<Schedule, String> {
    let spans: Result<Vec<Span>, String> = list(value)?.iter().map(parsed).collect();
    Schedule::new(spans?).map_err(|error| error.to_string())
}

/// Each index that a body names newly must be one of the caller's.
async fn known(api: &Api, call: &Call, target: &Target, base: &[IndexId]) -> Result<(), Problem> {
    for id in target.indexes.iter().filter(|id| !base.contains(id)) {
        if let Err(EngineError::NotFound(_)) = api.engine.index(&call.caller, *id).await {
            let error = FieldError::new(
                "indexes",
                "unknown_index",
                format!("there is no index {id}"),
            );
            return Err(Problem::fields(Code::ValidationFailed, vec![error]));
        }
    }
    Ok(())
}

async fn create(api: Api, call: Call) -> Answer {
    let wish = wish(&call.body, None)?;
    known(&api, &call, &wish.target, &[]).await?;
    let view = api.engine.create_webhook(&call.caller, wish).await?;
    let path = format!("/api/webhooks/{}", view.webhook.webhook_id);
    reply::located(answer(StatusCode::CREATED, &view), &path)
}

async fn load(api: Api, call: Call) -> Answer {
    let view = api.engine.webhook(&call.caller, id_of(&call)?).await?;
    answer(StatusCode::OK, &view)
}

async fn update(api: Api, call: Call) -> Answer {
    let (id, wanted) = (id_of(&call)?, call.if_match()?);
    let current = api.engine.webhook(&call.caller, id).await?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != current.version) {
        let actual = current.version;
        let detail = format!("it is at version {actual}, not {wanted}; load it and try again");
        return Err(Problem::new(Code::VersionMismatch, detail));
    }
    let wish = wish(&call.body, Some(&current.webhook.target))?;
    known(&api, &call, &wish.target, &current.webhook.target.indexes).await?;
    let view = api.engine.update_webhook(&call.caller, id, wish).await?;
    answer(StatusCode::OK, &view)
}

async fn delete(api: Api, call: Call) -> Answer {
    api.engine
        .delete_webhook(&call.caller, id_of(&call)?)
        .await?;
    Ok(reply::no_content())
}

/// `{"type"?}`: a test message, or the example of an event type, which says `"test": true`.
async fn test(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let sample = fields.optional("type", sample);
    fields.finish()?;
    let result = api.engine.test_webhook(&call.caller, id, sample).await?;
    reply::ok(&attempt(&result))
}

/// How an attempt by hand went.
pub fn attempt(result: &AttemptResult) -> Value {
    match result {
        AttemptResult::Success { status } => {
            json!({"status": "SUCCEEDED", "statusCode": status, "reason": null})
        }
        AttemptResult::Failure {
            status,
            reason,
            answer,
            ..
        } => {
            json!({"status": "FAILED", "statusCode": status, "reason": reason, "answer": answer})
        }
    }
}

/// `{"secret"?,"overlap"?}`: without a secret one is made, without an overlap both sign for a day.
async fn rotate(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let secret = fields.optional("secret", secret);
    let overlap = fields.optional("overlap", overlap);
    fields.finish()?;
    let overlap = overlap.unwrap_or(ROTATION_OVERLAP);
    let view = api
        .engine
        .rotate_secret(&call.caller, id, secret.as_deref(), overlap)
        .await?;
    answer(StatusCode::OK, &view)
}

/// `{"from":"stopped"}`, the default, delivers what was missed; `"now"` begins anew.
async fn enable(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let from = fields.optional("from", from);
    fields.finish()?;
    let from_now = from.unwrap_or(false);
    let view = api
        .engine
        .enable_webhook(&call.caller, id, from_now)
        .await?;
    answer(StatusCode::OK, &view)
}

/// `{"reason"?}`: it delivers no more until it is enabled.
async fn disable(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let reason = fields.optional("reason", text).unwrap_or_default();
    fields.finish()?;
    let view = api.engine.disable_webhook(&call.caller, id, reason).await?;
    answer(StatusCode::OK, &view)
}

fn from(value: &Value) -> Result<bool, String> {
    match value.as_str() {
        Some("now") => Ok(true),
        Some("stopped") => Ok(false),
        _ => Err("it must be \"now\" or \"stopped\"".to_owned()),
    }
}
