//! The HTTP API.
//!
//! ```text
//! server   sockets, limits, orderly stop
//!  └─ stack   request id, log line, counters, panics
//!      └─ router   the route table as warp filters: 404, 405, HEAD, OPTIONS
//!          └─ gate   token, scope, body, Idempotency-Key
//!              └─ routes/…   read the input, ask the engine, write the answer
//! ```
//!
//! Everything that is no 2xx is a [`problem::Problem`]. The rules are the engine's: nothing
//! here decides about money.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )
)]

mod body;
mod deadlined;
mod fields;
mod gate;
mod idempotency;
mod metrics;
mod number;
mod openapi;
pub mod problem;
mod query;
mod refusals;
mod reply;
mod request_id;
mod router;
mod routes;
mod server;
mod stack;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod world;

use std::sync::Arc;
use std::time::Duration;

use evenkeel_actors::Engine;
use evenkeel_actors::engine::EngineError;
use evenkeel_actors::ports::{Clock, Entropy};
use tokio::sync::{Semaphore, watch};

use idempotency::Store;
use metrics::Counters;

pub use server::{Listener, bind, serve};
pub use token::{new_token, token_hash};

/// Streams of events that are open at once: each holds a connection and reads the log.
const STREAMS_MAX: usize = 256;
/// How long a stop waits for requests in flight unless told otherwise.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What the routes work with. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    engine: Engine,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counters: Arc<Counters>,
    streams: Arc<Semaphore>,
    /// Keys of requests that may be sent again.
    keys: Arc<Store>,
    stopping: watch::Sender<bool>,
    stop_deadline: Duration,
}

impl Api {
    /// The API of an engine. It takes in which requests came with a key before: whoever sends one
    /// again gets its answer.
    pub async fn open(
        engine: Engine,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, EngineError> {
        let since = clock.now().minus(idempotency::KEPT);
        // A request is two events.
        let most = 2 * idempotency::KEYS_MAX;
        let keys = Arc::<Store>::default();
        let past = engine.requests_since(since, most, idempotency::STORED_MAX_BYTES);
        keys.remember(past.await?);
        Ok(Self {
            engine,
            clock,
            entropy,
            counters: Arc::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            keys,
            stopping: watch::Sender::new(false),
            stop_deadline: STOP_DEADLINE,
        })
    }

    /// The same with another limit on how long a stop waits for requests in flight.
    #[must_use]
    pub fn with_stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }
}
