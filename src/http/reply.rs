//! Answers that are no refusals.

use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{Response as HttpResponse, StatusCode};
use serde::Serialize;
use warp::reply::Response;

use super::idempotency::Unlogged;
use super::problem::{Code, Problem};

/// What a handler gives.
pub type Answer = Result<Response, Problem>;

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be serialised");
        Problem::new(Code::Internal, "the answer cannot be written")
    })?;
    Ok(bytes(status, "application/json", body))
}

/// A JSON answer with status 200.
pub fn ok(value: &impl Serialize) -> Answer {
    json(StatusCode::OK, value)
}

/// An answer of any type.
pub fn bytes(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Done, and nothing to say.
pub fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The answer with the version of the resource as its entity tag.
pub fn tagged(answer: Answer, version: u64) -> Answer {
    with_header(answer, ETAG, &format!("\"{version}\""))
}

/// The answer with the path of what was made.
pub fn located(answer: Answer, path: &str) -> Answer {
    with_header(answer, LOCATION, path)
}

/// The answer with a mark that its body says what must not be in the log: a secret, or the name of
/// somebody.
pub fn unlogged(answer: Answer) -> Answer {
    let mut response = answer?;
    response.extensions_mut().insert(Unlogged);
    Ok(response)
}

fn with_header(answer: Answer, name: HeaderName, value: &str) -> Answer {
    let mut response = answer?;
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
