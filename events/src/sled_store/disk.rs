//! sled, held at arm's length: every call guarded, every sync made by us.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::sync;
use crate::frame::Frame;
use crate::log::Position;

/// With 2 MiB segments no value and no leaf reaches a quarter of one, past which sled moves it
/// to a blob file that is never synced. sled keeps a few buffers of this size in memory, so
/// larger ones cost an idle server tens of megabytes.
const SLED_SEGMENT_BYTES: usize = 2 << 20;

/// sled's cache: a few leaves. Recent frames have a cache of their own, verified and decoded.
const SLED_CACHE_BYTES: u64 = 128 << 10;

/// How often, and how long each time, to look whether a dropped sled has let go of its files:
/// two seconds in all, after which the log is left unsealed.
const LET_GO_LOOKS: u32 = 2_000;
const LET_GO_LOOK: Duration = Duration::from_millis(1);

/// A failure below the log.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum DiskError {
    #[error("{0}")]
    Io(String),
    /// sled found its files corrupt, or panicked over them.
    #[error("{0}")]
    Damaged(String),
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Runs a call into sled; its panics become errors.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(DiskError::Io(error.to_string())),
        Ok(Err(error)) => Err(DiskError::Damaged(format!("sled: {error}"))),
        Err(panic) => Err(DiskError::Damaged(format!(
            "sled panicked: {}",
            panic_text(&*panic)
        ))),
    }
}

/// The message of a panic.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

/// The database of frames.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    /// Our own handle: sled's flush does not sync.
    file: File,
    path: PathBuf,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let config = sled::Config::new()
            .path(path)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(SLED_CACHE_BYTES)
            .flush_every_ms(None);
        let db = guarded(|| config.open())?;
        let file = File::open(path.join("db"))?;
        alarm_on_blobs(path)?;
        // Opening replaces sled's snapshot; an older one beside newer segments would mislead it.
        sync_dir(path)?;
        Ok(Self {
            db,
            file,
            path: path.to_owned(),
        })
    }

    /// Everything that a new database consists of, down to the directory entries.
    pub(super) fn sync_creation(&self) -> Result<(), DiskError> {
        guarded(|| self.db.flush())?;
        sync::all(&File::open(self.path.join("conf"))?)?;
        sync::all(&self.file)?;
        sync_dir(&self.path)?;
        Ok(())
    }

    /// Puts the frames of one commit into sled, all or none. Not durable before `sync`.
    pub(super) fn put(&self, frames: &[Frame]) -> Result<(), DiskError> {
        sync::undivided(&self.file, || self.put_and_flush(frames))
    }

    fn put_and_flush(&self, frames: &[Frame]) -> Result<(), DiskError> {
        guarded(|| {
            if let [frame] = frames {
                let (key, value) = (frame.first().to_be_bytes(), &frame.bytes()[..]);
                let swapped = self
                    .db
                    .compare_and_swap(key, None as Option<&[u8]>, Some(value))?;
                return swapped.map_err(|_| occupied(frame.first()));
            }
            let mut batch = sled::Batch::default();
            for frame in frames {
                if self.db.contains_key(frame.first().to_be_bytes())? {
                    return Err(occupied(frame.first()));
                }
                batch.insert(&frame.first().to_be_bytes(), &frame.bytes()[..]);
            }
            self.db.apply_batch(batch)
        })?;
        guarded(|| self.db.flush())?;
        Ok(())
    }

    /// Occupies a position, so that the next commit there fails.
    #[cfg(test)]
    pub(super) fn put_foreign(&self, position: Position) -> Result<(), DiskError> {
        guarded(|| {
            self.db
                .insert(position.to_be_bytes(), b"foreign".as_slice())
                .map(drop)
        })
    }

    /// Makes what was put durable.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        Ok(sync::data(&self.file)?)
    }

    /// The frame that starts at `position`, or else the last one that starts before it.
    pub(super) fn frame_at(&self, position: Position) -> Result<Option<Bytes>, DiskError> {
        let key = position.to_be_bytes();
        guarded(|| {
            if let Some(value) = self.db.get(key)? {
                return Ok(Some(Bytes::from_owner(value)));
            }
            Ok(self
                .db
                .get_lt(key)?
                .map(|(_, value)| Bytes::from_owner(value)))
        })
    }

    /// Hands out all frames in key order until `each` returns false.
    pub(super) fn scan(&self, mut each: impl FnMut(&[u8], Bytes) -> bool) -> Result<(), DiskError> {
        guarded(|| {
            for pair in self.db.iter() {
                let (key, value) = pair?;
                if !each(&key, Bytes::from_owner(value)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Closes sled and waits until its files are really free.
    pub(super) fn close(self) -> Result<(), DiskError> {
        let Self { db, file, path } = self;
        guarded(|| {
            db.flush()?;
            Ok(())
        })?;
        sync::all(&file)?;
        guarded(move || {
            drop(db);
            Ok(())
        })?;
        drop(file);
        wait_until_free(&path.join("db"))
    }
}

fn occupied(position: Position) -> sled::Error {
    sled::Error::ReportableBug(format!("a frame stands already at position {position}"))
}

/// sled's lock on its file goes when its last handle goes.
fn wait_until_free(db: &Path) -> Result<(), DiskError> {
    for _ in 0..LET_GO_LOOKS {
        if File::open(db)?.try_lock().is_ok() {
            return Ok(());
        }
        std::thread::park_timeout(LET_GO_LOOK);
    }
    Err(DiskError::Io("sled did not let go of its file".into()))
}

/// Blob files are never synced by sled: nothing of ours may be in one.
fn alarm_on_blobs(path: &Path) -> Result<(), DiskError> {
    match fs::read_dir(path.join("blobs")) {
        Ok(mut blobs) => {
            if blobs.next().is_some() {
                tracing::error!(path = %path.display(), "sled keeps values in blob files, which are not durable: report this");
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    sync::all(&File::open(dir)?)
}
