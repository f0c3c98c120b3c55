//! What stands around the router: request ids, log lines, counters, panics.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_actors::ports::{Clock, Entropy};
use http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Body;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanic;
use tracing::Instrument;
use warp::filters::BoxedFilter;

use super::metrics::Counters;
use super::problem::{Code, Problem};
use super::request_id::{RequestId, X_CORRELATION_ID, X_REQUEST_ID};
use super::router::Matched;

/// What a request passes on its way to the router.
#[derive(Clone)]
pub struct Stack {
    /// The routes.
    pub router: BoxedFilter<(warp::reply::Response,)>,
    /// Time, for request ids.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub entropy: Arc<dyn Entropy>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// An error of a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Stack {
    /// Answers a request. Never fails and never panics.
    pub async fn answer<B>(
        self,
        mut request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: Into<BoxError>> + use<B>>, Infallible>
    where
        B: Body + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        let began = tokio::time::Instant::now();
        let id = RequestId::of(request.headers(), &*self.clock, &*self.entropy);
        let method = request.method().clone();
        let span = tracing::info_span!(
            "request",
            request_id = &*id.text,
            correlation = %id.key,
            %method,
            path = request.uri().path(),
            peer = peer.map(tracing::field::display),
        );
        request.extensions_mut().insert(id.clone());
        let service = CatchPanic::custom(warp::service(self.router), panicked);
        let mut response = service.oneshot(request).instrument(span.clone()).await?;
        name(response.headers_mut(), &id);
        let path = response
            .extensions()
            .get()
            .map_or("unmatched", |Matched(path)| path);
        let took = began.elapsed();
        self.counters.record(path, &method, response.status(), took);
        span.in_scope(|| log(&method, response.status(), took));
        Ok(response)
    }
}

/// Headers that every answer carries.
fn name(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(text) = HeaderValue::from_str(&id.text) {
        headers.insert(X_REQUEST_ID, text);
    }
    if let Ok(key) = HeaderValue::from_str(&id.key.to_string()) {
        headers.insert(X_CORRELATION_ID, key);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(CACHE_CONTROL).or_insert(no_store);
}

fn log(method: &Method, status: StatusCode, took: Duration) {
    let (status, took_us) = (status.as_u16(), took.as_micros());
    if status >= 500 {
        tracing::warn!(status, took_us, "answered");
    } else if method == Method::GET || method == Method::HEAD {
        // Reads and probes come all the time and change nothing.
        tracing::debug!(status, took_us, "answered");
    } else {
        tracing::info!(status, took_us, "answered");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
fn panicked(panic: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = text.unwrap_or("without words"),
        "a handler panicked"
    );
    let detail = "something is broken here; the server's log says more, find it by the \
                  X-Request-Id of this answer";
    Problem::new(Code::Internal, detail).response()
}

#[cfg(test)]
pub mod tests;
