//! The log on disk: frames as values of an embedded sled, made durable and checked by us.
//!
//! ```text
//! append ─► bounded queue ─► writer thread ─► journal and tip ─► fdatasync ─► publish ─► reply
//!                                                 └─► filler thread ─► sled, flushed and synced
//! <dir>/lock     who has it open           <dir>/sled/   the database: key first position, value frame
//! <dir>/format   which format it is        <dir>/tip     the head as it was acknowledged, the journal
//! <dir>/seal     hash of every 64 KiB block of every file, while the store is closed
//! ```
//! sled alone neither syncs nor notices a lost tail: the journal, the hash chain, the tip and the
//! seal are what the log's promises rest on. Everything sled does wrong arrives as an error.

pub(crate) mod backup;
mod cache;
mod copy;
mod disk;
mod filler;
mod format;
mod fresh;
pub(crate) mod import;
mod journal;
mod lock;
mod open;
mod places;
mod reader;
mod rebuild;
mod recovery;
pub(crate) mod salvage;
mod seal;
mod sync;
mod tip;
pub(crate) mod truncate;
mod upkeep;
pub(crate) mod verify;
pub(crate) mod view;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot, watch};

pub use open::{OpenError, SledOptions, StoreSize};
pub use places::BrokenFrame;
pub use tip::TipPolicy;
pub use upkeep::UpkeepError;

use crate::admission::check_shape;
use crate::append_ids::AppendId;
use crate::envelope::{Recorded, StreamId};
use crate::log::{
    AppendError, Appended, Direction, EventLog, Head, Position, ReadError, StreamAppend, Version,
};
use reader::Shared;
use writer::Job;

/// KiB of appends that may wait for the writer: four largest appends. Past it, `append` waits:
/// a writer that outruns the disk is slowed down instead of filling the memory.
const QUEUE_MAX_KIB: usize = 16 * 1024;

/// The database inside the log's directory.
const SLED_DIR: &str = "sled";

/// An [`EventLog`] on disk. One process has it open, everybody else is refused.
pub struct SledLog {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    watch: watch::Receiver<Position>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl SledLog {
    /// Opens the log in `dir`, or creates it there. Checks every frame, the chain and the tip.
    ///
    /// Blocks for as long as that takes (a second per some million events).
    pub fn open(dir: impl AsRef<Path>, options: SledOptions) -> Result<Self, OpenError> {
        open::open(dir.as_ref(), options)
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        self.shared.dir()
    }

    /// How many commits were made since the log was opened: many appends share one.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Waits until the database has everything, and gives back the memory that reading and writing
    /// took. A second after the last append it happens by itself.
    pub fn rest(&self) -> Result<(), ReadError> {
        let has_failed = || self.shared.has_failed();
        self.shared.pending.wait_until_settled(has_failed);
        let rested = self.shared.rest();
        rested.map_err(|error| ReadError::Store(error.to_string()))
    }

    /// How many streams the log has.
    pub fn streams(&self) -> usize {
        self.shared.state().index.streams()
    }

    fn sender(&self) -> Result<mpsc::Sender<Job>, AppendError> {
        match &*guard(&self.jobs) {
            Some(sender) => Ok(sender.clone()),
            None => Err(AppendError::Closed(self.shared.why_closed())),
        }
    }

    async fn enqueue(
        &self,
        id: Option<AppendId>,
        batch: Vec<StreamAppend>,
    ) -> Result<Appended, AppendError> {
        let bytes = check_shape(&batch, self.shared.frame_max_bytes)?;
        self.shared.check_writable()?;
        let closed = |_| AppendError::Closed(self.shared.why_closed());
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        let room = room.map_err(|_| AppendError::Closed(self.shared.why_closed()))?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            id,
            batch,
            bytes,
            reply,
            room,
        };
        self.sender()?
            .send(job)
            .map_err(|_| AppendError::Closed(self.shared.why_closed()))?;
        answer.await.map_err(closed)?
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventLog for SledLog {
    /// An append that is dropped while it waits for the reply may still be written.
    async fn append(&self, batch: Vec<StreamAppend>) -> Result<Appended, AppendError> {
        self.enqueue(None, batch).await
    }

    async fn append_once(
        &self,
        id: AppendId,
        batch: Vec<StreamAppend>,
    ) -> Result<Appended, AppendError> {
        self.enqueue(Some(id), batch).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let positions = self.shared.positions_after(after, limit);
        Shared::collect_anywhere(&self.shared, positions).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Recorded>, ReadError> {
        let stretch = self.shared.stretch(stream, from, limit, direction);
        match stretch {
            Some(stretch) => Shared::collect_stretch(&self.shared, stretch).await,
            None => Ok(Vec::new()),
        }
    }

    fn version(&self, stream: &StreamId) -> Version {
        self.shared.state().index.version(stream)
    }

    fn head(&self) -> Head {
        self.shared.state().head
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.watch.clone()
    }

    /// What was queued before is written; then the directory is sealed and free for others.
    async fn close(&self) -> Result<(), AppendError> {
        guard(&self.jobs).take();
        let (shared, writer) = (Arc::clone(&self.shared), Arc::clone(&self.writer));
        tokio::task::spawn_blocking(move || {
            let mut writer = guard(&writer);
            join(writer.take());
            shared.close_and_seal()
        })
        .await
        .map_err(|error| AppendError::Store(error.to_string()))?
    }
}

/// Without `close` there is no seal; what was acknowledged is durable all the same.
impl Drop for SledLog {
    fn drop(&mut self) {
        guard(&self.jobs).take();
        join(guard(&self.writer).take());
        self.shared.abandon();
    }
}

fn join(writer: Option<JoinHandle<()>>) {
    // A panic in the writer was caught there and has closed the log with its reason.
    if let Some(Err(_)) = writer.map(JoinHandle::join) {
        tracing::error!("the log's writer thread ended in a panic");
    }
}

#[cfg(test)]
mod tests;
