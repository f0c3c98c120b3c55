//! The log in memory: for tests and for embedding without a disk. The same frames, the same rules.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::admission::{Admission, check_shape};
use crate::append_ids::{AppendId, AppendIds};
use crate::envelope::{Recorded, StreamId};
use crate::frame::{FRAME_MAX_BYTES, GENESIS};
use crate::index::StreamIndex;
use crate::log::{
    AppendError, Appended, Direction, EventLog, Head, Position, ReadError, StreamAppend, Version,
};

#[derive(Debug)]
struct State {
    events: Vec<Recorded>,
    index: StreamIndex,
    ids: AppendIds,
    head: Head,
    open: bool,
}

/// An [`EventLog`] that forgets everything when it is dropped.
#[derive(Debug)]
pub struct MemoryLog {
    state: RwLock<State>,
    published: Mutex<Option<watch::Sender<Position>>>,
    watch: watch::Receiver<Position>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        let (published, watch) = watch::channel(0);
        let state = State {
            events: Vec::new(),
            index: StreamIndex::default(),
            ids: AppendIds::default(),
            head: Head {
                position: 0,
                hash: GENESIS,
            },
            open: true,
        };
        Self {
            state: RwLock::new(state),
            published: Mutex::new(Some(published)),
            watch,
        }
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, id: Option<AppendId>, batch: &[StreamAppend]) -> Result<Appended, AppendError> {
        check_shape(batch, FRAME_MAX_BYTES)?;
        let mut state = self.state_mut();
        let appended = state.append(id, batch)?;
        // Published under the lock, so that the watch never goes back.
        if let Some(published) = &*self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            // A repeated append is an older one.
            published.send_replace(state.head.position);
        }
        Ok(appended)
    }
}

impl State {
    fn append(
        &mut self,
        id: Option<AppendId>,
        batch: &[StreamAppend],
    ) -> Result<Appended, AppendError> {
        if !self.open {
            return Err(AppendError::Closed(
                "it was closed in an orderly way".into(),
            ));
        }
        let mut admission = Admission::new(&self.index, &self.ids, self.head, FRAME_MAX_BYTES);
        let appended = admission.admit(id, batch)?;
        if let Some(admitted) = admission.finish() {
            for frame in &admitted.commit.frames {
                let events = frame
                    .events()
                    .map_err(|e| AppendError::Store(e.to_string()))?;
                self.events.extend(events);
            }
            admitted.index_into(&mut self.index, &mut self.ids)?;
            self.index.spill();
            self.head = admitted.commit.head;
        }
        Ok(appended)
    }

    fn at(&self, position: Position) -> Option<Recorded> {
        self.events
            .get(usize::try_from(position.checked_sub(1)?).ok()?)
            .cloned()
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, batch: Vec<StreamAppend>) -> Result<Appended, AppendError> {
        self.store(None, &batch)
    }

    async fn append_once(
        &self,
        id: AppendId,
        batch: Vec<StreamAppend>,
    ) -> Result<Appended, AppendError> {
        self.store(Some(id), &batch)
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let state = self.state();
        let start = usize::try_from(after)
            .unwrap_or(usize::MAX)
            .min(state.events.len());
        let end = start.saturating_add(limit).min(state.events.len());
        Ok(state.events[start..end].to_vec())
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Recorded>, ReadError> {
        let state = self.state();
        let Some(stretch) = state.index.stretch(stream, from, limit, direction) else {
            return Ok(Vec::new());
        };
        let positions = stretch
            .positions()
            .map_err(|error| ReadError::Store(error.to_string()))?;
        Ok(positions
            .into_iter()
            .filter_map(|position| state.at(position))
            .collect())
    }

    fn version(&self, stream: &StreamId) -> Version {
        self.state().index.version(stream)
    }

    fn head(&self) -> Head {
        self.state().head
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.watch.clone()
    }

    async fn close(&self) -> Result<(), AppendError> {
        self.state_mut().open = false;
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(())
    }
}
