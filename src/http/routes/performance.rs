//! `/api/indexes/{id}/performance`: what a unit of an index was worth, day by day.

use evenkeel_domain::access::Scope;
use evenkeel_domain::performance::{Point, Summary, summary};
use evenkeel_domain::values::{IndexId, Percent, Timestamp};
use http::Method;
use serde::Serialize;

use super::indexes::id_of;
use crate::http::Api;
use crate::http::query::refused;
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

/// The route.
pub fn rows() -> Vec<Row<Api>> {
    let path = "/api/indexes/{id}/performance";
    vec![Row::needs(Scope::Read, Method::GET, path, load)]
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Performance<'a> {
    index_id: IndexId,
    #[serde(flatten)]
    summary: Summary,
    series: &'a [Point],
}

async fn load(api: Api, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let query = &mut call.query;
    let from: Option<Timestamp> = query.parsed("from")?;
    let to: Option<Timestamp> = query.parsed("to")?;
    let risk_free: Percent = query.parsed("riskFree")?.unwrap_or(Percent::ZERO);
    call.query.finish()?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(refused("to", "out_of_range", "it lies before from"));
    }
    let mut points = api.engine.performance(&call.caller, id).await?;
    let inside = |at: Timestamp| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to);
    points.retain(|point| inside(point.at));
    reply::ok(&Performance {
        index_id: id,
        summary: summary(&points, risk_free),
        series: &points,
    })
}
