//! What readers and the writer share, and how an event is read.
//!
//! ```text
//! positions ─► cached frame? ─► event
//!                  └ no ─► (a blocking thread) not in sled yet? ─► cache ─► event
//!                             └ no ─► sled ─► verify the hash ─► cache ─► event
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::cache::{CachedFrame, FrameCache};
use super::disk::{Disk, DiskError};
use super::filler::Pending;
use super::lock::DirLock;
use super::{guard, seal};
use crate::append_ids::AppendIds;
use crate::envelope::{Recorded, StreamId};
use crate::frame::Frame;
use crate::index::{IndexError, StreamIndex, Stretch};
use crate::log::{AppendError, Direction, Head, Position, ReadError, Version};

const CLOSED_ORDERLY: &str = "it was closed in an orderly way";

/// What is durable, as readers see it.
#[derive(Debug)]
pub(super) struct State {
    pub index: StreamIndex,
    pub ids: AppendIds,
    pub head: Head,
}

/// One open log.
#[derive(Debug)]
pub(super) struct Shared {
    dir: PathBuf,
    state: RwLock<State>,
    disk: RwLock<Option<Disk>>,
    lock: Mutex<Option<DirLock>>,
    pub(super) cache: FrameCache,
    /// What is durable and not in sled yet.
    pub(super) pending: Pending,
    pub(super) frame_max_bytes: usize,
    /// Why nothing more can be written, once that is so.
    failure: OnceLock<String>,
    pub(super) commits: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        dir: &Path,
        lock: DirLock,
        disk: Disk,
        cache: FrameCache,
        state: State,
    ) -> Self {
        Self {
            frame_max_bytes: disk.frame_max_bytes(),
            dir: dir.to_owned(),
            state: RwLock::new(state),
            disk: RwLock::new(Some(disk)),
            lock: Mutex::new(Some(lock)),
            cache,
            pending: Pending::default(),
            failure: OnceLock::new(),
            commits: AtomicU64::new(0),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for writing only when there is something to move.
    pub(super) fn spill(&self) {
        if self.state().index.has_outgrown() {
            self.state_mut().index.spill();
        }
    }

    pub(super) fn disk(&self) -> RwLockReadGuard<'_, Option<Disk>> {
        self.disk.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log takes no more.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Runs a call into the database; an error when it is closed.
    pub(super) fn on_disk<T>(
        &self,
        call: impl FnOnce(&Disk) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let disk = self.disk();
        let closed = || DiskError::Io("the database is closed".into());
        call(disk.as_ref().ok_or_else(closed)?)
    }

    /// Gives back the memory that the database took; a closed one has none.
    pub(super) fn rest(&self) -> Result<(), DiskError> {
        self.cache.rest();
        self.disk().as_ref().map_or(Ok(()), Disk::rest)
    }

    /// The log takes no more: what is on disk is no longer what is in memory.
    pub(super) fn fail(&self, reason: &str) {
        if self.failure.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the log is closed for writing");
        }
    }

    pub(super) fn check_writable(&self) -> Result<(), AppendError> {
        self.failure
            .get()
            .map_or(Ok(()), |reason| Err(AppendError::Closed(reason.clone())))
    }

    pub(super) fn why_closed(&self) -> String {
        self.failure
            .get()
            .map_or_else(|| CLOSED_ORDERLY.to_owned(), Clone::clone)
    }

    /// Positions that are durable and lie after `after`.
    pub(super) fn positions_after(&self, after: Position, limit: usize) -> Vec<Position> {
        let head = self.state().head.position;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        (after.saturating_add(1)..=after.saturating_add(limit).min(head)).collect()
    }

    /// A stretch of a stream as it is now; `None` when there is nothing in it.
    pub(super) fn stretch(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Option<Stretch> {
        self.state().index.stretch(stream, from, limit, direction)
    }

    /// Reads from the cache where all is there, else on a thread that may block.
    pub(super) async fn collect_anywhere(
        shared: &Arc<Self>,
        positions: Vec<Position>,
    ) -> Result<Vec<Recorded>, ReadError> {
        if let Some(events) = collect(&positions, |position| Ok(shared.cache.get(position)))? {
            return Ok(events);
        }
        let shared = Arc::clone(shared);
        let read = move || collect(&positions, |position| shared.frame(position).map(Some));
        Ok(blocking(read).await?.unwrap_or_default())
    }

    /// The events of a stretch of a stream; what memory cannot answer, on a thread that may block.
    pub(super) async fn collect_stretch(
        shared: &Arc<Self>,
        stretch: Stretch,
    ) -> Result<Vec<Recorded>, ReadError> {
        if stretch.is_in_memory() {
            let positions = stretch.positions().map_err(unindexed)?;
            let cached = |position| Ok(shared.cache.get(position));
            if let Some(events) = pick(&positions, &stretch, cached)? {
                return Ok(events);
            }
        }
        let shared = Arc::clone(shared);
        let read = move || {
            let positions = stretch.positions().map_err(unindexed)?;
            pick(&positions, &stretch, |position| {
                shared.frame(position).map(Some)
            })
        };
        Ok(blocking(read).await?.unwrap_or_default())
    }

    fn frame(&self, position: Position) -> Result<Arc<CachedFrame>, ReadError> {
        if let Some(frame) = self.cache.get(position) {
            return Ok(frame);
        }
        let frame = match self.pending.frame_at(position) {
            Some(frame) => frame,
            None => Frame::verify(self.load(position)?)
                .map_err(|error| damaged(position, error.to_string()))?,
        };
        let frame = Arc::new(CachedFrame::new(frame));
        if !frame.holds(position) {
            return Err(damaged(position, "no frame holds this position".into()));
        }
        self.cache.put(Arc::clone(&frame));
        Ok(frame)
    }

    fn load(&self, position: Position) -> Result<Bytes, ReadError> {
        let disk = self.disk();
        let Some(disk) = &*disk else {
            return Err(ReadError::Store("the log is closed".into()));
        };
        match disk.frame_at(position) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(damaged(position, "no frame holds this position".into())),
            Err(DiskError::Damaged(detail)) => Err(damaged(position, detail)),
            Err(DiskError::Io(detail)) => Err(ReadError::Store(detail)),
        }
    }

    fn take_disk(&self) -> Option<Disk> {
        self.disk
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The end of an orderly close, after the writer has stopped. The second time it does nothing.
    pub(super) fn close_and_seal(&self) -> Result<(), AppendError> {
        let store = |error: &dyn std::fmt::Display| AppendError::Store(error.to_string());
        if let Some(disk) = self.take_disk() {
            disk.close().map_err(|e| store(&e))?;
            if self.failure.get().is_none() {
                // Cleared before sealing: a seal beside a foreign lock would be a finding.
                if let Some(lock) = guard(&self.lock).as_mut() {
                    lock.clear().map_err(|e| store(&e))?;
                }
                seal::write(&self.dir).map_err(|e| store(&e))?;
            }
        }
        guard(&self.lock).take();
        self.failure
            .get()
            .map_or(Ok(()), |reason| Err(AppendError::Store(reason.clone())))
    }

    /// The end without a close: the files are freed and stay unsealed.
    pub(super) fn abandon(&self) {
        if let Some(Err(error)) = self.take_disk().map(Disk::close) {
            tracing::warn!(%error, "the log's database was not closed cleanly");
        }
        guard(&self.lock).take();
    }
}

/// The events at `positions`; `None` as soon as a frame is not to be had.
fn collect(
    positions: &[Position],
    frame_of: impl Fn(Position) -> Result<Option<Arc<CachedFrame>>, ReadError>,
) -> Result<Option<Vec<Recorded>>, ReadError> {
    let mut events = Vec::with_capacity(positions.len());
    let mut current: Option<Arc<CachedFrame>> = None;
    for &position in positions {
        if !current.as_ref().is_some_and(|frame| frame.holds(position)) {
            current = frame_of(position)?;
        }
        let Some(frame) = &current else {
            return Ok(None);
        };
        events.push(
            frame
                .event(position)
                .map_err(|e| damaged(position, e.to_string()))?,
        );
    }
    Ok(Some(events))
}

/// The events of a stream at `positions`, without decoding the others of their frames; `None`
/// as soon as a frame is not to be had. An event of another stream is a fault of the index.
fn pick(
    positions: &[Position],
    stretch: &Stretch,
    frame_of: impl Fn(Position) -> Result<Option<Arc<CachedFrame>>, ReadError>,
) -> Result<Option<Vec<Recorded>>, ReadError> {
    let mut events: Vec<Recorded> = Vec::with_capacity(positions.len());
    let mut rest = positions;
    while let Some(&position) = rest.first() {
        let Some(frame) = frame_of(position)? else {
            return Ok(None);
        };
        let held = rest.iter().take_while(|position| frame.holds(**position));
        let (here, later) = rest.split_at(held.count());
        frame
            .pick(here, &mut events)
            .map_err(|e| damaged(position, e.to_string()))?;
        rest = later;
    }
    if events
        .iter()
        .zip(stretch.versions())
        .any(|(event, version)| event.stream != *stretch.stream() || event.version != version)
    {
        return Err(unindexed(IndexError("it points at other events".into())));
    }
    Ok(Some(events))
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(read).await;
    done.map_err(|error| ReadError::Store(error.to_string()))?
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn unindexed(error: IndexError) -> ReadError {
    ReadError::Store(error.to_string())
}

fn damaged(position: Position, detail: String) -> ReadError {
    ReadError::Damaged { position, detail }
}
