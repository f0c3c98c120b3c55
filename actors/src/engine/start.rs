//! Starting and stopping an engine.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_domain::job::{self, JobRefusal};
#[cfg(any(test, feature = "faults"))]
use evenkeel_domain::values::IndexId;
use ractor::Actor;
use tokio::sync::{Semaphore, oneshot, watch};

use super::{Engine, EngineError, Inner, Ports, Settings};
#[cfg(any(test, feature = "faults"))]
use super::{IndexView, answered};
use crate::access::AccessBook;
use crate::directory::{Directory, Universe, WebhookBook};
use crate::dispatcher::Routes;
use crate::ids::Ids;
#[cfg(any(test, feature = "faults"))]
use crate::index::{IndexActor, IndexArguments, IndexMsg};
use crate::indexes::{IndexesMsg, Registry};
use crate::journal::Journal;
use crate::lanes::Lanes;
use crate::recovery;
use crate::root::{Handles, Root, RootArguments};
use crate::scheduler::SchedulerMsg;
use crate::shell::Shell;
use crate::tally::Tally;
use crate::trading::TradingBook;
use crate::webhooks::{WebhookRegistry, WebhooksMsg};
use crate::work::Work;

/// Checks with something to append at once: a full group commit and the next one, so that the
/// log is never idle, and a megabyte or two at most.
const FOLLOW_UPS_MAX: usize = 256;

impl Engine {
    /// Opens the books: rehydrates everything, resumes what a crash left open, starts the schedule.
    pub async fn start(ports: Ports, settings: Settings) -> Result<Self, EngineError> {
        let shell = Arc::new(shell(ports, settings));
        check_schedules(&shell)?;
        recovery::recover(&shell)
            .await
            .map_err(|error| EngineError::Log(error.to_string()))?;
        recovery::forget_erased(&shell).await;
        let (registry, webhook_registry) = (
            Arc::<Registry>::default(),
            Arc::<WebhookRegistry>::default(),
        );
        let arguments = RootArguments {
            shell: Arc::clone(&shell),
            registry: Arc::clone(&registry),
            webhook_registry: Arc::clone(&webhook_registry),
            routes: Arc::<Routes>::default(),
        };
        let started = Root::spawn(None, Root, arguments).await;
        let (root, _) = started.map_err(|error| EngineError::Log(error.to_string()))?;
        let commands = Arc::new(Semaphore::new(shell.settings.commands_in_flight_max));
        let stopping = AtomicBool::new(false);
        Ok(Self {
            inner: Arc::new(Inner {
                shell,
                registry,
                webhook_registry,
                root,
                commands,
                stopping,
            }),
        })
    }

    /// Stops orderly: no new work, sagas to a step boundary, snapshots, places in the log.
    /// The log and the snapshots stay open: they are their maker's to close.
    pub async fn stop(&self) {
        if self.inner.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        let handles = &self.shell().handles;
        for work in Work::ALL {
            if let Some(scheduler) = handles.of(work).get() {
                scheduler.stop(None);
            }
        }
        // A part that is down has nothing to bring to an end.
        let (done, indexes) = oneshot::channel();
        if handles.indexes.cast(IndexesMsg::StopAll(done)) {
            let _ = indexes.await;
        }
        let (done, webhooks) = oneshot::channel();
        if handles.webhooks.cast(WebhooksMsg::StopAll(done)) {
            let _ = webhooks.await;
        }
        let _ = self.inner.root.stop_and_wait(None, None).await;
    }

    /// Ends all actors where they stand, as a crash would: handlers are dropped at their next
    /// await, nothing is saved.
    #[cfg(any(test, feature = "faults"))]
    pub async fn kill(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let _ = self.inner.root.kill_and_wait(None).await;
    }

    /// What the actor of one index answers that is started alone: what a start costs one index.
    #[cfg(any(test, feature = "faults"))]
    pub async fn index_alone(
        ports: Ports,
        settings: Settings,
        id: IndexId,
    ) -> Result<IndexView, EngineError> {
        let shell = Arc::new(shell(ports, settings));
        let arguments = IndexArguments::load(id, shell).await;
        let started = IndexActor::spawn(None, IndexActor, arguments).await;
        let (actor, _) = started.map_err(|error| EngineError::Log(error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        // An actor that failed drops the sender, which is an answer.
        let _ = actor.cast(IndexMsg::Get(reply));
        let view = answered("the index", answer).await;
        actor.stop(None);
        view
    }

    /// Tells the scheduler that the clock has moved: for clocks that are moved by hand.
    pub fn clock_moved(&self) {
        for work in Work::ALL {
            // A scheduler that is down looks at the clock when it comes up.
            let _ = self.shell().handles.of(work).cast(SchedulerMsg::Tick);
        }
    }
}

fn shell(ports: Ports, settings: Settings) -> Shell {
    let Ports {
        log,
        snapshots,
        clock,
        entropy,
        feed,
        venues,
        transport,
        personal,
    } = ports;
    let place = || Arc::new(Semaphore::new(settings.orders_in_flight_max));
    let in_flight = venues.keys().map(|name| (name.clone(), place())).collect();
    Shell {
        journal: Journal::new(log, Arc::clone(&clock)),
        snapshots,
        ids: Ids::new(Arc::clone(&clock), entropy),
        clock,
        feed,
        venues,
        transport,
        lanes: Lanes::default(),
        personal,
        settings,
        tally: Tally::default(),
        directory: Directory::default(),
        webhooks: WebhookBook::default(),
        access: AccessBook::default(),
        trading: TradingBook::default(),
        in_flight,
        universe: Universe::default(),
        handles: Handles::default(),
        follow_ups: Semaphore::new(FOLLOW_UPS_MAX),
        prices: watch::Sender::new(Arc::default()),
        dispatched_from: OnceLock::new(),
    }
}

/// A schedule that cannot be is refused before anything starts.
fn check_schedules(shell: &Shell) -> Result<(), EngineError> {
    for work in Work::ALL {
        let key = match work {
            Work::DriftMonitor => "drift schedule",
            Work::Reconciliation => "reconciliation schedule",
        };
        let setting = |problem: String| EngineError::Setting { key, problem };
        let command = shell.settings.job(work, None);
        let command = command.map_err(|error| setting(error.to_string()))?;
        match job::decide(None, command, shell.now()) {
            Ok(_) | Err(JobRefusal::NotFound) => {}
            Err(refusal) => return Err(setting(refusal.to_string())),
        }
    }
    Ok(())
}
