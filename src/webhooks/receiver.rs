//! A receiver on this machine: it checks signatures and times, knows repeats, and counts. The
//! demo, the tests and `evenkeel webhook listen` use it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use evenkeel_actors::ports::Clock;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::signature;

/// Largest body: far above what the sender sends.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// A message whose time is further from ours than this is refused (Standard Webhooks 1.0.0).
const TOLERANCE_SECS: i64 = 300;

/// Message ids that are remembered per path; a receiver of more has forgotten which were repeats.
const IDS_MAX: usize = 1_000_000;

/// What came to a receiver or to one of its paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverTally {
    /// Messages with a good signature, each once.
    pub verified: u64,
    /// Repeats of them.
    pub duplicates: u64,
    /// Messages that were refused: signature, time, form.
    pub refused: u64,
    /// Verified messages by event type.
    pub by_type: BTreeMap<String, u64>,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// The path.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `x-webhook-event`.
    pub event_type: String,
    /// The body.
    pub body: Bytes,
    /// Whether it came before.
    pub duplicate: bool,
    /// What the signature is worth; none when there is no secret to check it with.
    pub verified: Option<bool>,
}

/// Looks at each message and may answer it otherwise.
pub type Observer = Box<dyn Fn(&Message) -> Option<StatusCode> + Send + Sync>;

#[derive(Default)]
struct Path {
    secrets: Vec<String>,
    seen: HashSet<String>,
    tally: ReceiverTally,
}

struct Shared {
    clock: Arc<dyn Clock>,
    paths: Mutex<HashMap<String, Path>>,
    /// Secrets for every path.
    secrets: Vec<String>,
    verified: watch::Sender<u64>,
    observer: Option<Observer>,
}

/// A receiver that is running.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// A receiver whose paths each have a secret of their own, by [`Self::set_secret`].
    pub async fn start(address: SocketAddr, wall_clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::start_with(address, wall_clock, Vec::new(), None).await
    }

    /// A receiver with secrets for every path, and somebody who looks at each message.
    pub async fn start_with(
        address: SocketAddr,
        wall_clock: Arc<dyn Clock>,
        secrets: Vec<String>,
        observer: Option<Observer>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (paths, verified) = (Mutex::default(), watch::Sender::new(0));
        let shared = Arc::new(Shared {
            clock: wall_clock,
            paths,
            secrets,
            verified,
            observer,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Another secret that messages to a path may be signed with.
    pub fn set_secret(&self, path: &str, secret: String) {
        self.shared
            .paths()
            .entry(path.to_owned())
            .or_default()
            .secrets
            .push(secret);
    }

    /// What came to all paths.
    pub fn tally(&self) -> ReceiverTally {
        let mut sum = ReceiverTally::default();
        for path in self.shared.paths().values() {
            sum.verified += path.tally.verified;
            sum.duplicates += path.tally.duplicates;
            sum.refused += path.tally.refused;
            for (event_type, count) in &path.tally.by_type {
                *sum.by_type.entry(event_type.clone()).or_default() += count;
            }
        }
        sum
    }

    /// What came to one path.
    pub fn tally_of(&self, path: &str) -> ReceiverTally {
        self.shared
            .paths()
            .get(path)
            .map(|path| path.tally.clone())
            .unwrap_or_default()
    }

    /// Resolves when so many messages have been verified.
    pub async fn wait_for(&self, verified: u64) {
        // The sender lives as long as this value, so waiting does not fail.
        let _ = self
            .shared
            .verified
            .subscribe()
            .wait_for(|so_far| *so_far >= verified)
            .await;
    }

    /// Ends it and its connections.
    pub async fn stop(self) {
        self.task.abort();
        // It ends by being aborted.
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        let service = service_fn(move |request| take(Arc::clone(&shared), request));
                        // A connection that breaks is the sender's to repeat.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                Err(error) => tracing::warn!(%error, "the receiver could not take a connection"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let status = match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(body) => {
            let signed = Signed {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp").parse().unwrap_or_default(),
                signatures: header("webhook-signature"),
            };
            shared.judge(
                parts.uri.path(),
                &signed,
                header("x-webhook-event"),
                body.to_bytes(),
            )
        }
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

struct Signed {
    id: String,
    timestamp: i64,
    signatures: String,
}

/// The type of test messages: a path may get one before its secret is known.
const TEST_EVENT: &str = "webhook.test";

impl Shared {
    /// Each use leaves the map whole, so a poisoned lock is used on.
    fn paths(&self) -> MutexGuard<'_, HashMap<String, Path>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, path: &str, signed: &Signed, event_type: String, body: Bytes) -> StatusCode {
        let mut paths = self.paths();
        let known = paths.entry(path.to_owned()).or_default();
        let verified = self.verify(known, signed, &body);
        let duplicate = known.seen.contains(&signed.id);
        let message = Message {
            path: path.to_owned(),
            id: signed.id.clone(),
            event_type,
            body,
            duplicate,
            verified,
        };
        if let Some(status) = self.observer.as_ref().and_then(|observe| observe(&message)) {
            return status;
        }
        match verified {
            None if message.event_type == TEST_EVENT || self.observer.is_some() => {
                StatusCode::NO_CONTENT
            }
            // The secret of a subscription is known a moment after it was made: come again.
            None => StatusCode::SERVICE_UNAVAILABLE,
            Some(false) => {
                known.tally.refused += 1;
                StatusCode::BAD_REQUEST
            }
            Some(true) => {
                self.count(known, message);
                StatusCode::NO_CONTENT
            }
        }
    }

    fn verify(&self, path: &Path, signed: &Signed, body: &[u8]) -> Option<bool> {
        let secrets: Vec<&str> = self
            .secrets
            .iter()
            .chain(&path.secrets)
            .map(String::as_str)
            .collect();
        if secrets.is_empty() {
            return None;
        }
        let in_time = (self.clock.now().as_secs() - signed.timestamp).abs() <= TOLERANCE_SECS;
        let good = signature::verify(
            secrets,
            &signed.id,
            signed.timestamp,
            &signed.signatures,
            body,
        );
        Some(in_time && good && !signed.id.is_empty())
    }

    fn count(&self, path: &mut Path, message: Message) {
        if message.duplicate {
            path.tally.duplicates += 1;
            return;
        }
        if path.seen.len() < IDS_MAX {
            path.seen.insert(message.id);
        }
        path.tally.verified += 1;
        *path.tally.by_type.entry(message.event_type).or_default() += 1;
        self.verified.send_modify(|verified| *verified += 1);
    }
}
