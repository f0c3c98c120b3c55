//! The route table and what warp makes of it.
//!
//! A row is a method, a path, who may use it, and a handler. Rows of one path become one boxed
//! filter (dozens of unboxed ones take minutes to compile); it answers every method, so that a
//! known path never falls through to another answer.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use evenkeel_actors::engine::Caller;
use evenkeel_domain::access::Scope;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use http::header::{ALLOW, HeaderValue};
use http::{HeaderMap, Method};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::gate::{Arrival, Gate};
use super::problem::{Code, Problem};
use super::query::Query;
use super::reply::{Answer, no_content};
use super::request_id::RequestId;

/// A request that passed the gate.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// SHA-256 of the token: answers that last ask again whether it is still in force.
    pub credential: [u8; 32],
    /// What stands in the path's places, in order.
    pub params: Vec<String>,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A place of the path as an id; one that is none names nothing.
    pub fn id<T: FromStr>(&self, at: usize, what: &str) -> Result<T, Problem> {
        let text = self.params.get(at).map_or("", String::as_str);
        text.parse().map_err(|_| Problem::not_found(what))
    }

    /// The version that `If-Match` asks for; none without the header and for `*`.
    pub fn if_match(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.headers.get(http::header::IF_MATCH) else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        if text.is_empty() {
            // RFC 9110, 13.1.1: a list of tags of which none is the current one.
            let detail = "If-Match names no version; send the ETag of the resource";
            return Err(Problem::new(Code::VersionMismatch, detail));
        }
        let quoted = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        quoted
            .and_then(|tag| tag.parse().ok())
            .map(Some)
            .ok_or_else(|| {
                let detail = "If-Match must be the ETag of the resource, such as \"7\"";
                Problem::new(Code::MalformedRequest, detail)
            })
    }
}

/// A handler for everybody.
pub type OpenHandler<S> = Arc<dyn Fn(S) -> BoxFuture<'static, Answer> + Send + Sync>;
/// A handler for callers with a scope.
pub type Handler<S> = Arc<dyn Fn(S, Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A handler for whoever has the link: what stands in the path's places is the credential.
pub type LinkHandler<S> = Arc<dyn Fn(S, Vec<String>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Who may use a route.
pub enum Access<S> {
    /// Everybody.
    Open(OpenHandler<S>),
    /// Whoever has the link.
    Linked(LinkHandler<S>),
    /// Tokens with this scope.
    Needs(Scope, Handler<S>),
}

/// One row of the route table.
pub struct Row<S> {
    /// The method.
    pub method: Method,
    /// The path, `/api/indexes/{id}`.
    pub path: &'static str,
    /// Who may use it, and what it does.
    pub access: Access<S>,
}

impl<S> Row<S> {
    /// A route for everybody.
    pub fn open<F, R>(path: &'static str, handler: F) -> Self
    where
        F: Fn(S) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        Self {
            method: Method::GET,
            path,
            access: Access::Open(Arc::new(move |state| handler(state).boxed())),
        }
    }

    /// A route for whoever has the link. No body is read.
    pub fn linked<F, R>(method: Method, path: &'static str, handler: F) -> Self
    where
        F: Fn(S, Vec<String>) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        Self {
            method,
            path,
            access: Access::Linked(Arc::new(move |state, params| {
                handler(state, params).boxed()
            })),
        }
    }

    /// A route for tokens with a scope.
    pub fn needs<F, R>(scope: Scope, method: Method, path: &'static str, handler: F) -> Self
    where
        F: Fn(S, Call) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        Self {
            method,
            path,
            access: Access::Needs(
                scope,
                Arc::new(move |state, call| handler(state, call).boxed()),
            ),
        }
    }
}

/// The rows of one path.
pub struct Route<S> {
    path: &'static str,
    rows: Vec<Row<S>>,
    allow: HeaderValue,
}

impl<S> Route<S> {
    fn new(path: &'static str, rows: Vec<Row<S>>) -> Self {
        let mut methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        let allow = methods.join(", ");
        Self {
            path,
            rows,
            // Names of methods are always valid in a header.
            allow: HeaderValue::from_str(&allow).unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }

    /// The row of a method; HEAD is GET, whose body the server leaves out.
    fn row(&self, method: &Method) -> Option<&Row<S>> {
        let wanted = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.rows.iter().find(|row| row.method == *wanted)
    }
}

/// The path that a response was made by, for the counters.
#[derive(Debug, Clone, Copy)]
pub struct Matched(pub &'static str);

/// The whole table as one filter. Whatever comes, it answers.
pub fn router<S>(table: Vec<Row<S>>, state: &S, gate: &Arc<Gate>) -> BoxedFilter<(Response,)>
where
    S: Clone + Send + Sync + 'static,
{
    let mut paths: BTreeMap<&'static str, Vec<Row<S>>> = BTreeMap::new();
    for row in table {
        paths.entry(row.path).or_default().push(row);
    }
    let unknown = warp::any()
        .then(|| async { Problem::new(Code::NotFound, "there is no such path").into_response() })
        .boxed();
    let routes = paths.into_iter().map(|(path, rows)| {
        filter(
            Arc::new(Route::new(path, rows)),
            state.clone(),
            Arc::clone(gate),
        )
    });
    // Built from the back, so that the fallback is asked last.
    routes
        .rev()
        .fold(unknown, |rest, route| route.or(rest).unify().boxed())
}

fn filter<S>(route: Arc<Route<S>>, state: S, gate: Arc<Gate>) -> BoxedFilter<(Response,)>
where
    S: Clone + Send + Sync + 'static,
{
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    params(route.path)
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::path::full())
        .and(raw_query)
        .and(warp::ext::get::<RequestId>())
        .and(warp::body::stream())
        .then(
            move |params, method, headers, path: warp::path::FullPath, query: String, id, body| {
                let (route, state, gate) = (Arc::clone(&route), state.clone(), Arc::clone(&gate));
                let arrival = Arrival {
                    params,
                    method,
                    headers,
                    path: path.as_str().to_owned(),
                    query,
                    request: id,
                    body,
                };
                async move {
                    let mut response = answer(&route, state, &gate, arrival).await;
                    response.extensions_mut().insert(Matched(route.path));
                    response
                }
            },
        )
        .boxed()
}

async fn answer<S, T, B, E>(
    route: &Route<S>,
    state: S,
    gate: &Gate,
    arrival: Arrival<T>,
) -> Response
where
    T: Stream<Item = Result<B, E>>,
    B: Buf,
    E: Display,
{
    if arrival.method == Method::OPTIONS {
        let mut response = no_content();
        response.headers_mut().insert(ALLOW, route.allow.clone());
        return response;
    }
    let answer = match route.row(&arrival.method).map(|row| &row.access) {
        None => Err(Problem::method_not_allowed(route.allow.clone())),
        Some(Access::Open(handler)) => handler(state).await,
        Some(Access::Linked(handler)) => handler(state, arrival.params).await,
        Some(Access::Needs(scope, handler)) => {
            gate.pass(arrival, *scope, |call| handler(state, call))
                .await
        }
    };
    answer.unwrap_or_else(Problem::into_response)
}

/// Matches a path and gives what stands in its places.
fn params(path: &'static str) -> BoxedFilter<(Vec<String>,)> {
    let mut filter = warp::any().map(Vec::new).boxed();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        filter = if segment.starts_with('{') {
            filter
                .and(warp::path::param::<String>())
                .map(|mut params: Vec<String>, param| {
                    params.push(param);
                    params
                })
                .boxed()
        } else {
            filter.and(warp::path(segment)).boxed()
        };
    }
    filter.and(warp::path::end()).boxed()
}
