//! Going through all frames: hash, chain, gaps, versions, and what the tip vouches for.

use bytes::Bytes;

use super::tip::Tip;
use crate::append_ids::AppendIds;
use crate::frame::{Frame, FrameError, GENESIS};
use crate::index::{Blocks, StreamIndex};
use crate::log::{Head, Position};

/// Where and why the log cannot be vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub position: Position,
    pub error: FrameError,
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
    /// Whether the head that the tip acknowledges was passed.
    tip_met: bool,
}

impl Recovery {
    pub(super) fn new(tip: Tip) -> Self {
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
            tip_met,
        }
    }

    /// A recovery whose index keeps old positions in `blocks` instead of in memory.
    pub(super) fn indexed_in(tip: Tip, blocks: Blocks) -> Self {
        Self {
            index: StreamIndex::with_blocks(blocks),
            ..Self::new(tip)
        }
    }

    /// Takes the next frame, or says why the log ends before it.
    pub(super) fn take(&mut self, key: &[u8], value: Bytes) -> Result<Frame, Fault> {
        let first = self.head.position + 1;
        if key != first.to_be_bytes() {
            return Err(self.fault(match key.try_into().map(u64::from_be_bytes) {
                Ok(found) => format!("the next frame is that of position {found}"),
                Err(_) => "a key is no position".to_owned(),
            }));
        }
        let frame = Frame::verify_next(value, first, &self.head.hash);
        let frame = frame.map_err(|error| Fault {
            position: first,
            error,
        })?;
        if self.frames_left > 0 && frame.frames_left() != self.frames_left - 1 {
            return Err(self.fault("a commit of several frames is not whole".into()));
        }
        self.index_events(&frame)?;
        self.advance(&frame)?;
        Ok(frame)
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
        self.frames += 1;
        self.frames_left = frame.frames_left();
        self.head = head;
        Ok(())
    }

    /// After the last frame: is this all of it?
    pub(super) fn finish(&self) -> Result<(), Fault> {
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

    pub(super) fn fault(&self, what: String) -> Fault {
        Fault {
            position: self.head.position + 1,
            error: FrameError::Damaged(what),
        }
    }
}
