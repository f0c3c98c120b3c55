//! `/api/webhooks`: subscriptions and their secrets.

use evenkeel_actors::engine::{EngineError, WebhookView};
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::Tag;
use evenkeel_domain::values::{IndexId, OwnerId, Span, Text, Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    AttemptResult, Channel, ROTATION_OVERLAP, ROTATION_OVERLAP_MAX, Schedule, Signature, Target,
};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::event_types::example_of;
use super::webhook_wish::{secret, wish};
use crate::http::Api;
use crate::http::fields::{Fields, parsed, text};
use crate::http::problem::{Code, FieldError, Problem};
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

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
    channel: &'static str,
    /// Of mails alone.
    digest_window: Option<Span>,
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
        channel: webhook.target.channel.name(),
        digest_window: match webhook.target.channel {
            Channel::Email { digest } => Some(digest),
            Channel::Webhook | Channel::Slack | Channel::Discord => None,
        },
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
    reply::unlogged(reply::located(answer(StatusCode::CREATED, &view), &path))
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
    reply::unlogged(answer(StatusCode::OK, &view))
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
