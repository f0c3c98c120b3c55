//! Recent frames, verified, and decoded when first asked for: live readers never touch sled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use super::guard;
use crate::envelope::Recorded;
use crate::frame::{Frame, FrameError};
use crate::log::Position;

/// What a frame takes in the cache besides its bytes and events.
const FRAME_OVERHEAD_BYTES: usize = 256;

/// What share of the cache is kept while the log rests.
const REST_SHARE: usize = 16;

/// A verified frame and, once somebody asked, its events.
#[derive(Debug)]
pub(super) struct CachedFrame {
    frame: Frame,
    events: OnceLock<Result<Vec<Recorded>, FrameError>>,
}

impl CachedFrame {
    pub(super) fn new(frame: Frame) -> Self {
        Self {
            frame,
            events: OnceLock::new(),
        }
    }

    pub(super) fn holds(&self, position: Position) -> bool {
        (self.frame.first()..=self.frame.last()).contains(&position)
    }

    /// The event at a position that the frame holds.
    pub(super) fn event(&self, position: Position) -> Result<Recorded, FrameError> {
        let events = self
            .events
            .get_or_init(|| self.frame.events())
            .as_ref()
            .map_err(Clone::clone)?;
        let at = usize::try_from(position.saturating_sub(self.frame.first())).unwrap_or(usize::MAX);
        let missing = || FrameError::Damaged(format!("position {position} is not in its frame"));
        events.get(at).cloned().ok_or_else(missing)
    }

    /// The events at positions that the frame holds, in that order. Nothing else is decoded: a
    /// stream's events lie thinly among those of others.
    pub(super) fn pick(
        &self,
        positions: &[Position],
        events: &mut Vec<Recorded>,
    ) -> Result<(), FrameError> {
        if self.events.get().is_some() || positions.len() * 2 > self.frame.count() as usize {
            for position in positions {
                events.push(self.event(*position)?);
            }
            return Ok(());
        }
        let start = events.len();
        self.frame.pick(positions, events)?;
        if positions.first() > positions.last() {
            events[start..].reverse();
        }
        Ok(())
    }

    fn cost(&self) -> usize {
        let events = self.frame.count() as usize * size_of::<Recorded>();
        FRAME_OVERHEAD_BYTES + self.frame.bytes().len() + events
    }
}

#[derive(Debug, Default)]
struct Frames {
    by_first: BTreeMap<Position, Arc<CachedFrame>>,
    arrivals: VecDeque<Position>,
    bytes: usize,
}

impl Frames {
    fn shrink_to(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes {
            let Some(oldest) = self.arrivals.pop_front() else {
                break;
            };
            if let Some(gone) = self.by_first.remove(&oldest) {
                self.bytes -= gone.cost();
            }
        }
    }
}

/// The frames that arrived last, written or read.
#[derive(Debug)]
pub(super) struct FrameCache {
    frames: Mutex<Frames>,
    max_bytes: usize,
}

impl FrameCache {
    /// A cache that keeps `max_bytes` of frames.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            frames: Mutex::default(),
            max_bytes,
        }
    }

    pub(super) fn get(&self, position: Position) -> Option<Arc<CachedFrame>> {
        let frames = guard(&self.frames);
        let (_, frame) = frames.by_first.range(..=position).next_back()?;
        frame.holds(position).then(|| Arc::clone(frame))
    }

    pub(super) fn put(&self, frame: Arc<CachedFrame>) {
        let mut frames = guard(&self.frames);
        let first = frame.frame.first();
        let cost = frame.cost();
        if frames.by_first.insert(first, frame).is_none() {
            frames.bytes += cost;
            frames.arrivals.push_back(first);
        }
        frames.shrink_to(self.max_bytes);
    }

    /// Gives back the most of it, for a time when nobody reads or writes.
    pub(super) fn rest(&self) {
        guard(&self.frames).shrink_to(self.max_bytes / REST_SHARE);
    }
}
