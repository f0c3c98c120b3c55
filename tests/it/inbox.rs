//! A webhook receiver that keeps every message as it came.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::portfolio::SOON;

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("{name} is missing"))
            .to_str()
            .unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The type of its event.
    pub fn event_type(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Debug)]
struct Kept {
    messages: watch::Sender<Vec<Message>>,
    status: AtomicU16,
}

/// A receiver on this machine.
pub struct Inbox {
    address: SocketAddr,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

impl Inbox {
    /// One that says 200 to everything.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Kept {
            messages: watch::Sender::new(Vec::new()),
            status: AtomicU16::new(200),
        });
        let keeper = Arc::clone(&kept);
        let serving = serve(listener, move |request| take(Arc::clone(&keeper), request));
        let task = tokio::spawn(serving);
        Self {
            address,
            kept,
            task,
        }
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16) {
        self.kept.status.store(status, Ordering::SeqCst);
    }

    /// Everything that came so far.
    pub fn messages(&self) -> Vec<Message> {
        self.kept.messages.borrow().clone()
    }

    /// Forgets what came so far.
    pub fn clear(&self) {
        self.kept.messages.send_modify(Vec::clear);
    }

    /// Waits until what came is enough.
    pub async fn wait_until(&self, enough: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let mut messages = self.kept.messages.subscribe();
        let waited = tokio::time::timeout(SOON, messages.wait_for(|all| enough(all)));
        let waited = waited.await.map(|all| all.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("only these came: {:?}", types(&self.messages())))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The event types of messages, sorted: order between events is not promised.
pub fn types(messages: &[Message]) -> Vec<String> {
    let mut types: Vec<String> = messages.iter().map(Message::event_type).collect();
    types.sort_unstable();
    types
}

/// Serves every connection of a listener, each in a task of its own.
pub async fn serve<T>(
    listener: TcpListener,
    take: impl Fn(Request<Incoming>) -> T + Clone + Send + 'static,
) where
    T: Future<Output = Result<Response<Empty<Bytes>>, Infallible>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(take.clone());
        tokio::spawn(async move {
            // A connection that breaks is the sender's to repeat.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn take(
    kept: Arc<Kept>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Empty::new());
    let Ok(body) = body.collect().await else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let message = Message {
        headers: head.headers,
        body: body.to_bytes(),
    };
    kept.messages.send_modify(|all| all.push(message));
    *response.status_mut() = StatusCode::from_u16(kept.status.load(Ordering::SeqCst)).unwrap();
    Ok(response)
}
