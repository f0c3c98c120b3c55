//! What every request with a token goes through: token, scope, body, `Idempotency-Key`.
//!
//! The order matters: nobody without the right to a route learns anything about it, and no
//! body is read for somebody without it.

use std::fmt::Display;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use evenkeel_actors::Engine;
use evenkeel_actors::engine::Caller;
use evenkeel_actors::ports::Clock;
use evenkeel_domain::access::Scope;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method};
use tracing::Instrument;

use super::body;
use super::idempotency::{self, Begun, Permit, Store};
use super::problem::{Code, Problem};
use super::query::Query;
use super::reply::Answer;
use super::request_id::RequestId;
use super::router::Call;
use super::token::token_hash;

/// Finds who a token belongs to by its SHA-256.
pub type Identify = Arc<dyn Fn(&[u8; 32]) -> Option<Caller> + Send + Sync>;

/// Longest token that is looked at: ours have 47 characters.
const TOKEN_MAX_LEN: usize = 256;

/// A request whose path is known.
pub struct Arrival<B> {
    /// What stands in the path's places.
    pub params: Vec<String>,
    /// The method.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The path as it came.
    pub path: String,
    /// The query as it came.
    pub query: String,
    /// The request's names.
    pub request: RequestId,
    /// The body, not read yet.
    pub body: B,
}

impl<B> Arrival<B> {
    /// The head and the body.
    fn split(self) -> (Arrival<()>, B) {
        let head = Arrival {
            params: self.params,
            method: self.method,
            headers: self.headers,
            path: self.path,
            query: self.query,
            request: self.request,
            body: (),
        };
        (head, self.body)
    }
}

/// Checks requests.
pub struct Gate {
    identify: Identify,
    clock: Arc<dyn Clock>,
    idempotency: Arc<Store>,
    /// In whose log requests with a key are.
    engine: Option<Engine>,
}

impl Gate {
    /// A gate that knows tokens by `identify`.
    pub fn new(identify: Identify, clock: Arc<dyn Clock>) -> Self {
        Self {
            identify,
            clock,
            idempotency: Arc::default(),
            engine: None,
        }
    }

    /// The same with keys that are known already, and whose requests are noted in the log.
    pub fn noting(mut self, keys: Arc<Store>, engine: Engine) -> Self {
        self.idempotency = keys;
        self.engine = Some(engine);
        self
    }

    /// Lets a request through to its handler, or says why not.
    pub async fn pass<S, B, E, H>(&self, arrival: Arrival<S>, scope: Scope, handler: H) -> Answer
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
        E: Display,
        H: FnOnce(Call) -> BoxFuture<'static, Answer>,
    {
        let (caller, credential) = self.admit(&arrival.headers, &arrival.request, scope)?;
        let sends_body = arrival.method == Method::POST || arrival.method == Method::PUT;
        let (arrival, body) = arrival.split();
        let body = if sends_body {
            body::read(&arrival.headers, body).await?
        } else {
            Bytes::new()
        };
        let permit = match self.begin(&arrival, &caller, &body).await? {
            Started::Run(permit) => permit,
            Started::Replay(answer) => return answer,
        };
        let noted = self.engine.clone().map(|engine| (engine, caller.clone()));
        let is_command = arrival.method != Method::GET && arrival.method != Method::HEAD;
        let call = Call {
            caller,
            credential,
            params: arrival.params,
            query: Query::parse(&arrival.query),
            headers: arrival.headers,
            body,
        };
        if is_command {
            to_the_end(handler(call), permit, noted).await
        } else {
            handler(call).await
        }
    }

    fn admit(
        &self,
        headers: &HeaderMap,
        request: &RequestId,
        scope: Scope,
    ) -> Result<(Caller, [u8; 32]), Problem> {
        let token = bearer(headers)?;
        let credential = token_hash(token);
        let mut caller = (self.identify)(&credential).ok_or_else(|| {
            let challenge = r#"Bearer realm="evenkeel", error="invalid_token""#;
            Problem::unauthorized("the token is not known, or was revoked", challenge)
        })?;
        caller.request = request.key;
        if caller.has(scope) {
            Ok((caller, credential))
        } else {
            Err(lacks(scope))
        }
    }

    async fn begin(
        &self,
        arrival: &Arrival<()>,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Started, Problem> {
        let key = arrival.headers.get("idempotency-key");
        let Some(key) = key.filter(|_| arrival.method == Method::POST) else {
            return Ok(Started::Run(None));
        };
        let key = idempotency::key(key)?;
        let place = idempotency::place(caller.owner, &arrival.path, &key);
        let asked = idempotency::asked(&arrival.query, body);
        let look_up = || self.idempotency.begin(place, asked, self.clock.now());
        let begun = match (look_up()?, &self.engine) {
            (Begun::Interrupted(at, correlation), Some(engine)) => {
                if engine.took_effect(at, correlation).await? {
                    return Err(idempotency::unknown());
                }
                self.idempotency.free(place);
                look_up()?
            }
            (begun, _) => begun,
        };
        match (begun, &self.engine) {
            (Begun::Fresh(permit), Some(engine)) => {
                match engine.begin_request(caller, place, asked).await {
                    Ok(_) => Ok(Started::Run(Some(permit))),
                    Err(error) => {
                        permit.give_back();
                        Err(error.into())
                    }
                }
            }
            (Begun::Fresh(permit), None) => Ok(Started::Run(Some(permit))),
            (Begun::Replay(stored), _) => Ok(Started::Replay(Ok(stored.response()))),
            // Somebody else has taken it up in the meantime, or nobody can tell.
            (Begun::Interrupted(..), _) => Err(idempotency::unknown()),
        }
    }
}

enum Started {
    Run(Option<Permit>),
    Replay(Answer),
}

/// Runs a command to its end even when the client hangs up: what was begun is not left half done.
async fn to_the_end(
    command: BoxFuture<'static, Answer>,
    permit: Option<Permit>,
    noted: Option<(Engine, Caller)>,
) -> Answer {
    let task = async move {
        let answer = command.await;
        let log = noted.as_ref().map(|(engine, caller)| (engine, caller));
        match permit {
            Some(permit) => permit.finish(answer, log).await,
            None => answer,
        }
    };
    match tokio::spawn(task.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            // The layer around the router answers for panics.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::Stopping, "the server is stopping")),
        },
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || {
        let detail = "send the token as Authorization: Bearer <token>";
        Problem::unauthorized(detail, r#"Bearer realm="evenkeel""#)
    };
    let value = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let value = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    let usable = (1..=TOKEN_MAX_LEN).contains(&token.len());
    if scheme.eq_ignore_ascii_case("bearer") && usable {
        Ok(token)
    } else {
        Err(missing())
    }
}

fn lacks(scope: Scope) -> Problem {
    let name = scope_name(scope);
    let detail = format!("this needs a token with the scope {name:?}");
    let challenge =
        format!(r#"Bearer realm="evenkeel", error="insufficient_scope", scope="{name}""#);
    let problem = Problem::new(Code::Forbidden, detail);
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

/// A scope as it is written on the wire.
pub fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Trade => "trade",
        Scope::Webhooks => "webhooks",
        Scope::Prices => "prices",
        Scope::Jobs => "jobs",
        Scope::Admin => "admin",
    }
}
