//! `/healthz`, `/readyz`, `/metrics`: for supervisors and dashboards. Open: they tell figures only.

use http::StatusCode;
use serde_json::json;

use crate::http::Api;
use crate::http::metrics;
use crate::http::problem::{Code, Problem};
use crate::http::reply::{self, Answer};
use crate::http::router::Row;

/// The version of Prometheus' text format that is written.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::open("/healthz", alive),
        Row::open("/readyz", ready),
        Row::open("/metrics", figures),
    ]
}

/// The process answers. Nothing else is looked at: a restart would heal nothing else.
async fn alive(_: Api) -> Answer {
    reply::ok(&json!({"status": "ok"}))
}

/// Whether it is worth sending requests here.
async fn ready(api: Api) -> Answer {
    if *api.stopping.borrow() {
        return Err(Problem::new(Code::Stopping, "the server is stopping"));
    }
    let status = api.engine.status();
    if status.ready {
        reply::ok(&json!({"status": "ready", "position": status.position}))
    } else {
        Err(Problem::new(
            Code::Unavailable,
            "the engine is not up yet, or is stopping",
        ))
    }
}

async fn figures(api: Api) -> Answer {
    let text = metrics::render(&api.engine.status(), &api.counters);
    Ok(reply::bytes(StatusCode::OK, PROMETHEUS, text.into_bytes()))
}
