//! `/api/indexes`: define, look at, change, pause, delete.

use evenkeel_actors::engine::{IndexFilter, IndexView};
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::{Constituents, Holding, Rebalancing, Risk, Status};
use evenkeel_domain::trading::TradingMode;
use evenkeel_domain::values::{Amount, IndexId, OwnerId, Percent, RebalanceId, Text, Timestamp};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::definition;
use crate::http::Api;
use crate::http::fields::Fields;
use crate::http::problem::{Code, Problem};
use crate::http::query::refused;
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// A change that names no version is tried again when somebody else was faster.
const UPDATE_ATTEMPTS: u32 = 3;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let (list, one) = ("/api/indexes", "/api/indexes/{id}");
    vec![
        Row::needs(Scope::Read, Method::GET, list, find),
        Row::needs(Scope::Trade, Method::POST, list, create),
        Row::needs(Scope::Read, Method::GET, one, load),
        Row::needs(Scope::Trade, Method::PUT, one, update),
        Row::needs(Scope::Trade, Method::DELETE, one, delete),
        Row::needs(Scope::Trade, Method::POST, "/api/indexes/{id}/pause", pause),
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/resume",
            resume,
        ),
    ]
}

/// An index on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexBody<'a> {
    index_id: IndexId,
    owner: OwnerId,
    name: &'a str,
    description: &'a str,
    tags: Vec<&'a str>,
    account: &'a str,
    status: Status,
    constituents: &'a Constituents,
    cash_percentage: Percent,
    holdings: &'a [Holding],
    cash: Amount,
    rebalancing: Rebalancing,
    risk: Risk,
    /// The rebalance that runs.
    active_rebalance_id: Option<RebalanceId>,
    /// Deposits and withdrawals that the venue may not know of yet.
    pending_transfers: usize,
    /// Its own kill switch.
    trading_mode: TradingMode,
    /// Why the last check traded nothing.
    skipped: Option<String>,
    last_rebalanced_at: Option<Timestamp>,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// An index as JSON.
fn body(view: &IndexView) -> impl Serialize + '_ {
    let (index, definition) = (&view.index, &view.index.definition);
    IndexBody {
        index_id: index.index_id,
        owner: index.owner,
        name: definition.name.as_str(),
        description: definition.description.as_str(),
        tags: definition.tags.iter().map(Text::as_str).collect(),
        account: definition.account.as_str(),
        status: index.status,
        constituents: &definition.constituents,
        cash_percentage: definition.cash_percentage,
        holdings: &index.holdings,
        cash: index.cash,
        rebalancing: definition.rebalancing,
        risk: definition.risk,
        active_rebalance_id: index
            .rebalance
            .as_ref()
            .map(|rebalance| rebalance.rebalance_id),
        pending_transfers: index.transfers.len(),
        trading_mode: index.mode,
        skipped: index.skipped.as_ref().map(ToString::to_string),
        last_rebalanced_at: index.last_rebalanced_at,
        version: view.version,
        created_at: index.created_at,
        updated_at: index.updated_at,
    }
}

/// An index as an answer, its version as entity tag.
pub fn answer(status: StatusCode, view: &IndexView) -> Answer {
    reply::tagged(reply::json(status, &body(view)), view.version)
}

/// Which index the path names.
pub fn id_of(call: &Call) -> Result<IndexId, Problem> {
    call.id(0, "index")
}

async fn find(api: Api, mut call: Call) -> Answer {
    let query = &mut call.query;
    let (after, limit) = query.page()?;
    let filter = IndexFilter {
        status: query
            .text("status")?
            .map(|text| status(&text))
            .transpose()?,
        tag: query.text("tag")?,
        owner: query.parsed("owner")?,
        after,
        limit,
    };
    call.query.finish()?;
    let foreign = |owner: OwnerId| owner != call.caller.owner && !call.caller.is_admin();
    if filter.owner.is_some_and(foreign) {
        return reply::ok(&Page::<()>::default());
    }
    let page = api.engine.indexes(&call.caller, filter).await?;
    reply::ok(&Page {
        items: page.items.iter().map(body).collect(),
        next: page.next.map(|id| id.to_string()),
    })
}

fn status(text: &str) -> Result<Status, Problem> {
    serde_json::from_value(Value::from(text)).map_err(|_| {
        let detail = "it must be PENDING, ACTIVE, PAUSED or DELETED";
        refused("status", "invalid", detail)
    })
}

async fn create(api: Api, call: Call) -> Answer {
    let mut fields = Fields::of(&call.body)?;
    let definition = definition::read(&mut fields, None);
    fields.finish()?;
    let definition = definition?.validated()?;
    let view = api.engine.create_index(&call.caller, definition).await?;
    let path = format!("/api/indexes/{}", view.index.index_id);
    reply::located(answer(StatusCode::CREATED, &view), &path)
}

async fn load(api: Api, call: Call) -> Answer {
    let view = api.engine.index(&call.caller, id_of(&call)?).await?;
    answer(StatusCode::OK, &view)
}

async fn update(api: Api, call: Call) -> Answer {
    let (id, wanted) = (id_of(&call)?, call.if_match()?);
    for _ in 0..UPDATE_ATTEMPTS {
        let current = api.engine.index(&call.caller, id).await?;
        let mut fields = Fields::of(&call.body)?;
        let definition = definition::read(&mut fields, Some(&current.index.definition));
        fields.finish()?;
        let definition = definition?.validated()?;
        // What was left out was read at this version and must not overwrite a later one.
        let version = wanted.unwrap_or(current.version);
        let updated = api
            .engine
            .update_index(&call.caller, id, definition, Some(version))
            .await;
        match updated.map_err(Problem::from) {
            Err(problem) if problem.code == Code::VersionMismatch && wanted.is_none() => {}
            updated => return answer(StatusCode::OK, &updated?),
        }
    }
    let detail = "the index is being changed by others; try again shortly";
    Err(Problem::new(Code::ConcurrentUpdate, detail))
}

async fn delete(api: Api, call: Call) -> Answer {
    api.engine.delete_index(&call.caller, id_of(&call)?).await?;
    Ok(reply::no_content())
}

async fn pause(api: Api, call: Call) -> Answer {
    Fields::of(&call.body)?.finish()?;
    let view = api.engine.pause_index(&call.caller, id_of(&call)?).await?;
    answer(StatusCode::OK, &view)
}

async fn resume(api: Api, call: Call) -> Answer {
    Fields::of(&call.body)?.finish()?;
    let view = api.engine.resume_index(&call.caller, id_of(&call)?).await?;
    answer(StatusCode::OK, &view)
}
