//! Going through all frames: hash, chain, gaps, versions, and what the tip vouches for.
//!
//! ```text
//! sled's frames in key order ─► each continues the chain? ─┬─ yes ─► taken
//! the journal's, by place ──────────────────────────────── └─ no, or none left ─► the journal's commit
//! ```

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread;

use super::disk::{Disk, DiskError};
use super::journal::Journal;
use super::tip::Tip;
use crate::append_ids::AppendIds;
use crate::frame::{Frame, FrameError, GENESIS};
use crate::index::{Blocks, StreamIndex};
use crate::log::{Head, Position};

/// Frames that lie in the leaf which sled still moves about, at most: it splits a leaf of more
/// than 16 values.
const NEWEST_FRAMES: usize = 32;

/// Frames that are read and hashed ahead of the indexing: 1 MiB at most.
const AHEAD_FRAMES: usize = 32;

/// Where and why the log cannot be vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub position: Position,
    pub error: FrameError,
}

/// Why the walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Fault),
    /// The operating system refused.
    Io(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The log up to the frames that were taken.
#[derive(Debug)]
pub(super) struct Recovery {
    pub index: StreamIndex,
    pub ids: AppendIds,
    pub head: Head,
    pub frames: u64,
    /// Frames of the last commit that have yet to come.
    frames_left: u16,
    tip: Tip,
    journal: Journal,
    /// Frames that sled lacks and the journal has.
    restored: Vec<Frame>,
    /// The last frames, as many as one leaf of sled holds.
    newest: VecDeque<Frame>,
    /// Whether the head that the tip acknowledges was passed.
    tip_met: bool,
}

impl Recovery {
    pub(super) fn new(tip: Tip, journal: Journal) -> Self {
        let head = Head {
            position: 0,
            hash: GENESIS,
        };
        let tip_met = tip.must_contain() == Some(head);
        Self {
            index: StreamIndex::default(),
            ids: AppendIds::default(),
            head,
            frames: 0,
            frames_left: 0,
            tip,
            journal,
            restored: Vec::new(),
            newest: VecDeque::with_capacity(NEWEST_FRAMES),
            tip_met,
        }
    }

    /// A recovery whose index keeps old positions in `blocks` instead of in memory.
    pub(super) fn indexed_in(tip: Tip, journal: Journal, blocks: Blocks) -> Self {
        Self {
            index: StreamIndex::with_blocks(blocks),
            ..Self::new(tip, journal)
        }
    }

    /// Goes through all frames of sled and of the journal and shows each to `each`, in order.
    pub(super) fn walk(
        &mut self,
        disk: &Disk,
        mut each: impl FnMut(&Frame) -> Result<(), Fault>,
    ) -> Result<(), Stop> {
        let (stored, frames) = mpsc::sync_channel(AHEAD_FRAMES);
        let scanned = thread::scope(|scope| {
            // Reading and hashing on a thread of their own, indexing on this one.
            let scan = scope.spawn(move || {
                disk.scan(|key, value| {
                    let position = key.try_into().map(u64::from_be_bytes).ok();
                    stored.send((position, Frame::verify(value))).is_ok()
                })
            });
            // Consumed here: after a fault the scan finds nobody to hand frames to, and ends.
            for (position, frame) in frames {
                self.take_stored(position, frame, &mut each)?;
            }
            let panicked = |_| Err(DiskError::Damaged("reading sled panicked".into()));
            Ok::<_, Fault>(scan.join().unwrap_or_else(panicked))
        });
        match scanned? {
            Ok(()) => {}
            Err(DiskError::Io(detail)) => return Err(Stop::Io(detail)),
            Err(DiskError::Damaged(detail)) => return Err(self.fault(detail).into()),
        }
        while self.take_journaled(&mut each)? {}
        Ok(self.finish()?)
    }

    /// The frames that sled lacks or has damaged, and that the journal gave.
    pub(super) fn take_restored(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.restored)
    }

    /// The last frames of the log, in order.
    pub(super) fn take_newest(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.newest).into()
    }

    /// Takes the next frame of sled, or says why the log ends before it.
    fn take_stored(
        &mut self,
        position: Option<Position>,
        frame: Result<Frame, FrameError>,
        each: &mut impl FnMut(&Frame) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(position) = position else {
            return Err(self.fault("a key is no position".to_owned()));
        };
        while self.head.position + 1 < position {
            if !self.take_journaled(each)? {
                return Err(self.fault(format!("the next frame is that of position {position}")));
            }
        }
        let was_restored = |frame: &Frame| frame.last() >= position;
        if self.restored.last().is_some_and(was_restored) {
            return Ok(());
        }
        let (first, previous) = (self.head.position + 1, self.head.hash);
        if position != first {
            return Err(self.fault(format!("the next frame is that of position {position}")));
        }
        match frame.and_then(|frame| frame.following(first, &previous)) {
            Ok(frame) => self.take(&frame, each),
            Err(_) if self.take_journaled(each)? => Ok(()),
            Err(error) => Err(Fault {
                position: first,
                error,
            }),
        }
    }

    /// Takes the commit of the journal that comes next; false when there is none.
    fn take_journaled(
        &mut self,
        each: &mut impl FnMut(&Frame) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let commit = self.journal.commit_after(&self.head);
        for frame in &commit {
            self.take(frame, each)?;
        }
        let found = !commit.is_empty();
        self.restored.extend(commit);
        Ok(found)
    }

    fn take(
        &mut self,
        frame: &Frame,
        each: &mut impl FnMut(&Frame) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.frames_left > 0 && frame.frames_left() != self.frames_left - 1 {
            return Err(self.fault("a commit of several frames is not whole".into()));
        }
        self.index_events(frame)?;
        self.advance(frame)?;
        each(frame)
    }

    fn index_events(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut gap = None;
        let walked = frame.walk(|event| {
            self.ids.see(event);
            if gap.is_none() {
                gap = self
                    .index
                    .record(event.stream, event.version, event.position)
                    .err();
            }
        });
        self.index.spill();
        if let Some(gap) = gap {
            let error = FrameError::Damaged(gap.to_string());
            return Err(Fault {
                position: gap.position,
                error,
            });
        }
        walked.map_err(|error| Fault {
            position: frame.first(),
            error,
        })
    }

    fn advance(&mut self, frame: &Frame) -> Result<(), Fault> {
        let head = Head {
            position: frame.last(),
            hash: frame.hash(),
        };
        if let Some(tip) = self
            .tip
            .must_contain()
            .filter(|tip| !self.tip_met && tip.position <= head.position)
        {
            if tip != head {
                return Err(self.fault(format!(
                    "the chain does not pass the head that the tip vouches for at position {}",
                    tip.position
                )));
            }
            self.tip_met = true;
        }
        if self.newest.len() == NEWEST_FRAMES {
            self.newest.pop_front();
        }
        self.newest.push_back(frame.clone());
        self.frames += 1;
        self.frames_left = frame.frames_left();
        self.head = head;
        Ok(())
    }

    /// After the last frame: is this all of it?
    fn finish(&self) -> Result<(), Fault> {
        if let Some(found) = self.journal.newer_after(self.head.position) {
            return Err(Fault {
                position: self.head.position + 1,
                error: FrameError::NewerFormat { found },
            });
        }
        if self.frames_left > 0 {
            return Err(self.fault(format!(
                "{} frames of the last commit are missing",
                self.frames_left
            )));
        }
        let Some(tip) = self.tip.must_contain() else {
            return Err(self.fault(
                "both slots of the tip are damaged: nothing vouches for the end of the log".into(),
            ));
        };
        if !self.tip_met {
            return Err(self.fault(format!(
                "the log ends here, events up to position {} were acknowledged",
                tip.position
            )));
        }
        self.note_unfinished_commit();
        Ok(())
    }

    fn note_unfinished_commit(&self) {
        if let Some(intended) = self
            .tip
            .intended
            .filter(|tip| tip.position > self.head.position)
        {
            tracing::warn!(
                head = self.head.position,
                intended = intended.position,
                "the log was stopped in the middle of a commit; it was not acknowledged and is not there"
            );
        }
    }

    fn fault(&self, what: String) -> Fault {
        Fault {
            position: self.head.position + 1,
            error: FrameError::Damaged(what),
        }
    }
}
