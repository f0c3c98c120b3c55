//! `/api/indexes/{id}/explain`: why a check traded, or did not.

use evenkeel_domain::access::Scope;
use http::Method;
use serde_json::{Value, json};

use super::indexes::id_of;
use crate::http::Api;
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

/// The route.
pub fn rows() -> Vec<Row<Api>> {
    let path = "/api/indexes/{id}/explain";
    vec![Row::needs(Scope::Read, Method::GET, path, explain)]
}

/// `?at=` is a time; now without it.
async fn explain(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let at = call.query.parsed("at")?;
    call.query.finish()?;
    let at = at.unwrap_or_else(|| api.clock.now());
    let explained = api.engine.explain(&call.caller, id, at).await?;
    let explanation = &explained.explanation;
    let (verdict, reason) = explanation.verdict.told();
    let price = |(asset, price): &(_, Result<_, _>)| -> Value {
        let (price, problem) = match price {
            Ok(price) => (Some(price), None),
            Err(problem) => (None, Some(ToString::to_string(problem))),
        };
        json!({"asset": asset, "price": price, "problem": problem})
    };
    let rebalancing = explained.index.definition.rebalancing;
    reply::ok(&json!({
        "indexId": id,
        "at": explained.at,
        "version": explained.version,
        "verdict": verdict,
        "reason": reason,
        "conditions": explanation.conditions,
        "rebalancing": rebalancing,
        "lastRebalancedAt": explained.index.last_rebalanced_at,
        "cash": explained.index.cash,
        "holdings": explained.index.holdings,
        "prices": explained.prices.iter().map(price).collect::<Vec<_>>(),
        "drift": explanation.drift.as_ref().map(|drift| json!({
            "totalValue": drift.total_value, "drift": drift.drift, "worst": drift.worst,
            "exceeded": drift.exceeded, "assets": drift.assets,
        })),
        "plan": explanation.plan,
    }))
}
