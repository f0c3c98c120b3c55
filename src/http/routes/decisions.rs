//! `/api/indexes/{id}/rebalances/{rid}`: one rebalance, and what people decide about it.

use std::str::FromStr;

use evenkeel_actors::EngineError;
use evenkeel_actors::engine::IndexView;
use evenkeel_domain::access::Scope;
use evenkeel_domain::rebalance::{Fill, OrderOutcome, Reason, RebalanceRefusal};
use evenkeel_domain::values::{Amount, DecimalError, IndexId, Price, Quantity, RebalanceId};
use http::{Method, StatusCode};
use serde_json::Value;

use super::indexes::id_of;
use super::rebalances::body;
use crate::http::Api;
use crate::http::fields::{Fields, decimal, incomplete, text};
use crate::http::problem::{Code, Problem};
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

/// Fields that go with one outcome or the other.
const WITH_OUTCOME: [&str; 6] = ["quantity", "price", "notional", "fee", "baseFee", "reason"];

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

/// Shows what a decision led to, or why it was refused.
async fn decided(api: &Api, call: &Call, decided: Result<IndexView, EngineError>) -> Answer {
    match decided {
        Ok(_) => show(api, call, StatusCode::ACCEPTED).await,
        Err(EngineError::Rebalance(
            refusal @ (RebalanceRefusal::NotThisOne(_) | RebalanceRefusal::NotRunning),
        )) => {
            // One that has ended is a conflict; one that this index never had is not there.
            show(api, call, StatusCode::OK).await?;
            Err(refusal.into())
        }
        Err(other) => Err(other.into()),
    }
}

async fn approve(api: Api, call: Call) -> Answer {
    let (id, rebalance_id) = ids_of(&call)?;
    Fields::of(&call.body)?.finish()?;
    let approved = api.engine.approve_rebalance(&call.caller, id, rebalance_id);
    decided(&api, &call, approved.await).await
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
    decided(&api, &call, cancelled.await).await
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
        None => {
            // What goes with an outcome is not unknown because the outcome is wrong.
            for name in WITH_OUTCOME {
                fields.optional(name, |_| Ok(()));
            }
            None
        }
    };
    fields.finish()?;
    let (step, outcome) = step.zip(outcome).ok_or_else(incomplete)?;
    let resolved = api
        .engine
        .resolve_rebalance(&call.caller, id, rebalance_id, step, outcome);
    match resolved.await {
        Err(EngineError::Rebalance(refusal @ RebalanceRefusal::Arithmetic(_))) => {
            tracing::warn!(%refusal, "a fill that was told by hand does not fit the books");
            let detail = "after this fill cash or a holding would be below zero; compare it \
                          with the venue's own books";
            Err(Problem::new(Code::FillDoesNotFit, detail))
        }
        resolved => decided(&api, &call, resolved).await,
    }
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

fn above_zero<T>(value: &Value, is_positive: fn(T) -> bool) -> Result<T, String>
where
    T: FromStr<Err = DecimalError> + Copy,
{
    let read: T = decimal(value)?;
    let refused = || "it must be above 0".to_owned();
    is_positive(read).then_some(read).ok_or_else(refused)
}

/// A fill; without a notional it is quantity × price. A fee below 0 is a rebate.
fn filled(fields: &mut Fields) -> Option<OrderOutcome> {
    let quantity = fields.required("quantity", |value| above_zero(value, Quantity::is_positive));
    let price = fields.required("price", |value| above_zero(value, Price::is_positive));
    let notional = fields.optional("notional", |value| above_zero(value, Amount::is_positive));
    let fee = fields.optional("fee", decimal::<Amount>);
    let base_fee = fields.optional("baseFee", decimal::<Quantity>);
    if base_fee.is_some_and(|fee| fee < Quantity::ZERO || quantity.is_some_and(|all| fee > all)) {
        let detail = "it must be from 0 to the quantity";
        fields.refuse("baseFee", "out_of_range", detail);
    }
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
