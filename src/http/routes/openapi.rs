//! `/api/openapi.json` and `/docs`: the API's description, for programs and for people. Open: they
//! are the same for everybody.

use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::http::Api;
use crate::http::openapi::{REFERENCE, document};
use crate::http::reply::{self, Answer};
use crate::http::router::Row;

/// The page runs its own script and asks this server alone.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                      style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::open("/api/openapi.json", describe),
        Row::open("/docs", show),
    ]
}

async fn describe(_: Api) -> Answer {
    reply::ok(document())
}

async fn show(_: Api) -> Answer {
    let html = "text/html; charset=utf-8";
    let mut page = reply::bytes(StatusCode::OK, html, REFERENCE.into());
    let policy = HeaderValue::from_static(POLICY);
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(page)
}
