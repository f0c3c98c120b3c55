//! The journal: commits that sled may lose, behind the slots of the tip.
//!
//! ```text
//! tip file   0 acknowledged │ 4096 intended │ 8192 frame │ frame │ frame │ older frames or zeros …
//! commit     frames and intention ─► one fdatasync of a file that does not grow ─► replies
//! sled       takes the frames behind that, see the filler
//! round      at the end of the ring, once sled has everything, the next frame goes to 8192 again
//! open       what continues sled's chain is put into sled; the ring begins with the last frames
//! ```
//! A frame says itself where it belongs, so the journal is a bag of intact frames: no order, no
//! length, no marks. It keeps frames long after sled has them: sled goes on moving its newest
//! leaf about, and may overwrite the old copy before the new one is durable. Every open writes it
//! anew, so that two histories never meet in it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::sync;
use super::tip::TIP_FILE;
use crate::frame::{Frame, HASH_BYTES, find_frames};
use crate::log::{Head, Position};

/// Where the frames begin: in a block of their own, behind the slots of the tip.
pub(super) const FRAMES_AT: u64 = 8192;

/// Bytes of zeros that are laid ahead of the frames: a sync of what is written over them has no
/// new length and no new blocks to record, which halves its time.
const GROW_BYTES: u64 = 256 << 10;

/// Size of the ring: twice what sled may be behind, so that a round seldom waits for it, and some
/// sixty of sled's newest leaves. A largest commit (twice 4 MiB, see admission) fits.
const RING_BYTES: u64 = 32 << 20;

/// Writes frames behind one another, in a ring.
#[derive(Debug)]
pub(super) struct JournalWriter {
    /// Where the next frame goes.
    next: u64,
    /// Where the zeros end.
    grown: u64,
}

impl JournalWriter {
    /// An empty journal in a file that ends where the frames begin.
    pub(super) fn new() -> Self {
        Self {
            next: FRAMES_AT,
            grown: FRAMES_AT,
        }
    }

    /// Whether the next `bytes` begin a new round.
    pub(super) fn is_round_before(&self, bytes: u64) -> bool {
        self.next - FRAMES_AT + bytes > RING_BYTES
    }

    /// Writes the frames of one commit. Durable with the file.
    pub(super) fn write(&mut self, file: &File, frames: &[Frame]) -> io::Result<()> {
        let bytes = frames_bytes(frames);
        if bytes > RING_BYTES {
            return Err(io::Error::other("a commit is larger than the journal"));
        }
        if self.is_round_before(bytes) {
            self.next = FRAMES_AT;
        }
        let end = self.next + bytes;
        if end > self.grown {
            let zeros = (end - self.grown).next_multiple_of(GROW_BYTES);
            put(
                file,
                &vec![0; usize::try_from(zeros).unwrap_or(0)],
                self.grown,
            )?;
            self.grown += zeros;
        }
        for frame in frames {
            put(file, frame.bytes(), self.next)?;
            self.next += frame.bytes().len() as u64;
        }
        Ok(())
    }
}

fn put(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    sync::undivided(file, || file.write_all_at(bytes, at))
}

/// Bytes that frames take in the journal.
pub(super) fn frames_bytes(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| frame.bytes().len() as u64).sum()
}

/// The intact frames that a journal holds, by where they belong in the chain.
#[derive(Debug, Default)]
pub(super) struct Journal {
    frames: HashMap<(Position, [u8; HASH_BYTES]), Frame>,
    /// Position and format of an intact frame that a newer program wrote.
    newer: Option<(Position, u16)>,
}

impl Journal {
    /// Reads the journal of the log in `dir`; without a file it is empty.
    pub(super) fn read(dir: &Path) -> io::Result<Self> {
        let bytes = match std::fs::read(dir.join(TIP_FILE)) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut journal = Self::default();
        for found in find_frames(&bytes) {
            if let Some(format) = found.newer_format {
                journal.newer = journal.newer.max(Some((found.first, format)));
            }
            if let Some(frame) = found.frame {
                let key = (frame.first(), *frame.previous());
                journal.frames.insert(key, frame);
            }
        }
        Ok(journal)
    }

    /// All its frames, in no order.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.values()
    }

    /// The frames that continue the chain after `head`, up to the end of their commit; none
    /// when a frame of it is missing.
    pub(super) fn commit_after(&self, head: &Head) -> Vec<Frame> {
        let mut commit = Vec::new();
        let mut next = (head.position + 1, head.hash);
        while let Some(frame) = self.frames.get(&next) {
            next = (frame.last() + 1, frame.hash());
            commit.push(frame.clone());
            if frame.frames_left() == 0 {
                return commit;
            }
        }
        Vec::new()
    }

    /// The format of an intact frame past `position` that a newer program wrote.
    pub(super) fn newer_after(&self, position: Position) -> Option<u16> {
        let newer = self.newer.filter(|(first, _)| *first > position);
        newer.map(|(_, format)| format)
    }
}
