//! `/api/events/stream`: the log as server-sent events, from any position, never skipping one.
//!
//! Each event has its position as `id` and no `event` field, so that `EventSource.onmessage` sees
//! all of them; the type stands in the data. It begins after `Last-Event-ID`, else after `after`,
//! else with what comes next. The log is read page by page and then watched: a slow reader is
//! behind, but misses nothing.

use std::time::Duration;

use bytes::Bytes;
use evenkeel_domain::access::Scope;
use futures_util::stream;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use warp::reply::Reply;

use super::events::{Wanted, body};
use crate::http::Api;
use crate::http::problem::{Code, Problem};
use crate::http::query::refused;
use crate::http::reply::Answer;
use crate::http::router::{Call, Row};

/// Silence longer than this is broken by a comment, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are read from the log at once.
const PAGE_EVENTS: usize = 200;
/// Chunks that wait for a slow reader; then reading the log waits too.
const CHUNKS_WAITING_MAX: usize = 4;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let path = "/api/events/stream";
    vec![Row::needs(Scope::Read, Method::GET, path, follow)]
}

async fn follow(api: Api, mut call: Call) -> Answer {
    let after = start(&api, &mut call)?;
    let wanted = Wanted::of(&mut call.query)?;
    std::mem::take(&mut call.query).finish()?;
    let permit = api.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| {
        Problem::new(
            Code::Busy,
            "too many streams of events are open; try again later",
        )
    })?;
    let (sender, mut receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::spawn(
        Follower {
            api,
            call,
            wanted,
            sender,
            _permit: permit,
        }
        .run(after),
    );
    let chunks = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let mut response = warp::reply::stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Where the stream begins.
fn start(api: &Api, call: &mut Call) -> Result<u64, Problem> {
    let after = call.query.parsed("after")?;
    let Some(last) = call.headers.get("last-event-id") else {
        return Ok(after.unwrap_or_else(|| *api.engine.watch().borrow()));
    };
    let last = last.to_str().ok().and_then(|text| text.parse().ok());
    let detail = "it must be the id of an event of this stream";
    last.ok_or_else(|| refused("Last-Event-ID", "invalid", detail))
}

type Chunk = Result<Bytes, std::convert::Infallible>;

/// Follows the log for one client.
struct Follower {
    api: Api,
    call: Call,
    wanted: Wanted,
    sender: mpsc::Sender<Chunk>,
    /// Held until the stream ends.
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Ends when the client goes, the server stops, the token is revoked or the log fails: a
    /// client that comes again with `Last-Event-ID` misses nothing.
    async fn run(self, after: u64) {
        let mut stopping = self.api.stopping.subscribe();
        let mut head = self.api.engine.watch();
        tokio::select! {
            () = self.send_all(after, &mut head) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.sender.closed() => {}
        }
    }

    async fn send_all(&self, mut after: u64, head: &mut watch::Receiver<u64>) {
        if !self.send(": connected\n\n".to_owned()).await {
            return;
        }
        // Until the token is revoked.
        while self.api.engine.identify(&self.call.credential).is_some() {
            // Seen before reading: what is appended while the log is read wakes the next wait.
            let known = *head.borrow_and_update();
            let read = self
                .wanted
                .read(&self.api, &self.call.caller, after, PAGE_EVENTS)
                .await;
            let (events, position) = match read {
                Ok(read) => read,
                Err(problem) => {
                    tracing::warn!(detail = problem.detail, "a stream of events ends early");
                    return;
                }
            };
            let text: String = events.iter().map(frame).collect();
            if !text.is_empty() && !self.send(text).await {
                return;
            }
            let stands_still = position <= after;
            after = after.max(position);
            if (stands_still || after >= known) && !self.wait(head).await {
                return;
            }
        }
    }

    /// Waits for the log to grow; breaks the silence in between.
    async fn wait(&self, head: &mut watch::Receiver<u64>) -> bool {
        match tokio::time::timeout(HEARTBEAT, head.changed()).await {
            Ok(changed) => changed.is_ok(),
            Err(_) => self.send(": still here\n\n".to_owned()).await,
        }
    }

    async fn send(&self, text: String) -> bool {
        self.sender.send(Ok(Bytes::from(text))).await.is_ok()
    }
}

/// One event; its JSON has no line breaks.
fn frame(event: &evenkeel_actors::engine::LoggedEvent) -> String {
    let data = serde_json::to_string(&body(event)).unwrap_or_default();
    format!("id: {}\ndata: {data}\n\n", event.position)
}
