//! `/api/trading`, `/api/indexes/{id}/trading`: the kill switches. `/api/accounts/{account}/
//! instruments/{asset}`: what a venue demands of an order.

use evenkeel_domain::access::Scope;
use evenkeel_domain::trading::{SwitchReason, Trading, TradingMode};
use evenkeel_domain::values::Asset;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::indexes::{answer, id_of};
use crate::http::Api;
use crate::http::fields::{Fields, incomplete, text};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

const OF_INDEX: &str = "/api/indexes/{id}/trading";

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(Scope::Read, Method::GET, "/api/trading", show),
        Row::needs(Scope::Admin, Method::PUT, "/api/trading", set),
        Row::needs(Scope::Read, Method::GET, OF_INDEX, show_index),
        Row::needs(Scope::Trade, Method::PUT, OF_INDEX, set_index),
        Row::needs(
            Scope::Read,
            Method::GET,
            "/api/accounts/{account}/instruments/{asset}",
            rules,
        ),
    ]
}

fn body(trading: &Trading) -> Value {
    json!({"mode": trading.mode, "reason": trading.reason, "since": trading.since})
}

async fn show(api: Api, _: Call) -> Answer {
    reply::ok(&body(&api.engine.trading()))
}

/// `{"mode": "ACTIVE" | "REDUCING" | "HALTED", "reason"?}`. When it is answered, no order is sent
/// any more that the mode forbids.
async fn set(api: Api, call: Call) -> Answer {
    let (mode, reason) = wanted(&call)?;
    let trading = api.engine.set_trading(&call.caller, mode, reason).await?;
    reply::ok(&body(&trading))
}

/// Both switches as they concern an index: its own, the one for all, and the stricter, which
/// holds.
async fn show_index(api: Api, call: Call) -> Answer {
    let view = api.engine.index(&call.caller, id_of(&call)?).await?;
    let (own, all) = (view.index.mode, api.engine.trading().mode);
    reply::ok(&json!({"mode": own, "allIndexes": all, "effective": own.stricter(all)}))
}

async fn set_index(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let (mode, reason) = wanted(&call)?;
    let view = api
        .engine
        .set_index_trading(&call.caller, id, mode, reason)
        .await?;
    answer(StatusCode::OK, &view)
}

fn wanted(call: &Call) -> Result<(TradingMode, SwitchReason), Problem> {
    let mut fields = Fields::of(&call.body)?;
    let mode = fields.required("mode", mode);
    let reason = fields.optional("reason", text::<300>);
    fields.finish()?;
    Ok((mode.ok_or_else(incomplete)?, reason.unwrap_or_default()))
}

fn mode(value: &Value) -> Result<TradingMode, String> {
    match value.as_str() {
        Some("ACTIVE") => Ok(TradingMode::Active),
        Some("REDUCING") => Ok(TradingMode::Reducing),
        Some("HALTED") => Ok(TradingMode::Halted),
        _ => Err("\"ACTIVE\", \"REDUCING\" or \"HALTED\" is expected".to_owned()),
    }
}

/// `{"lotStep", "minNotional", "fee", "slippage"}` under `rules`: fee and slippage in per cent.
async fn rules(api: Api, call: Call) -> Answer {
    let account = call.params.first().map_or("", String::as_str);
    let asset: Asset = call.id(1, "asset")?;
    let rules = api.engine.instrument_rules(account, asset)?;
    reply::ok(&json!({"account": account, "asset": asset, "rules": rules}))
}
