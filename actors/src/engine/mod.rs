//! The engine as its users see it: commands and queries. HTTP, CLI and embedding programs use it.

mod answers;
mod audit;
mod deliveries;
mod error;
mod explain;
mod indexes;
mod owners;
mod performance;
mod prices;
mod rebalances;
mod requests;
mod settings;
mod start;
mod webhooks;

pub use answers::{
    Caller, DeliveryPage, DeliveryStatus, DeliveryView, DriftView, EngineStatus, HistoryPage,
    IndexFilter, IndexPage, IndexView, LoggedEvent, OwnerView, PricesView, RebalanceAnswer,
    Redelivery, RedeliveryAnswer, RunView, TokenView, TokenWish, WebhookView, WebhookWish,
};
pub use error::EngineError;
pub use explain::ExplainedCheck;
pub use requests::PastRequest;
pub use settings::{Ports, Settings};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::indexes::Registry;
use crate::root::RootMsg;
use crate::shell::Shell;
use crate::webhooks::WebhookRegistry;

/// Longest wait for an actor's answer. A deposit may wait for a venue up to 10 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The engine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shell: Arc<Shell>,
    registry: Arc<Registry>,
    webhook_registry: Arc<WebhookRegistry>,
    root: ActorRef<RootMsg>,
    commands: Arc<Semaphore>,
    stopping: AtomicBool,
}

impl Engine {
    fn shell(&self) -> &Shell {
        &self.inner.shell
    }

    /// A place among the commands in flight, or a refusal.
    fn admit(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(EngineError::Stopping);
        }
        Arc::clone(&self.inner.commands)
            .try_acquire_owned()
            .map_err(|_| EngineError::Busy)
    }
}

/// Waits for an actor's answer. A dropped sender means that the actor failed on the way.
async fn answered<T>(
    what: &'static str,
    answer: oneshot::Receiver<Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(EngineError::Unavailable(what)),
    }
}
