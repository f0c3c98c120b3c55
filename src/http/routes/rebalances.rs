//! `/api/indexes/{id}/rebalance`, `/drift`, `/rebalances`, `/trades`.

use evenkeel_actors::books::{OrderRecord, RebalanceRecord};
use evenkeel_actors::engine::{LoggedEvent, RebalanceAnswer};
use evenkeel_domain::Event;
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::IndexEvent;
use evenkeel_domain::plan::{self, PlanCost, PlannedOrder, Side, TradePlan};
use evenkeel_domain::rebalance::{
    Reason, RebalanceEvent, RebalanceStatus, TradeExecuted, TradeFailed, Trigger,
};
use evenkeel_domain::values::{
    Amount, Asset, IndexId, Percent, Price, Quantity, RebalanceId, Timestamp,
};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::indexes::id_of;
use crate::http::Api;
use crate::http::fields::{Fields, boolean};
use crate::http::problem::{Code, Problem};
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/rebalance",
            rebalance,
        ),
        Row::needs(Scope::Read, Method::GET, "/api/indexes/{id}/drift", drift),
        Row::needs(
            Scope::Read,
            Method::GET,
            "/api/indexes/{id}/drift/history",
            drift_history,
        ),
        Row::needs(
            Scope::Read,
            Method::GET,
            "/api/indexes/{id}/rebalances",
            history,
        ),
        Row::needs(Scope::Read, Method::GET, "/api/indexes/{id}/trades", trades),
    ]
}

async fn rebalance(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let dry_run = fields.optional("dryRun", boolean).unwrap_or(false);
    let force = fields.optional("force", boolean).unwrap_or(false);
    fields.finish()?;
    match api
        .engine
        .rebalance(&call.caller, id, dry_run, force)
        .await?
    {
        RebalanceAnswer::Started {
            rebalance_id,
            approval_until,
            drift,
            plan,
        } => {
            let status = match approval_until {
                Some(_) => RebalanceStatus::Planned,
                None => RebalanceStatus::Executing,
            };
            let body = json!({
                "rebalanceId": rebalance_id, "status": status, "drift": drift, "plan": plan,
                "approvalUntil": approval_until,
            });
            reply::json(StatusCode::ACCEPTED, &body)
        }
        RebalanceAnswer::NotNeeded {
            drift,
            threshold,
            plan,
        } => reply::ok(&json!({
            "status": "NOT_NEEDED", "drift": drift, "threshold": threshold, "plan": plan,
        })),
        RebalanceAnswer::Planned { drift, plan } => {
            let cost = estimated_cost(&api, &call, id, &plan).await?;
            reply::ok(&json!({
                "status": "PLANNED", "drift": drift, "plan": plan, "estimatedCost": cost,
            }))
        }
    }
}

/// What the fills of a plan are expected to cost at the index's venue.
async fn estimated_cost(
    api: &Api,
    call: &Call,
    id: IndexId,
    plan: &TradePlan,
) -> Result<PlanCost, Problem> {
    let view = api.engine.index(&call.caller, id).await?;
    let account = view.index.definition.account.as_str();
    let with_rules = |order: &PlannedOrder| {
        let rules = api.engine.instrument_rules(account, order.asset)?;
        Ok::<_, Problem>((*order, rules))
    };
    let orders: Vec<_> = plan
        .orders
        .iter()
        .map(with_rules)
        .collect::<Result<_, _>>()?;
    let cost = plan::cost(orders);
    cost.map_err(|error| Problem::new(Code::NumberTooLarge, error.to_string()))
}

async fn drift(api: Api, call: Call) -> Answer {
    let view = api.engine.drift(&call.caller, id_of(&call)?).await?;
    let report = &view.report;
    reply::ok(&json!({
        "indexId": view.index_id,
        "asOf": view.as_of,
        "totalValue": report.total_value,
        "drift": report.drift,
        "driftMeasure": report.measure,
        "worst": report.worst,
        "absolute": report.absolute,
        "relative": report.relative,
        "turnover": report.turnover,
        "threshold": view.threshold,
        "exceeded": report.exceeded,
        "assets": report.assets,
    }))
}

/// What checks found, newest first: a check that found no drift, or the same prices and holdings
/// again, stands not in the log and so not here.
async fn drift_history(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let (before, limit) = call.query.page()?;
    call.query.finish()?;
    let wanted = |name: &str| name == "drift.detected";
    let page = api
        .engine
        .index_events(&call.caller, id, &wanted, before, limit)
        .await?;
    let found = |logged: &LoggedEvent| match &logged.event {
        Event::Index(IndexEvent::DriftDetected(found)) => Some(json!({
            "at": found.at,
            "drift": found.drift,
            "asset": found.asset,
            "threshold": found.threshold,
            "exceeded": found.drift > found.threshold,
            "totalValue": found.total_value,
        })),
        _ => None,
    };
    reply::ok(&Page {
        items: page.items.iter().filter_map(found).collect(),
        next: page.next.map(|version| version.to_string()),
    })
}

/// A trade on the wire: what was executed, or what failed and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TradeBody<'a> {
    rebalance_id: RebalanceId,
    step: u32,
    status: &'static str,
    asset: Asset,
    side: Side,
    quantity: Quantity,
    price: Option<Price>,
    notional: Option<Amount>,
    fee: Option<Amount>,
    base_fee: Option<Quantity>,
    reason: Option<&'a str>,
    at: Timestamp,
}

fn executed(trade: &TradeExecuted) -> TradeBody<'static> {
    TradeBody {
        rebalance_id: trade.rebalance_id,
        step: trade.step,
        status: "EXECUTED",
        asset: trade.asset,
        side: trade.side,
        quantity: trade.quantity,
        price: Some(trade.price),
        notional: Some(trade.notional),
        fee: Some(trade.fee),
        base_fee: Some(trade.base_fee),
        reason: None,
        at: trade.at,
    }
}

fn failed(trade: &TradeFailed) -> TradeBody<'_> {
    TradeBody {
        rebalance_id: trade.rebalance_id,
        step: trade.step,
        status: "FAILED",
        asset: trade.asset,
        side: trade.side,
        quantity: trade.quantity,
        price: None,
        notional: None,
        fee: None,
        base_fee: None,
        reason: Some(trade.reason.as_str()),
        at: trade.at,
    }
}

/// A rebalance on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RebalanceBody<'a> {
    rebalance_id: RebalanceId,
    trigger: Trigger,
    status: RebalanceStatus,
    drift_before: Percent,
    drift_after: Option<Percent>,
    approval_until: Option<Timestamp>,
    plan: &'a TradePlan,
    orders: &'a [OrderRecord],
    trades: Vec<TradeBody<'a>>,
    reason: Option<&'a str>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

pub(super) fn body(record: &RebalanceRecord) -> RebalanceBody<'_> {
    let mut trades: Vec<_> = record.trades.iter().map(executed).collect();
    trades.extend(record.failures.iter().map(failed));
    trades.sort_by_key(|trade| trade.step);
    RebalanceBody {
        rebalance_id: record.rebalance_id,
        trigger: record.trigger,
        status: record.status,
        drift_before: record.drift_before,
        drift_after: record.drift_after,
        approval_until: record.approval_until,
        plan: &record.plan,
        orders: &record.orders,
        trades,
        reason: record.reason.as_ref().map(Reason::as_str),
        started_at: record.started_at,
        ended_at: record.ended_at,
    }
}

async fn history(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let (before, limit) = call.query.page()?;
    call.query.finish()?;
    let page = api
        .engine
        .rebalances(&call.caller, id, before, limit)
        .await?;
    reply::ok(&Page {
        items: page.items.iter().map(body).collect(),
        next: page.next.map(|version| version.to_string()),
    })
}

fn trade(event: &Event) -> Option<TradeBody<'_>> {
    match event {
        Event::Rebalance(RebalanceEvent::TradeExecuted(trade)) => Some(executed(trade)),
        Event::Rebalance(RebalanceEvent::TradeFailed(trade)) => Some(failed(trade)),
        _ => None,
    }
}

async fn trades(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let (before, limit) = call.query.page()?;
    call.query.finish()?;
    let wanted = |name: &str| name == "trade.executed" || name == "trade.failed";
    let page = api
        .engine
        .index_events(&call.caller, id, &wanted, before, limit)
        .await?;
    reply::ok(&Page {
        items: page
            .items
            .iter()
            .filter_map(|logged| trade(&logged.event))
            .collect(),
        next: page.next.map(|version| version.to_string()),
    })
}
