//! A database that sled cannot read after a power cut, written anew from the frames in its files.
//!
//! ```text
//! no seal ─► sled tries its hand at a copy ─┬─ it copes ─► the original is opened
//!                                           └─ it does not ─► rebuild/ from raw frames and journal ─► sled/
//! ```
//! sled orders none of its writes: what a power cut keeps of the unsynced ones can lead it to a
//! place where nothing is. The frames themselves say where they belong. The original is let go of
//! only when everything that was acknowledged stands in the new database, durably.

use std::fs;
use std::io;
use std::path::Path;

use super::backup::backup;
use super::copy::Copy;
use super::disk::{Disk, DiskError, sync_dir};
use super::journal::Journal;
use super::recovery::{Recovery, Stop};
use super::seal::SEAL_FILE;
use super::tip::Tip;
use super::upkeep::UpkeepError;
use super::{SLED_DIR, StoreSize};

/// Where the new database is written, inside the log's directory.
const REBUILD_DIR: &str = "rebuild";

/// Looks, in a copy, whether sled can read what is there, and writes the database anew if not.
pub(super) fn unless_readable(dir: &Path, tip: Tip) -> Result<(), UpkeepError> {
    let Some(damage) = damage_to_sled(&Copy::of(dir)?, tip)? else {
        return Ok(());
    };
    tracing::warn!(dir = %dir.display(), damage, "the database is written anew from its frames");
    let head = backup(dir, dir.join(REBUILD_DIR), &mut |_| {})?;
    swap(dir)?;
    tracing::info!(
        head = head.position,
        "the database was written anew, nothing is lost"
    );
    Ok(())
}

/// Ends a swap that was interrupted, and removes what an interrupted rebuild has left.
pub(super) fn resume(dir: &Path) -> io::Result<()> {
    let rebuilt = dir.join(REBUILD_DIR);
    if rebuilt.join(SEAL_FILE).exists() {
        // The seal is the last thing that is written of a store.
        return swap(dir);
    }
    if rebuilt.exists() {
        fs::remove_dir_all(rebuilt)?;
    }
    Ok(())
}

fn swap(dir: &Path) -> io::Result<()> {
    let rebuilt = dir.join(REBUILD_DIR);
    // Without a database in it, the new one has been moved to its place already.
    if rebuilt.join(SLED_DIR).exists() {
        if dir.join(SLED_DIR).exists() {
            fs::remove_dir_all(dir.join(SLED_DIR))?;
        }
        fs::rename(rebuilt.join(SLED_DIR), dir.join(SLED_DIR))?;
        sync_dir(dir)?;
    }
    fs::remove_dir_all(rebuilt)?;
    sync_dir(dir)
}

/// What keeps sled from giving all frames; none when it gives them.
fn damage_to_sled(copy: &Copy, tip: Tip) -> Result<Option<String>, UpkeepError> {
    let size = StoreSize::default();
    let disk = match Disk::open(&copy.dir().join(SLED_DIR), size.segment_bytes()) {
        Ok(disk) => disk,
        Err(DiskError::Damaged(detail)) => return Ok(Some(detail)),
        Err(error) => return Err(error.into()),
    };
    let mut recovery = Recovery::new(tip, Journal::read(copy.dir())?);
    let walked = recovery.walk(&disk, |_| Ok(()));
    // A damaged database may refuse to close.
    let closed = disk.close();
    match walked {
        Ok(()) => Ok(closed.err().map(|error| error.to_string())),
        Err(Stop::Fault(fault)) => Ok(Some(fault.error.to_string())),
        Err(Stop::Io(detail)) => Err(UpkeepError::Io(detail)),
    }
}
