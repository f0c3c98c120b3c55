//! What stands around any routes: ids, refusals, keys.

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

/// Method, path, headers, body; status and code.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

/// Stands for a body beyond the cap.
const OVERSIZED: &str = "oversized";
const READER: (&str, &str) = ("authorization", "bearer reader");

/// What is asked, and how it is refused.
const REFUSED: [Case; 14] = [
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
        &[READER, JSON],
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
        OVERSIZED,
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

#[tokio::test]
async fn everything_that_goes_wrong_is_a_problem() {
    let stack = stack();
    let oversized = format!(
        "{{\"a\":\"{}\"}}",
        "x".repeat(crate::http::body::BODY_MAX_BYTES)
    );
    for (method, path, headers, body, status, code) in REFUSED {
        let body = if body == OVERSIZED { &oversized } else { body };
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
