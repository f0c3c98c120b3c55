//! A new store made of frames that exist already: for backups, salvage, cuts and imports.
//!
//! It counts only when it is finished: until the format marker is written, nothing opens it, and
//! a store that is dropped unfinished is removed again.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::{Disk, sync_dir};
use super::format::{FORMAT_FILE, STORE_FORMAT};
use super::lock::{DirLock, LOCK_FILE};
use super::seal::SEAL_FILE;
use super::tip::TIP_FILE;
use super::upkeep::UpkeepError;
use super::{SLED_DIR, StoreSize, format, seal, tip};
use crate::frame::{Frame, GENESIS};
use crate::log::Head;

/// Frames that are put into the database at once.
const BATCH_FRAMES: usize = 64;

/// A store on its way.
#[derive(Debug)]
pub(super) struct FreshStore {
    dir: PathBuf,
    /// Whether the directory was made here, and is removed with an unfinished store.
    made: bool,
    finished: bool,
    open: Option<(DirLock, Disk)>,
    pending: Vec<Frame>,
    head: Head,
}

impl FreshStore {
    /// Starts a store in a directory that does not exist yet, or is empty.
    pub(super) fn create(dir: &Path) -> Result<Self, UpkeepError> {
        let made = ensure_empty(dir)?;
        fs::create_dir_all(dir).map_err(|error| UpkeepError::io(dir, &error))?;
        let lock = DirLock::take(dir)?;
        let mut store = Self {
            dir: dir.to_owned(),
            made,
            finished: false,
            open: None,
            pending: Vec::new(),
            head: Head {
                position: 0,
                hash: GENESIS,
            },
        };
        let disk = Disk::open(&dir.join(SLED_DIR), StoreSize::Large.segment_bytes())?;
        store.open = Some((lock, disk));
        Ok(store)
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self, frame: Frame) -> Result<(), UpkeepError> {
        let position = self.head.position + 1;
        if frame.first() != position || *frame.previous() != self.head.hash {
            return Err(UpkeepError::Refused {
                position,
                detail: "the next frame does not continue the chain".into(),
            });
        }
        self.head = Head {
            position: frame.last(),
            hash: frame.hash(),
        };
        self.pending.push(frame);
        if self.pending.len() >= BATCH_FRAMES {
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), UpkeepError> {
        if let (Some((_, disk)), false) = (&self.open, self.pending.is_empty()) {
            disk.put(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Makes everything durable and seals the store: from now on it is a log like any other.
    pub(super) fn finish(mut self) -> Result<Head, UpkeepError> {
        self.put()?;
        let Some((mut lock, disk)) = self.open.take() else {
            return Ok(self.head);
        };
        disk.sync_creation()?;
        tip::reset(&self.dir, &self.head)?;
        seal::write_durably(
            &self.dir,
            FORMAT_FILE,
            format::text(STORE_FORMAT).as_bytes(),
        )?;
        disk.close()?;
        lock.clear()?;
        seal::write(&self.dir)?;
        if let Some(parent) = self.dir.canonicalize()?.parent() {
            sync_dir(parent)?;
        }
        self.finished = true;
        Ok(self.head)
    }
}

impl Drop for FreshStore {
    fn drop(&mut self) {
        let unfinished = self.open.take();
        if let Some((_, disk)) = unfinished {
            // What it held is thrown away next.
            let _ = disk.close();
        }
        if self.finished {
            return;
        }
        let _ = fs::remove_dir_all(self.dir.join(SLED_DIR));
        for name in [FORMAT_FILE, TIP_FILE, LOCK_FILE, SEAL_FILE] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        if self.made {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Whether the directory does not exist; an error when there is something in it.
pub(super) fn ensure_empty(dir: &Path) -> Result<bool, UpkeepError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(UpkeepError::TargetNotEmpty(dir.display().to_string())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(UpkeepError::io(dir, &error)),
    }
}
