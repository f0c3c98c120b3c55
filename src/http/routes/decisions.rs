//! `/api/indexes/{id}/rebalances/{rid}`: one rebalance, and what people decide about it.

use evenkeel_domain::access::Scope;
use evenkeel_domain::rebalance::{Fill, OrderOutcome, Reason};
use evenkeel_domain::values::{Amount, IndexId, Price, Quantity, RebalanceId};
use http::{Method, StatusCode};
use serde_json::Value;

use super::indexes::id_of;
use super::rebalances::body;
use crate::http::Api;
use crate::http::fields::{Fields, decimal, incomplete, text};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(
            Scope::Read,
            Method::GET,
            "/api/indexes/{id}/rebalances/{rid}",
            one,
        ),
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/rebalances/{rid}/approve",
            approve,
        ),
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/rebalances/{rid}/cancel",
            cancel,
        ),
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/rebalances/{rid}/resolve",
            resolve,
        ),
    ]
}

fn ids_of(call: &Call) -> Result<(IndexId, RebalanceId), Problem> {
    Ok((id_of(call)?, call.id(1, "rebalance")?))
}

async fn one(api: Api, call: Call) -> Answer {
    show(&api, &call, StatusCode::OK).await
}

/// The rebalance as it is now: what a decision led to may still be under way.
async fn show(api: &Api, call: &Call, status: StatusCode) -> Answer {
    let (id, rebalance_id) = ids_of(call)?;
    let record = api.engine.rebalance_record(&call.caller, id, rebalance_id);
    reply::json(status, &body(&record.await?))
}

async fn approve(api: Api, call: Call) -> Answer {
    let (id, rebalance_id) = ids_of(&call)?;
    Fields::of(&call.body)?.finish()?;
    let approved = api.engine.approve_rebalance(&call.caller, id, rebalance_id);
    approved.await?;
    show(&api, &call, StatusCode::ACCEPTED).await
}

async fn cancel(api: Api, call: Call) -> Answer {
    let (id, rebalance_id) = ids_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let reason = fields.optional("reason", text::<300>);
    fields.finish()?;
    let reason =
        reason.unwrap_or_else(|| Reason::optional("called off over the API").unwrap_or_default());
    let cancelled = api
        .engine
        .cancel_rebalance(&call.caller, id, rebalance_id, reason);
    cancelled.await?;
    show(&api, &call, StatusCode::ACCEPTED).await
}

/// `{"step", "outcome": "FILLED", "quantity", "price", "notional"?, "fee"?, "baseFee"?}` or
/// `{"step", "outcome": "NOT_FILLED", "reason"?}`: what the venue's own books say.
async fn resolve(api: Api, call: Call) -> Answer {
    let (id, rebalance_id) = ids_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let step = fields.required("step", parsed_step);
    let outcome = match fields.required("outcome", known_outcome) {
        Some(true) => filled(&mut fields),
        Some(false) => {
            let reason = fields.optional("reason", text::<300>);
            Some(OrderOutcome::Refused(reason.unwrap_or_else(|| {
                Reason::optional("an operator found that it was not filled").unwrap_or_default()
            })))
        }
        None => None,
    };
    fields.finish()?;
    let (step, outcome) = step.zip(outcome).ok_or_else(incomplete)?;
    let resolved = api
        .engine
        .resolve_rebalance(&call.caller, id, rebalance_id, step, outcome);
    resolved.await?;
    show(&api, &call, StatusCode::ACCEPTED).await
}

fn parsed_step(value: &Value) -> Result<u32, String> {
    let step = value.as_u64().and_then(|step| u32::try_from(step).ok());
    step.filter(|step| *step > 0)
        .ok_or_else(|| "the number of a step is expected, from 1".to_owned())
}

fn known_outcome(value: &Value) -> Result<bool, String> {
    match value.as_str() {
        Some("FILLED") => Ok(true),
        Some("NOT_FILLED") => Ok(false),
        _ => Err("\"FILLED\" or \"NOT_FILLED\" is expected".to_owned()),
    }
}

/// A fill; without a notional it is quantity × price.
fn filled(fields: &mut Fields) -> Option<OrderOutcome> {
    let quantity = fields.required("quantity", decimal::<Quantity>);
    let price = fields.required("price", decimal::<Price>);
    let notional = fields.optional("notional", decimal::<Amount>);
    let fee = fields.optional("fee", decimal::<Amount>);
    let base_fee = fields.optional("baseFee", decimal::<Quantity>);
    let (quantity, price) = quantity.zip(price)?;
    let Ok(product) = quantity.value_at(price) else {
        fields.refuse("quantity", "out_of_range", "quantity × price is too large");
        return None;
    };
    Some(OrderOutcome::Filled(Fill {
        quantity,
        price,
        notional: notional.unwrap_or(product),
        fee: fee.unwrap_or(Amount::ZERO),
        base_fee: base_fee.unwrap_or(Quantity::ZERO),
    }))
}
