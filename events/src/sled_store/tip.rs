//! The tip: a second witness of the head, beside sled. A chain alone cannot see a lost tail.
//!
//! ```text
//! 0      acknowledged: the head when the last reply went out; the log must contain it
//! 4096   intended:     the head of the commit under way; the log may contain it
//! 8192   the journal:  frames that sled may lose; see there
//! ```
//! The intention is synced together with the commit itself, which lies in the same file, so the
//! witness costs no second wait. When both are durable the acknowledgement is written (it becomes
//! durable with the next intention, or when the writer has nothing to do), then the replies go
//! out. A log without its acknowledged head has lost its tail; one that merely lacks the
//! intended head was stopped in the middle of a commit that nobody was told of.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::journal::{FRAMES_AT, JournalWriter, frames_bytes};
use super::sync;
use crate::frame::Frame;
use crate::log::Head;

/// The tip's name.
pub(super) const TIP_FILE: &str = "tip";

/// The slots lie in different blocks: one torn write cannot take both.
const INTENDED_OFFSET: u16 = 4096;

const SLOT_MAGIC: [u8; 8] = *b"EVKTIP\x01\n";
const SLOT_BYTES: usize = 8 + 8 + 32 + 32;

/// When the tip is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TipPolicy {
    /// With every commit: a lost tail is found to the last acknowledged event.
    #[default]
    EveryCommit,
    /// With every n-th commit: up to n − 1 commits lost at the end go unnoticed.
    EveryN(NonZeroU32),
}

/// The two slots as they were found; `None` is a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    pub acknowledged: Option<Head>,
    pub intended: Option<Head>,
}

impl Tip {
    /// Reads the tip, not the journal behind it; `None` when there is no file.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(dir.join(TIP_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FRAMES_AT).read_to_end(&mut bytes)?;
        let intended_at = bytes.len().min(usize::from(INTENDED_OFFSET));
        Ok(Some(Self {
            acknowledged: read_slot(&bytes),
            intended: read_slot(&bytes[intended_at..]),
        }))
    }

    /// The head that the log must contain. With the acknowledgement damaged, the intention
    /// stands in for it: refusing too much is the safe side.
    pub(super) fn must_contain(&self) -> Option<Head> {
        self.acknowledged.or(self.intended)
    }
}

fn write_slot(head: &Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&SLOT_MAGIC);
    slot[8..16].copy_from_slice(&head.position.to_le_bytes());
    slot[16..48].copy_from_slice(&head.hash);
    let hash = blake3::hash(&slot[..48]);
    slot[48..].copy_from_slice(hash.as_bytes());
    slot
}

fn read_slot(bytes: &[u8]) -> Option<Head> {
    let slot: &[u8; SLOT_BYTES] = bytes.get(..SLOT_BYTES)?.try_into().ok()?;
    let head = Head {
        position: u64::from_le_bytes(slot[8..16].try_into().ok()?),
        hash: slot[16..48].try_into().ok()?,
    };
    (write_slot(&head) == *slot).then_some(head)
}

/// The tip and its journal open for writing.
#[derive(Debug)]
pub(super) struct TipWriter {
    file: File,
    journal: JournalWriter,
    unsynced: bool,
}

impl TipWriter {
    /// Opens or creates the tip, makes both slots say `head`, and begins the journal with the
    /// newest frames.
    pub(super) fn start(dir: &Path, head: &Head, newest: &[Frame]) -> io::Result<Self> {
        let mut tip = Self {
            file: reset(dir, head)?,
            journal: JournalWriter::new(),
            unsynced: false,
        };
        if !newest.is_empty() {
            tip.journal(newest)?;
            tip.sync()?;
        }
        Ok(tip)
    }

    /// Before a commit is made durable.
    pub(super) fn intend(&mut self, head: &Head) -> io::Result<()> {
        put_slot(&self.file, head, u64::from(INTENDED_OFFSET))
    }

    /// Whether these frames are written over older ones, which sled must have by then.
    pub(super) fn is_round_before(&self, frames: &[Frame]) -> bool {
        self.journal.is_round_before(frames_bytes(frames))
    }

    /// Writes a commit into the journal. Durable after [`TipWriter::sync`].
    pub(super) fn journal(&mut self, frames: &[Frame]) -> io::Result<()> {
        self.journal.write(&self.file, frames)
    }

    /// Before the replies go out, after everything is durable.
    pub(super) fn acknowledge(&mut self, head: &Head) -> io::Result<()> {
        self.unsynced = true;
        put_slot(&self.file, head, 0)
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = false;
        sync::data(&self.file)
    }

    /// Empties the journal, all of which is durable in sled, and makes both slots say `head`: the
    /// last act of an orderly close.
    pub(super) fn close(&mut self, head: &Head) -> io::Result<()> {
        empty_journal(&self.file)?;
        self.intend(head)?;
        self.sync()?;
        self.acknowledge(head)?;
        self.sync()
    }
}

fn put_slot(file: &File, head: &Head, offset: u64) -> io::Result<()> {
    sync::undivided(file, || file.write_all_at(&write_slot(head), offset))
}

fn empty_journal(file: &File) -> io::Result<()> {
    sync::undivided(file, || file.set_len(FRAMES_AT))
}

/// Empties the journal and writes both slots of the tip, durably.
pub(super) fn reset(dir: &Path, head: &Head) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(dir.join(TIP_FILE))?;
    empty_journal(&file)?;
    // The acknowledgement last: at every moment one of the slots is whole.
    put_slot(&file, head, u64::from(INTENDED_OFFSET))?;
    sync::all(&file)?;
    put_slot(&file, head, 0)?;
    sync::all(&file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn head(position: u64) -> Head {
        Head {
            position,
            hash: [7; 32],
        }
    }

    #[test]
    fn a_slot_with_a_changed_bit_says_nothing_and_the_other_stands() {
        let dir = tempfile::tempdir().unwrap();
        let mut tip = TipWriter::start(dir.path(), &head(3), &[]).unwrap();
        tip.intend(&head(4)).unwrap();
        let whole = std::fs::read(dir.path().join(TIP_FILE)).unwrap();
        for bit in 0..SLOT_BYTES * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(dir.path().join(TIP_FILE), bytes).unwrap();
            let found = Tip::read(dir.path()).unwrap().unwrap();
            assert_eq!(
                found,
                Tip {
                    acknowledged: None,
                    intended: Some(head(4))
                }
            );
        }
        std::fs::write(dir.path().join(TIP_FILE), &whole).unwrap();
        tip.acknowledge(&head(4)).unwrap();
    }
}
