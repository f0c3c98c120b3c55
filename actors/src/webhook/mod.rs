//! The webhook actor: one per subscription. It owns its place in the log, its retries and its
//! failure count; every attempt that fails and every delivery that ends is an event.
//!
//! ```text
//! Wake ─► read the log from here ─► matching event ─► attempt ─► report ─► delivered
//!                                                        ▲           ├─► retry later
//!                                                        └───────────┘   └─► failed, maybe disabled
//! ```

mod channel;
mod live;
mod message;

use std::sync::Arc;

use evenkeel_domain::values::WebhookId;
use evenkeel_domain::webhook::{AttemptResult, WebhookCommand};
use evenkeel_events::Position;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

#[cfg(test)]
pub(crate) use live::CHECKPOINT_EVERY;
pub(crate) use live::Live;
pub(crate) use message::{body as message_body, message_id, test_request};

use crate::dispatcher::Routes;
use crate::engine::{EngineError, WebhookView};
use crate::journal::Origin;
use crate::shell::Shell;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// What a webhook actor is told.
pub(crate) enum WebhookMsg {
    /// There are matching events that it has not seen.
    Wake,
    /// Attempts have ended.
    Attempted,
    /// The time of a retry has come.
    Retry(Position),
    /// The next attempt may begin without exceeding the rate.
    Paced,
    /// Show the subscription.
    Get(Reply<WebhookView>),
    /// Carry out an owner's command.
    Command(Box<CommandRequest>),
    /// Send one event once more, outside the queue.
    Resend(Position, Reply<AttemptResult>),
    /// Send a test message, or one of a type with its data.
    Test(Option<(String, Map<String, Value>)>, Reply<AttemptResult>),
    /// Let what is under way end, note the place in the log and end.
    Stop(oneshot::Sender<()>),
    /// The time to let it end is over.
    StopNow,
}

/// An owner's command with its circumstances.
pub(crate) struct CommandRequest {
    pub(crate) command: WebhookCommand,
    pub(crate) origin: Origin,
    pub(crate) reply: Reply<WebhookView>,
}

/// The actor; its state is [`Live`].
pub(crate) struct WebhookActor;

/// What a webhook actor works with.
pub(crate) struct WebhookArguments {
    pub(crate) id: WebhookId,
    pub(crate) shell: Arc<Shell>,
    pub(crate) routes: Arc<Routes>,
}

impl Actor for WebhookActor {
    type Msg = WebhookMsg;
    type State = Live;
    type Arguments = WebhookArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<WebhookMsg>,
        with: WebhookArguments,
    ) -> Result<Live, ActorProcessingErr> {
        Ok(Live::rehydrate(myself, with).await?)
    }

    async fn post_start(
        &self,
        _: ActorRef<WebhookMsg>,
        live: &mut Live,
    ) -> Result<(), ActorProcessingErr> {
        Ok(live.begin().await?)
    }

    async fn handle(
        &self,
        myself: ActorRef<WebhookMsg>,
        message: WebhookMsg,
        live: &mut Live,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WebhookMsg::Wake => live.fill().await?,
            WebhookMsg::Attempted => live.attempted().await?,
            WebhookMsg::Retry(position) => live.retry(position).await?,
            WebhookMsg::Paced => live.paced().await?,
            WebhookMsg::Get(reply) => drop(reply.send(live.view(false))),
            WebhookMsg::Command(request) => live.command(&myself, *request).await?,
            WebhookMsg::Resend(position, reply) => live.resend(position, reply).await,
            WebhookMsg::Test(sample, reply) => live.test(sample, reply),
            WebhookMsg::Stop(done) => live.stop(done).await?,
            WebhookMsg::StopNow => live.stop_now().await?,
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<WebhookMsg>,
        live: &mut Live,
    ) -> Result<(), ActorProcessingErr> {
        live.unroute();
        Ok(())
    }
}
