//! `/api/webhooks/{id}/deliveries`: what became of them, and once more by hand.
//!
//! `?status=FAILED` shows those of one status. A delivery is known by its subscription and the
//! position of its event: `whk_…-123`.

use evenkeel_actors::engine::{DeliveryView, Redelivery};
use evenkeel_domain::access::Scope;
use evenkeel_domain::values::WebhookId;
use http::Method;
use serde_json::{Value, json};

use super::webhooks::{attempt, id_of};
use crate::http::Api;
use crate::http::fields::{Fields, incomplete, parsed};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let list = "/api/webhooks/{id}/deliveries";
    let one = "/api/webhooks/{id}/deliveries/{delivery}";
    let retry = "/api/webhooks/{id}/deliveries/{delivery}/retry";
    let redeliver = "/api/webhooks/{id}/redeliver";
    vec![
        Row::needs(Scope::Read, Method::GET, list, history),
        Row::needs(Scope::Read, Method::GET, one, load),
        Row::needs(Scope::Webhooks, Method::POST, retry, again),
        Row::needs(Scope::Webhooks, Method::POST, redeliver, many_again),
    ]
}

fn body(id: WebhookId, delivery: &DeliveryView) -> Value {
    match delivery {
        DeliveryView::Retrying(failed) => json!({
            "deliveryId": delivery_id(id, failed.position), "position": failed.position,
            "status": delivery.status().as_str(), "attempts": failed.attempt, "statusCode": failed.status,
            "reason": failed.reason, "answer": failed.answer, "durationMs": failed.duration_ms,
            "retryAt": failed.retry_at, "at": failed.at,
        }),
        DeliveryView::Succeeded(done) => json!({
            "deliveryId": delivery_id(id, done.position), "position": done.position,
            "status": delivery.status().as_str(), "attempts": done.attempts, "statusCode": done.status,
            "reason": null, "durationMs": done.duration_ms, "at": done.at,
        }),
        DeliveryView::Failed(failed) => json!({
            "deliveryId": delivery_id(id, failed.position), "position": failed.position,
            "status": delivery.status().as_str(), "attempts": failed.attempts, "statusCode": failed.status,
            "reason": failed.reason, "answer": failed.answer, "durationMs": failed.duration_ms,
            "at": failed.at,
        }),
    }
}

fn delivery_id(id: WebhookId, position: u64) -> String {
    format!("{id}-{position}")
}

/// The position in a delivery's id; another subscription's delivery names nothing here.
fn position(id: WebhookId, delivery: &str) -> Option<u64> {
    let (webhook, position) = delivery.rsplit_once('-')?;
    let position = position.parse().ok()?;
    (webhook == id.to_string() && position > 0).then_some(position)
}

async fn history(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let (before, limit) = call.query.page()?;
    let only = call.query.parsed("status")?;
    call.query.finish()?;
    let page = api
        .engine
        .deliveries(&call.caller, id, only, before, limit)
        .await?;
    reply::ok(&Page {
        items: page
            .items
            .iter()
            .map(|delivery| body(id, delivery))
            .collect(),
        next: page.next.map(|version| version.to_string()),
    })
}

/// The position that the path names, and the delivery's id.
fn named(call: &Call, id: WebhookId) -> Result<(u64, &str), Problem> {
    let delivery = call.params.get(1).map_or("", String::as_str);
    let position = position(id, delivery).ok_or_else(|| Problem::not_found("delivery"))?;
    Ok((position, delivery))
}

/// What is sent, and what became of each attempt. Signature and time are made with each attempt,
/// and what the owner's own headers say is shown to nobody.
async fn load(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let (position, delivery) = named(&call, id)?;
    let delivery = delivery.to_owned();
    call.query.finish()?;
    let page = api.engine.delivery(&call.caller, id, position).await?;
    let outcomes: Vec<Value> = page.outcomes.iter().map(|it| body(id, it)).collect();
    let sent: Value = serde_json::from_slice(&page.body).unwrap_or_default();
    reply::ok(&json!({
        "deliveryId": delivery,
        "position": position,
        "eventType": page.event_type,
        "request": {
            "headers": {
                "content-type": "application/json",
                "webhook-id": page.message_id,
                "x-webhook-event": page.event_type,
            },
            "body": sent,
        },
        "outcomes": outcomes,
        "complete": page.complete,
    }))
}

async fn again(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    Fields::of(&call.body)?.finish()?;
    let (position, delivery) = named(&call, id)?;
    let result = api.engine.resend(&call.caller, id, position).await?;
    let mut body = attempt(&result);
    body["deliveryId"] = delivery.into();
    reply::ok(&body)
}

/// `{"failedSince"}` or `{"from","to"}`: deliveries once more, in the queue. `next` is where the
/// rest of a range begins.
async fn many_again(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let since = fields.optional("failedSince", parsed);
    let from = fields.optional("from", position_of);
    let to = fields.optional("to", position_of);
    let which = match (since, from, to) {
        (Some(since), None, None) => Some(Redelivery::FailedSince(since)),
        (None, Some(from), Some(to)) if from <= to => Some(Redelivery::Range { from, to }),
        _ => {
            let detail = "give \"failedSince\", or \"from\" and \"to\" in this order";
            fields.refuse("failedSince", "required", detail);
            None
        }
    };
    fields.finish()?;
    let which = which.ok_or_else(incomplete)?;
    let answer = api.engine.redeliver(&call.caller, id, which).await?;
    reply::ok(&json!({ "requested": answer.requested, "next": answer.next }))
}

fn position_of(value: &Value) -> Result<u64, String> {
    let position = value.as_u64().filter(|position| *position > 0);
    position.ok_or_else(|| "it must be a position: a whole number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_named_by_subscription_and_position() {
        let id = WebhookId::from_u128(7);
        assert_eq!(position(id, &delivery_id(id, 12)), Some(12));
        let other = WebhookId::from_u128(8);
        for wrong in [
            delivery_id(other, 12),
            delivery_id(id, 0),
            id.to_string(),
            String::new(),
        ] {
            assert_eq!(position(id, &wrong), None, "{wrong}");
        }
    }
}
