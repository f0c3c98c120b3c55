//! Snapshots on disk, in a sled of their own: whatever goes wrong with it, the answer is replay.
//!
//! ```text
//! open ─► sled opens? ─ no (error or panic) ─► moved aside to `<dir>.damaged-<n>`, start empty
//! load ─► value whole, of this schema? ─ no ─► counted, logged, None
//! ```

mod inspect;
mod pieces;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

pub use inspect::{Stored, inspect};

use crate::entry::{self, SNAPSHOT_MAX_BYTES};
use crate::{Snapshot, SnapshotError, SnapshotStore};

/// sled's cache: a snapshot is read once per start of an actor, so nothing is worth keeping.
const SLED_CACHE_BYTES: u64 = 128 << 10;

/// Size of sled's segments where it makes a new database: it keeps two buffers of that size. A
/// leaf of 17 pieces stays below a quarter of it, past which sled would use blob files.
const SLED_SEGMENT_BYTES: usize = 512 << 10;

/// Segments that sled accepts; it panics over others.
const SEGMENT_BYTES: std::ops::RangeInclusive<usize> = 256..=16 << 20;

/// Directories that are kept when moved aside; past it the operator has not looked for long.
const DAMAGED_MAX: u32 = 100;

/// A [`SnapshotStore`] on disk.
#[derive(Debug)]
pub struct SledSnapshots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    db: RwLock<Option<sled::Db>>,
    discarded: AtomicU64,
}

fn error(what: impl std::fmt::Display) -> SnapshotError {
    SnapshotError(what.to_string())
}

/// Runs a call into sled; its panics become errors.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, SnapshotError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(error),
        Err(_) => Err(error("the database panicked")),
    }
}

impl SledSnapshots {
    /// Opens the store in `dir`, which holds nothing else. A damaged one is moved aside.
    ///
    /// Fails only when another process has it open or the directory cannot be written.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        let dir = dir.as_ref();
        let (db, discarded) = match open_db(dir) {
            Ok(db) => (db, 0),
            Err(OpenFailure::Elsewhere(reason)) => return Err(reason),
            Err(OpenFailure::Damaged(reason)) => {
                let aside = move_aside(dir)?;
                tracing::warn!(%reason, aside = %aside.display(), "the snapshots are damaged and were moved aside; states are replayed");
                (open_db(dir).map_err(OpenFailure::into_error)?, 1)
            }
        };
        let shared = Shared {
            db: RwLock::new(Some(db)),
            discarded: AtomicU64::new(discarded),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Shared) -> Result<T, SnapshotError> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || call(&shared))
            .await
            .map_err(error)?
    }
}

enum OpenFailure {
    /// Not the fault of the bytes: in use, no permission, no space.
    Elsewhere(SnapshotError),
    Damaged(SnapshotError),
}

impl OpenFailure {
    fn into_error(self) -> SnapshotError {
        match self {
            Self::Elsewhere(error) | Self::Damaged(error) => error,
        }
    }
}

fn open_db(dir: &Path) -> Result<sled::Db, OpenFailure> {
    fs::create_dir_all(dir).map_err(|e| OpenFailure::Elsewhere(error(e)))?;
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(SLED_CACHE_BYTES)
        .segment_size(segment_bytes_of(dir).unwrap_or(SLED_SEGMENT_BYTES))
        .flush_every_ms(Some(500));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(reason))) if is_elsewhere(&reason) => {
            Err(OpenFailure::Elsewhere(error(reason)))
        }
        Ok(Err(reason)) => Err(OpenFailure::Damaged(error(reason))),
        Err(_) => Err(OpenFailure::Damaged(error("the database panicked"))),
    }
}

/// What an existing database says of itself; sled refuses to open it with another size.
fn segment_bytes_of(dir: &Path) -> Option<usize> {
    let conf = fs::read(dir.join("conf")).ok()?;
    // A checksum follows the text.
    let conf = String::from_utf8_lossy(&conf);
    let line = conf
        .lines()
        .find_map(|line| line.strip_prefix("segment_size: "));
    line?
        .parse()
        .ok()
        .filter(|bytes| SEGMENT_BYTES.contains(bytes))
}

/// sled reports a held lock as an error of kind `Other` that names the lock.
fn is_elsewhere(reason: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull, WouldBlock};
    matches!(
        reason.kind(),
        PermissionDenied | ReadOnlyFilesystem | StorageFull | WouldBlock
    ) || reason.to_string().contains("could not acquire lock")
}

fn move_aside(dir: &Path) -> Result<PathBuf, SnapshotError> {
    for n in 1..=DAMAGED_MAX {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".damaged-{n}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            fs::rename(dir, &aside).map_err(error)?;
            return Ok(aside);
        }
    }
    Err(error(format!(
        "{DAMAGED_MAX} damaged snapshot directories lie beside {}; remove them",
        dir.display()
    )))
}

impl Shared {
    fn with_db<T>(
        &self,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, SnapshotError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(|| error("it is closed"))?;
        guarded(|| call(db))
    }

    fn load(&self, stream: &str, schema: u16) -> Result<Option<Snapshot>, SnapshotError> {
        let Some(stored) = self.with_db(|db| pieces::load(db, stream))? else {
            return Ok(None);
        };
        entry::read(stream, schema, &stored)
            .map(Some)
            .map_err(error)
    }

    fn load_or_discard(&self, stream: &str, schema: u16) -> Option<Snapshot> {
        self.load(stream, schema).unwrap_or_else(|reason| {
            self.discard(stream, &reason);
            None
        })
    }

    fn discard(&self, stream: &str, reason: &SnapshotError) {
        self.discarded.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(stream, %reason, "a snapshot is of no use; replaying");
    }

    fn close(&self) -> Result<(), SnapshotError> {
        let db = self
            .db
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        db.map_or(Ok(()), |db| guarded(move || db.flush().map(drop)))
    }
}

#[async_trait]
impl SnapshotStore for SledSnapshots {
    async fn load(&self, stream: &str, schema: u16) -> Option<Snapshot> {
        self.load_all(vec![stream.to_owned()], schema).await.pop()?
    }

    /// One piece of work on a blocking thread: handing each over costs more than reading it.
    async fn load_all(&self, streams: Vec<String>, schema: u16) -> Vec<Option<Snapshot>> {
        let count = streams.len();
        let load = move |shared: &Shared| {
            let load = |stream: &String| shared.load_or_discard(stream, schema);
            Ok(streams.iter().map(load).collect())
        };
        self.on_blocking_thread(load)
            .await
            .unwrap_or_else(|reason| {
                tracing::warn!(%reason, count, "no snapshots; replaying");
                vec![None; count]
            })
    }

    /// A state over [`SNAPSHOT_MAX_BYTES`] is skipped: an older snapshot and replay serve.
    async fn save(&self, stream: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        if snapshot.state.len() > SNAPSHOT_MAX_BYTES {
            tracing::debug!(
                stream,
                bytes = snapshot.state.len(),
                "the state is too large for a snapshot"
            );
            return Ok(());
        }
        let name = stream.to_owned();
        let stored = entry::write(stream, &snapshot);
        self.on_blocking_thread(move |shared| {
            shared.with_db(|db| pieces::store(db, &name, Some(&stored)))
        })
        .await
    }

    async fn forget(&self, stream: &str) -> Result<(), SnapshotError> {
        let name = stream.to_owned();
        self.on_blocking_thread(move |shared| shared.with_db(|db| pieces::store(db, &name, None)))
            .await
    }

    fn discarded(&self) -> u64 {
        self.shared.discarded.load(Ordering::Relaxed)
    }

    async fn close(&self) -> Result<(), SnapshotError> {
        self.on_blocking_thread(Shared::close).await
    }
}

#[cfg(test)]
mod tests;
