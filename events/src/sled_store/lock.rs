//! The lock file: one process has the log open, and says which.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The lock file's name.
pub(super) const LOCK_FILE: &str = "lock";

/// Longest content that is looked at: a pid has at most 10 digits.
const LOCK_MAX_BYTES: u64 = 64;

/// Why the lock was not taken.
#[derive(Debug)]
pub(super) enum LockError {
    InUse { pid: u32 },
    Io(io::Error),
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
    found: Vec<u8>,
}

impl DirLock {
    pub(super) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::InUse {
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let found = content(&mut file).map_err(LockError::Io)?;
        let mut lock = Self { file, found };
        lock.write(std::process::id().to_string().as_bytes())
            .map_err(LockError::Io)?;
        Ok(lock)
    }

    /// Whether the file holds what this program leaves there: nothing after an orderly close,
    /// a pid after a crash, also one between taking the lock and removing the seal.
    pub(super) fn found_is_plausible(&self) -> bool {
        self.found.iter().all(u8::is_ascii_digit)
    }

    /// Says that nobody is in here any more, still holding the lock: an orderly close seals next.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.write(&[])
    }

    /// Leaves the file as it was found.
    pub(super) fn release_as_found(mut self) -> io::Result<()> {
        let found = std::mem::take(&mut self.found);
        self.write(&found)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(bytes)
    }
}

fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(LOCK_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The pid of the holder; 0 when it has not written it yet.
fn holder(file: &mut File) -> u32 {
    let bytes = content(file).unwrap_or_default();
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}
