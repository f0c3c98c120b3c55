//! The supervisor of index actors: spawns them, restarts failed ones with backoff, sends checks.
//!
//! One index that panics or cannot be rehydrated never stops another: it is restarted after a
//! wait that doubles, and given up loudly when it fails again and again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use evenkeel_domain::index::Status;
use evenkeel_domain::values::IndexId;
use futures_util::{StreamExt, stream};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::cycle::Cycle;
use crate::index::{IndexActor, IndexArguments, IndexMsg, SNAPSHOT_SCHEMA};
use crate::shell::Shell;
use crate::streams;

/// First wait before a restart; doubles up to [`RESTART_WAIT_MAX`]. A single panic is mended
/// well within five seconds.
const RESTART_WAIT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait before a restart.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// Failures in a row after which an index is given up until the next start: with the waits
/// above that is five minutes of trying.
const FAILURES_MAX: u32 = 16;

/// An index that lives this long after a restart has recovered: its failures are forgotten.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);

/// Indexes rehydrated at once: enough to share the log's pages, few enough to bound memory.
const REHYDRATE_AT_ONCE: usize = 64;

/// Snapshots loaded at once, and as many again while those indexes start. Neighbours in the order
/// of the ids are neighbours on disk.
const LOAD_AT_ONCE: usize = 64;

/// The live actors by index, shared with everybody who sends to them.
#[derive(Default)]
pub(crate) struct Registry {
    actors: RwLock<HashMap<IndexId, ActorRef<IndexMsg>>>,
}

impl Registry {
    /// Each write is one insertion or removal, so a poisoned lock is used on.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, HashMap<IndexId, ActorRef<IndexMsg>>> {
        self.actors.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<IndexId, ActorRef<IndexMsg>>> {
        self.actors.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: IndexId) -> Option<ActorRef<IndexMsg>> {
        self.read().get(&id).cloned()
    }
}

/// What the supervisor is told.
pub(crate) enum IndexesMsg {
    /// Start the actor of an index; answers when it is up.
    Spawn(IndexId, oneshot::Sender<bool>),
    /// Start a failed index anew.
    Restart(IndexId),
    /// An index has lived long enough since its restart.
    Recovered(IndexId, ActorId),
    /// Check every index.
    CheckAll(Arc<Cycle>),
    /// End every index at a step boundary.
    StopAll(oneshot::Sender<()>),
}

/// The actor.
pub(crate) struct Indexes;

/// Its state.
pub(crate) struct IndexesState {
    shell: Arc<Shell>,
    registry: Arc<Registry>,
    ids: HashMap<ActorId, IndexId>,
    failures: HashMap<IndexId, u32>,
    /// Waiting for a restart, or given up.
    down: HashSet<IndexId>,
    stopping: bool,
}

impl Actor for Indexes {
    type Msg = IndexesMsg;
    type State = IndexesState;
    type Arguments = (Arc<Shell>, Arc<Registry>);

    async fn pre_start(
        &self,
        myself: ActorRef<IndexesMsg>,
        (shell, registry): Self::Arguments,
    ) -> Result<IndexesState, ActorProcessingErr> {
        let (ids, failures, down) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut state = IndexesState {
            shell,
            registry,
            ids,
            failures,
            down,
            stopping: false,
        };
        state.rehydrate_all(&myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<IndexesMsg>,
        message: IndexesMsg,
        state: &mut IndexesState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IndexesMsg::Spawn(id, up) => {
                let _ = up.send(state.spawn(&myself, id).await);
            }
            IndexesMsg::Restart(id) => state.restart(&myself, id).await,
            IndexesMsg::Recovered(id, actor) => state.recovered(id, actor),
            IndexesMsg::CheckAll(cycle) => state.check_all(&cycle),
            IndexesMsg::StopAll(done) => {
                state.stop_all().await;
                let _ = done.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<IndexesMsg>,
        event: SupervisionEvent,
        state: &mut IndexesState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, reason) => {
                if let Some(id) = state.forget(cell.get_id()) {
                    state.failed(&myself, id, &reason.to_string());
                }
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.forget(cell.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

type Spawned = Result<(ActorRef<IndexMsg>, tokio::task::JoinHandle<()>), ractor::SpawnErr>;

async fn start(arguments: IndexArguments, supervisor: ActorRef<IndexesMsg>) -> (IndexId, Spawned) {
    let id = arguments.id;
    (
        id,
        IndexActor::spawn_linked(None, IndexActor, arguments, supervisor.get_cell()).await,
    )
}

/// What several indexes start with.
async fn load_all(shell: Arc<Shell>, ids: Vec<IndexId>) -> Vec<IndexArguments> {
    let names = ids.iter().map(|id| streams::index(*id).to_string());
    let loaded = shell.snapshots.load_all(names.collect(), SNAPSHOT_SCHEMA);
    let loaded = ids.into_iter().zip(loaded.await);
    let arguments = |(id, loaded)| IndexArguments {
        id,
        shell: Arc::clone(&shell),
        loaded,
    };
    loaded.map(arguments).collect()
}

impl IndexesState {
    async fn rehydrate_all(&mut self, myself: &ActorRef<IndexesMsg>) {
        let live: Vec<IndexId> = {
            let directory = self.shell.directory.read();
            directory
                .iter()
                .filter(|(_, entry)| entry.status != Status::Deleted)
                .map(|(id, _)| *id)
                .collect()
        };
        let shell = Arc::clone(&self.shell);
        let chunks: Vec<Vec<IndexId>> = live.chunks(LOAD_AT_ONCE).map(<[_]>::to_vec).collect();
        let loads = chunks
            .into_iter()
            .map(|ids| load_all(Arc::clone(&shell), ids));
        let mut starting = stream::iter(loads)
            .buffered(2)
            .flat_map(stream::iter)
            .map(|arguments| start(arguments, myself.clone()))
            .buffer_unordered(REHYDRATE_AT_ONCE);
        while let Some((id, spawned)) = starting.next().await {
            self.adopt(myself, id, spawned);
        }
    }

    async fn spawn(&mut self, myself: &ActorRef<IndexesMsg>, id: IndexId) -> bool {
        let arguments = IndexArguments::load(id, Arc::clone(&self.shell)).await;
        let (id, spawned) = start(arguments, myself.clone()).await;
        self.adopt(myself, id, spawned)
    }

    fn adopt(&mut self, myself: &ActorRef<IndexesMsg>, id: IndexId, spawned: Spawned) -> bool {
        match spawned {
            Ok((actor, _)) => {
                self.ids.insert(actor.get_id(), id);
                self.registry.write().insert(id, actor);
                true
            }
            Err(reason) => {
                self.failed(myself, id, &reason.to_string());
                false
            }
        }
    }

    fn forget(&mut self, actor: ActorId) -> Option<IndexId> {
        let id = self.ids.remove(&actor)?;
        self.registry.write().remove(&id);
        Some(id)
    }

    fn failed(&mut self, myself: &ActorRef<IndexesMsg>, id: IndexId, reason: &str) {
        self.down.insert(id);
        self.shell.tally.indexes_down.set(self.down.len() as u64);
        if self.stopping {
            return;
        }
        let failures = self.failures.entry(id).or_default();
        *failures += 1;
        if *failures > FAILURES_MAX {
            tracing::error!(index = %id, reason, failures, "the index failed too often and is given up until the next start");
            return;
        }
        let wait = RESTART_WAIT_FIRST
            .saturating_mul(1 << (*failures - 1))
            .min(RESTART_WAIT_MAX);
        tracing::error!(index = %id, reason, failures, ?wait, "the index failed; it is restarted");
        myself.send_after(wait, move || IndexesMsg::Restart(id));
    }

    async fn restart(&mut self, myself: &ActorRef<IndexesMsg>, id: IndexId) {
        if self.stopping || self.registry.get(id).is_some() {
            return;
        }
        self.shell.tally.index_restarts.add(1);
        if !self.spawn(myself, id).await {
            return;
        }
        self.down.remove(&id);
        self.shell.tally.indexes_down.set(self.down.len() as u64);
        if let Some(actor) = self.registry.get(id).map(|actor| actor.get_id()) {
            myself.send_after(RECOVERED_AFTER, move || IndexesMsg::Recovered(id, actor));
        }
    }

    fn recovered(&mut self, id: IndexId, actor: ActorId) {
        if self.ids.get(&actor) == Some(&id) {
            self.failures.remove(&id);
        }
    }

    fn check_all(&self, cycle: &Arc<Cycle>) {
        for actor in self.registry.read().values() {
            // A refused message comes back and is dropped: its ticket counts as unanswered.
            let _ = actor.cast(IndexMsg::Check(cycle.ticket()));
        }
        for _ in &self.down {
            cycle.unavailable();
        }
        cycle.all_sent();
    }

    async fn stop_all(&mut self) {
        self.stopping = true;
        let actors: Vec<_> = self.registry.read().values().cloned().collect();
        let mut ends = Vec::with_capacity(actors.len());
        for actor in actors {
            let (done, end) = oneshot::channel();
            if actor.cast(IndexMsg::Stop(done)).is_ok() {
                ends.push(end);
            }
        }
        for end in ends {
            // An actor that failed meanwhile has dropped its sender: that is an end too.
            let _ = end.await;
        }
    }
}
