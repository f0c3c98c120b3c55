//! sled, held at arm's length: every call guarded, every sync made by us.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;

use super::journal::frames_bytes;
use super::sync;
use crate::frame::{FRAME_MAX_BYTES, Frame};
use crate::log::Position;

/// Of a segment, the part in 512 that a frame may have: sled moves what exceeds a quarter of a
/// segment to a blob file that is never synced, and rewrites leaves of 16 values. An eighth of
/// that is left for keys and headers.
const FRAME_SHARE: usize = 7;

/// Segments that sled accepts; it panics over others.
const SEGMENT_BYTES: std::ops::RangeInclusive<usize> = 256..=16 << 20;

/// sled's cache: a few leaves. Recent frames have a cache of their own, verified and decoded.
const SLED_CACHE_BYTES: u64 = 128 << 10;

/// Bytes that are read before sled is opened anew. sled evicts a leaf only after dozens of reads
/// in the same 256th of its pages, so that reading a long log would keep nearly all of it in
/// memory; opening takes some 10 ms per GB. In tests it happens all the time.
const READ_MAX_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// Bytes that were read or written before sled is opened anew while nobody writes.
const REST_MIN_BYTES: u64 = 1 << 20;

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
    /// None when opening it anew failed, or once it is closed.
    db: RwLock<Option<sled::Db>>,
    /// Bytes read since sled was opened, all of which it may keep.
    read_bytes: AtomicU64,
    /// Bytes written since sled was opened, the same.
    written_bytes: AtomicU64,
    /// Our own handle: sled's flush does not sync.
    file: File,
    path: PathBuf,
    /// Size of sled's segments, for ever as it was created.
    segment_bytes: usize,
}

impl Disk {
    /// Opens the database in `path`, or creates it there with segments of `segment_bytes`.
    pub(super) fn open(path: &Path, segment_bytes: usize) -> Result<Self, DiskError> {
        let segment_bytes = segment_bytes_of(path).unwrap_or(segment_bytes);
        let db = open_sled(path, segment_bytes)?;
        let file = File::open(path.join("db"))?;
        alarm_on_blobs(path)?;
        // Opening replaces sled's snapshot; an older one beside newer segments would mislead it.
        sync_dir(path)?;
        Ok(Self {
            db: RwLock::new(Some(db)),
            read_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            file,
            path: path.to_owned(),
            segment_bytes,
        })
    }

    /// Bytes that a frame may have here.
    pub(super) fn frame_max_bytes(&self) -> usize {
        (self.segment_bytes / 512 * FRAME_SHARE).min(FRAME_MAX_BYTES)
    }

    /// Runs a call into sled.
    fn with<T>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, DiskError> {
        let db: RwLockReadGuard<'_, _> = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(closed)?;
        guarded(|| call(db))
    }

    /// Gives back the memory that reading took, once it is worth it.
    fn relieve(&self) -> Result<(), DiskError> {
        self.reopen_if(|disk| disk.read_bytes.load(Ordering::Relaxed) >= READ_MAX_BYTES)
    }

    /// Whether [`Disk::rest`] would give memory back.
    pub(super) fn is_fed(&self) -> bool {
        let [read, written] = [&self.read_bytes, &self.written_bytes];
        read.load(Ordering::Relaxed) + written.load(Ordering::Relaxed) >= REST_MIN_BYTES
    }

    /// Gives back the memory that reading and writing took: for a time when nobody writes.
    pub(super) fn rest(&self) -> Result<(), DiskError> {
        self.reopen_if(Self::is_fed)
    }

    fn reopen_if(&self, is_worth_it: impl Fn(&Self) -> bool) -> Result<(), DiskError> {
        if !is_worth_it(self) {
            return Ok(());
        }
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Another reader may have been here first.
        if !is_worth_it(self) {
            return Ok(());
        }
        let old = db.take().ok_or_else(closed)?;
        *db = Some(sync::undivided(&self.file, || {
            guarded(move || {
                drop(old);
                Ok(())
            })?;
            wait_until_free(&self.path.join("db"))?;
            open_sled(&self.path, self.segment_bytes)
        })?);
        self.read_bytes.store(0, Ordering::Relaxed);
        self.written_bytes.store(0, Ordering::Relaxed);
        Ok(sync_dir(&self.path)?)
    }

    fn has_read(&self, bytes: usize) -> u64 {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64
    }

    /// Everything that a new database consists of, down to the directory entries.
    pub(super) fn sync_creation(&self) -> Result<(), DiskError> {
        self.with(|db| db.flush().map(drop))?;
        sync::all(&File::open(self.path.join("conf"))?)?;
        sync::all(&self.file)?;
        sync_dir(&self.path)?;
        Ok(())
    }

    /// Puts the frames of one commit into sled, all or none, for all to read. Not durable
    /// before [`Disk::settle`].
    pub(super) fn put(&self, frames: &[Frame]) -> Result<(), DiskError> {
        self.written_bytes
            .fetch_add(frames_bytes(frames), Ordering::Relaxed);
        self.with(|db| {
            if let [frame] = frames {
                let (key, value) = (frame.first().to_be_bytes(), &frame.bytes()[..]);
                let swapped = db.compare_and_swap(key, None as Option<&[u8]>, Some(value))?;
                swapped.map_err(|_| occupied(frame.first()))?;
            } else {
                let mut batch = sled::Batch::default();
                for frame in frames {
                    if db.contains_key(frame.first().to_be_bytes())? {
                        return Err(occupied(frame.first()));
                    }
                    batch.insert(&frame.first().to_be_bytes(), &frame.bytes()[..]);
                }
                db.apply_batch(batch)?;
            }
            Ok(())
        })
    }

    /// Puts frames where they belong, whatever stands there.
    pub(super) fn restore(&self, frames: &[Frame]) -> Result<(), DiskError> {
        self.with(|db| {
            for frame in frames {
                db.insert(frame.first().to_be_bytes(), &frame.bytes()[..])?;
            }
            Ok(())
        })
    }

    /// Occupies a position, so that the next commit there fails.
    #[cfg(test)]
    pub(super) fn put_foreign(&self, position: Position) -> Result<(), DiskError> {
        self.with(|db| {
            db.insert(position.to_be_bytes(), b"foreign".as_slice())
                .map(drop)
        })
    }

    /// Makes what was put durable.
    pub(super) fn settle(&self) -> Result<(), DiskError> {
        sync::undivided(&self.file, || self.with(|db| db.flush().map(drop)))?;
        Ok(sync::data(&self.file)?)
    }

    /// The frame that starts at `position`, or else the last one that starts before it.
    pub(super) fn frame_at(&self, position: Position) -> Result<Option<Bytes>, DiskError> {
        self.relieve()?;
        let key = position.to_be_bytes();
        let found = self.with(|db| match db.get(key)? {
            Some(value) => Ok(Some(value)),
            None => Ok(db.get_lt(key)?.map(|(_, value)| value)),
        })?;
        Ok(found.map(|value| {
            self.has_read(value.len());
            Bytes::from_owner(value)
        }))
    }

    /// Hands out all frames in key order until `each` returns false.
    pub(super) fn scan(&self, mut each: impl FnMut(&[u8], Bytes) -> bool) -> Result<(), DiskError> {
        let mut from = Bound::Unbounded;
        loop {
            let stopped_at = self.with(|db| {
                for pair in db.range::<Vec<u8>, _>((from.clone(), Bound::Unbounded)) {
                    let (key, value) = pair?;
                    let read = self.has_read(value.len());
                    if !each(&key, Bytes::from_owner(value)) {
                        return Ok(None);
                    }
                    if read >= READ_MAX_BYTES {
                        return Ok(Some(key.to_vec()));
                    }
                }
                Ok(None)
            })?;
            let Some(key) = stopped_at else {
                return Ok(());
            };
            from = Bound::Excluded(key);
            self.relieve()?;
        }
    }

    /// Closes sled and waits until its files are really free.
    pub(super) fn close(self) -> Result<(), DiskError> {
        let Self { db, file, path, .. } = self;
        let db = db.into_inner().unwrap_or_else(PoisonError::into_inner);
        let db = db.ok_or_else(closed)?;
        guarded(|| db.flush().map(drop))?;
        sync::all(&file)?;
        guarded(move || {
            drop(db);
            Ok(())
        })?;
        drop(file);
        wait_until_free(&path.join("db"))
    }
}

/// What the database says of itself. sled checks the rest of it when it opens.
fn segment_bytes_of(path: &Path) -> Option<usize> {
    let conf = fs::read(path.join("conf")).ok()?;
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

fn open_sled(path: &Path, segment_bytes: usize) -> Result<sled::Db, DiskError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(segment_bytes)
        .cache_capacity(SLED_CACHE_BYTES)
        .flush_every_ms(None);
    guarded(|| config.open())
}

fn closed() -> DiskError {
    DiskError::Io("the database is closed".into())
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
