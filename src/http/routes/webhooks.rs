//! `/api/webhooks`: subscriptions and their secrets.

use evenkeel_actors::engine::{EngineError, WebhookView};
use evenkeel_domain::access::Scope;
use evenkeel_domain::values::{IndexId, OwnerId, Span, Text, Timestamp, WebhookId};
use evenkeel_domain::webhook::{AttemptResult, Filter, INDEXES_MAX, Schedule, Target, Url};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::Api;
use crate::http::fields::{
    Fields, boolean, incomplete, list, parsed, required_text, strings, text,
};
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
    retry: &'a Schedule,
    description: &'a str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    /// The secret before signs too until then.
    secret_overlap_until: Option<Timestamp>,
    failure_count: u32,
    succeeded: u64,
    failed: u64,
    last_triggered_at: Option<Timestamp>,
    disabled_reason: Option<&'a str>,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

fn body(view: &WebhookView) -> WebhookBody<'_> {
    let webhook = &view.webhook;
    WebhookBody {
        webhook_id: webhook.webhook_id,
        owner: webhook.owner,
        url: webhook.target.url.as_str(),
        events: webhook.target.events.entries().collect(),
        indexes: &webhook.target.indexes,
        retry: &webhook.target.retry,
        description: webhook.target.description.as_str(),
        enabled: webhook.enabled,
        secret: view.secret.as_deref(),
        secret_overlap_until: webhook.overlap_until,
        failure_count: webhook.failure_count,
        succeeded: webhook.succeeded,
        failed: webhook.failed,
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

/// What a body says about a subscription.
struct Wish {
    target: Target,
    enabled: Option<bool>,
    skip_test: bool,
}

/// Reads a subscription, over `base` when it is a change: what is missing stays as it is.
fn wish(body: &[u8], base: Option<&Target>) -> Result<Wish, Problem> {
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
    let description = fields.optional("description", text);
    let retry = fields.optional("retry", schedule);
    let enabled = fields.optional("enabled", boolean);
    let skip_test = fields.optional("skipTest", boolean).unwrap_or(false);
    fields.finish()?;
    let kept = |pick: fn(&Target) -> Filter| base.map(pick);
    Ok(Wish {
        target: Target {
            url: url
                .or_else(|| base.map(|base| base.url.clone()))
                .ok_or_else(incomplete)?,
            events: events?
                .or_else(|| kept(|base| base.events.clone()))
                .ok_or_else(incomplete)?,
            indexes: indexes
                .or_else(|| base.map(|base| base.indexes.clone()))
                .unwrap_or_default(),
            retry: retry
                .or_else(|| base.map(|base| base.retry.clone()))
                .unwrap_or_default(),
            description: description
                .or_else(|| base.map(|base| base.description.clone()))
                .unwrap_or_default(),
        },
        enabled,
        skip_test,
    })
}

/// Ids of indexes, each once.
fn indexes(value: &Value) -> Result<Vec<IndexId>, String> {
    let mut ids = Vec::new();
    for item in list(value)? {
        let id = parsed(&item)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.len() > INDEXES_MAX {
        return Err(format!(
            "a subscription names at most {INDEXES_MAX} indexes; name none for all"
        ));
    }
    Ok(ids)
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
    let Wish {
        target,
        enabled,
        skip_test,
    } = wish(&call.body, None)?;
    known(&api, &call, &target, &[]).await?;
    let enabled = enabled.unwrap_or(true);
    let view = api
        .engine
        .create_webhook(&call.caller, target, enabled, skip_test)
        .await?;
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
    let Wish {
        target,
        enabled,
        skip_test,
    } = wish(&call.body, Some(&current.webhook.target))?;
    known(&api, &call, &target, &current.webhook.target.indexes).await?;
    let view = api
        .engine
        .update_webhook(&call.caller, id, target, enabled, skip_test)
        .await?;
    answer(StatusCode::OK, &view)
}

async fn delete(api: Api, call: Call) -> Answer {
    api.engine
        .delete_webhook(&call.caller, id_of(&call)?)
        .await?;
    Ok(reply::no_content())
}

async fn test(api: Api, call: Call) -> Answer {
    Fields::of(&call.body)?.finish()?;
    let result = api.engine.test_webhook(&call.caller, id_of(&call)?).await?;
    reply::ok(&attempt(&result))
}

/// How an attempt by hand went.
pub fn attempt(result: &AttemptResult) -> Value {
    match result {
        AttemptResult::Success { status } => {
            json!({"status": "SUCCEEDED", "statusCode": status, "reason": null})
        }
        AttemptResult::Failure { status, reason, .. } => {
            json!({"status": "FAILED", "statusCode": status, "reason": reason})
        }
    }
}

async fn rotate(api: Api, call: Call) -> Answer {
    Fields::of(&call.body)?.finish()?;
    let view = api
        .engine
        .rotate_secret(&call.caller, id_of(&call)?)
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
