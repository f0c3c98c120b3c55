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
pub mod tests {
    use super::*;
    use crate::http::gate::Gate;
    use crate::http::reply;
    use crate::http::router::{Row, router};
    use evenkeel_actors::engine::Caller;
    use evenkeel_domain::access::Scope;
    use evenkeel_domain::values::{EventKey, OwnerId, Timestamp};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    pub struct FixedClock(Timestamp);
    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    pub fn fixed_clock() -> FixedClock {
        FixedClock("2026-01-05T09:30:00Z".parse().unwrap())
    }
    pub struct Fixed;
    impl Entropy for Fixed {
        fn next_u64(&self) -> u64 {
            42
        }
    }

    /// Tokens are `t:scope,scope`.
    fn identify(scopes: &'static [(&'static str, &'static [Scope])]) -> Gate {
        use sha2::{Digest, Sha256};
        let find = move |hash: &[u8; 32]| {
            let found = scopes
                .iter()
                .find(|(token, _)| <[u8; 32]>::from(Sha256::digest(token.as_bytes())) == *hash)?;
            Some(Caller {
                owner: OwnerId::from_u128(1),
                token: None,
                scopes: found.1.to_vec(),
                request: EventKey::from_u128(0),
            })
        };
        Gate::new(Arc::new(find), Arc::new(fixed_clock()))
    }

    pub fn stack_of(table: Vec<Row<()>>) -> Stack {
        let gate = identify(&[
            ("reader", &[Scope::Read]),
            ("trader", &[Scope::Read, Scope::Trade]),
            ("root", &[Scope::Admin]),
        ]);
        Stack {
            router: router(table, &(), &Arc::new(gate)),
            clock: Arc::new(fixed_clock()),
            entropy: Arc::new(Fixed),
            counters: Arc::default(),
        }
    }

    fn stack() -> Stack {
        stack_of(vec![
            Row::open("/healthz", |()| async {
                reply::ok(&json!({"status": "ok"}))
            }),
            Row::open("/panic", |()| async { panic!("boom") }),
            Row::needs(
                Scope::Read,
                Method::GET,
                "/api/things/{id}",
                |(), call| async move {
                    reply::ok(&json!({"id": call.params, "request": call.caller.request}))
                },
            ),
            Row::needs(
                Scope::Trade,
                Method::POST,
                "/api/things",
                |(), call| async move {
                    let object = crate::http::body::object(&call.body)?;
                    reply::json(StatusCode::CREATED, &object)
                },
            ),
            Row::needs(
                Scope::Trade,
                Method::DELETE,
                "/api/things/{id}",
                |(), _| async { panic!("in a command") },
            ),
        ])
    }

    pub struct Told {
        pub status: u16,
        pub headers: HeaderMap,
        pub body: Bytes,
    }

    impl Told {
        pub fn json(&self) -> Value {
            serde_json::from_slice(&self.body).unwrap()
        }
        pub fn code(&self) -> String {
            assert_eq!(self.headers["content-type"], "application/problem+json");
            let body = self.json();
            assert_eq!(body["status"], self.status);
            body["code"].as_str().unwrap().to_owned()
        }
    }

    pub async fn ask(
        stack: &Stack,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Told {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-length", body.len());
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let response = stack.clone().answer(request, None).await.unwrap();
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await.map_err(Into::<BoxError>::into) else {
            panic!("the body broke off")
        };
        Told {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_bytes(),
        }
    }

    const TRADER: (&str, &str) = ("authorization", "Bearer trader");
    const JSON: (&str, &str) = ("content-type", "application/json");

    #[tokio::test]
    async fn everything_that_goes_wrong_is_a_problem() {
        let stack = stack();
        let big = format!(
            "{{\"a\":\"{}\"}}",
            "x".repeat(crate::http::body::BODY_MAX_BYTES)
        );
        let reader = ("authorization", "bearer reader");
        let table: [(&str, &str, &[(&str, &str)], &str, u16, &str); 14] = [
            ("GET", "/", &[], "", 404, "not_found"),
            ("GET", "/api/thing", &[], "", 404, "not_found"),
            ("GET", "/api/things//", &[TRADER], "", 404, "not_found"),
            ("GET", "/api/things/1/2", &[TRADER], "", 404, "not_found"),
            (
                "PUT",
                "/api/things",
                &[TRADER],
                "",
                405,
                "method_not_allowed",
            ),
            ("BREW", "/healthz", &[], "", 405, "method_not_allowed"),
            ("GET", "/api/things/1", &[], "", 401, "unauthorized"),
            (
                "GET",
                "/api/things/1",
                &[("authorization", "Bearer wrong")],
                "",
                401,
                "unauthorized",
            ),
            (
                "GET",
                "/api/things/1",
                &[("authorization", "Basic trader")],
                "",
                401,
                "unauthorized",
            ),
            (
                "POST",
                "/api/things",
                &[reader, JSON],
                "{}",
                403,
                "forbidden",
            ),
            (
                "POST",
                "/api/things",
                &[TRADER],
                "a=1",
                415,
                "unsupported_media_type",
            ),
            (
                "POST",
                "/api/things",
                &[TRADER, JSON],
                &big,
                413,
                "body_too_large",
            ),
            (
                "POST",
                "/api/things",
                &[TRADER, JSON],
                "{",
                400,
                "malformed_json",
            ),
            ("GET", "/panic", &[], "", 500, "internal"),
        ];
        for (method, path, headers, body, status, code) in table {
            let told = ask(&stack, method, path, headers, body).await;
            assert_eq!(
                (told.status, told.code().as_str()),
                (status, code),
                "{method} {path}"
            );
            assert!(told.headers.contains_key("x-request-id"), "{method} {path}");
        }
        let told = ask(&stack, "DELETE", "/api/things/1", &[TRADER], "").await;
        assert_eq!((told.status, told.code().as_str()), (500, "internal"));
    }

    #[tokio::test]
    async fn the_headers_that_go_with_a_refusal_are_there() {
        let stack = stack();
        let told = ask(&stack, "PUT", "/api/things/1", &[], "").await;
        assert_eq!(told.headers["allow"], "GET, DELETE, HEAD, OPTIONS");
        let told = ask(&stack, "GET", "/api/things/1", &[], "").await;
        assert_eq!(
            told.headers["www-authenticate"],
            "Bearer realm=\"evenkeel\""
        );
        let told = ask(
            &stack,
            "POST",
            "/api/things",
            &[("authorization", "Bearer reader")],
            "",
        )
        .await;
        let challenge = told.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"trade\""));
    }

    #[tokio::test]
    async fn head_and_options_are_answered() {
        let stack = stack();
        let told = ask(&stack, "HEAD", "/healthz", &[], "").await;
        assert_eq!(told.status, 200);
        let told = ask(&stack, "OPTIONS", "/api/things", &[], "").await;
        assert_eq!(told.status, 204);
        assert_eq!(told.headers["allow"], "POST, OPTIONS");
    }

    #[tokio::test]
    async fn a_request_keeps_its_id_and_gets_a_key() {
        let stack = stack();
        let headers = [TRADER, ("x-request-id", "mine-1")];
        let told = ask(&stack, "GET", "/api/things/a%20b", &headers, "").await;
        assert_eq!(told.headers["x-request-id"], "mine-1");
        let key = told.headers["x-correlation-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(told.json(), json!({"id": ["a%20b"], "request": key}));
        let told = ask(&stack, "GET", "/healthz", &[], "").await;
        assert_eq!(
            told.headers["x-request-id"],
            told.headers["x-correlation-id"]
        );
        assert_eq!(told.headers["cache-control"], "no-store");
    }

    #[tokio::test]
    async fn a_key_makes_a_post_happen_once() {
        let stack = stack();
        let headers = [TRADER, JSON, ("idempotency-key", "k1")];
        let first = ask(&stack, "POST", "/api/things", &headers, r#"{"a":1}"#).await;
        let again = ask(&stack, "POST", "/api/things", &headers, r#"{"a":1}"#).await;
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.body, again.body);
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_ne!(
            first.headers.get("idempotency-replayed"),
            again.headers.get("idempotency-replayed")
        );
        let other = ask(&stack, "POST", "/api/things", &headers, r#"{"a":2}"#).await;
        assert_eq!(
            (other.status, other.code().as_str()),
            (422, "idempotency_key_reused")
        );
    }
}
