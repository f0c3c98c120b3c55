//! Salvage: every intact frame out of the raw files, whatever is left of the database.
//!
//! ```text
//! files ─► intact frames ─┬─► the unbroken chain from position 1 ─► a new log at TO
//!                         └─► what lies beyond a gap ─► handed to the caller, run by run
//! ```
//! What is missing is told in positions: from the first one to the acknowledged head, or to the
//! last frame that was found when no tip is left.

use std::path::Path;

use super::SLED_DIR;
use super::fresh::FreshStore;
use super::places::{BrokenFrame, Place, Places, whole_commits};
use super::tip::Tip;
use super::upkeep::UpkeepError;
use super::view::StoredFrame;
use crate::frame::FRAME_FORMAT;
use crate::log::{Head, Position};

/// Positions from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first position.
    pub first: Position,
    /// The last position.
    pub last: Position,
}

/// Frames that are intact and continue one another, and that the new log could not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Their positions.
    pub span: Span,
    /// How many frames.
    pub frames: usize,
    /// The new log holds other events at these positions: the run is of a history that was cut
    /// off, or of a commit that was never acknowledged.
    pub superseded: bool,
}

/// What salvage found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// The end of the new log.
    pub head: Head,
    /// Frames in the new log.
    pub frames: usize,
    /// The head that the tip says was acknowledged; none when the tip is lost.
    pub acknowledged: Option<Head>,
    /// Positions that no intact frame holds.
    pub missing: Vec<Span>,
    /// Intact frames that are not in the new log.
    pub runs: Vec<Run>,
    /// Places where a frame begins that is not intact. Stale copies of frames that are intact
    /// elsewhere are among them.
    pub broken: Vec<BrokenFrame>,
    /// Bytes that the disk refused to read.
    pub unreadable_bytes: u64,
}

impl SalvageReport {
    /// Whether the new log holds everything that was acknowledged, and somebody vouches for that.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
            && self.acknowledged.is_some()
            && self.runs.iter().all(|run| run.superseded)
    }
}

/// Takes a run's frames, in order.
pub type KeepFrame<'a> = &'a mut dyn FnMut(&Run, &StoredFrame) -> std::io::Result<()>;

/// Brings every intact frame of the log in `from` back: the unbroken chain as a new log in `to`,
/// all others through `keep`. The files in `from` are only read.
pub fn salvage(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    keep: KeepFrame<'_>,
) -> Result<SalvageReport, UpkeepError> {
    let from = from.as_ref();
    if !from.join(SLED_DIR).is_dir() {
        return Err(UpkeepError::NoLog(from.display().to_string()));
    }
    let places = Places::scan(from).map_err(|error| UpkeepError::io(from, &error))?;
    if let Some((_, found)) = places.newer {
        let supported = FRAME_FORMAT;
        return Err(UpkeepError::NewerFormat { found, supported });
    }
    // A tip that cannot be read is one more thing that is lost, not a reason to stop.
    let tip = Tip::read(from).ok().flatten();
    let acknowledged = tip.and_then(|tip| tip.must_contain());
    let wanted: Vec<Head> = acknowledged
        .into_iter()
        .chain(tip.and_then(|tip| tip.intended))
        .collect();
    let full = places.chain(&wanted);
    let chain = whole_commits(&full);
    let head = write_chain(&places, chain, to.as_ref())?;
    let runs = keep_runs(&places, chain, &wanted, head.position, keep)?;
    let missing = missing(&head, &runs, acknowledged);
    Ok(SalvageReport {
        head,
        frames: chain.len(),
        acknowledged,
        missing,
        runs,
        broken: places.broken,
        unreadable_bytes: places.unreadable_bytes,
    })
}

fn write_chain(places: &Places, chain: &[Place], to: &Path) -> Result<Head, UpkeepError> {
    let mut store = FreshStore::create(to)?;
    for place in chain {
        store.take(read(places, place)?.into_frame())?;
    }
    store.finish()
}

fn read(places: &Places, place: &Place) -> Result<StoredFrame, UpkeepError> {
    let frame = places.read(place)?.ok_or_else(|| UpkeepError::Damaged {
        position: place.first,
        detail: "the files changed while they were read: is a process writing there?".into(),
    })?;
    Ok(StoredFrame::new(frame))
}

fn keep_runs(
    places: &Places,
    chain: &[Place],
    wanted: &[Head],
    end: Position,
    keep: KeepFrame<'_>,
) -> Result<Vec<Run>, UpkeepError> {
    let mut runs = Vec::new();
    for orphans in places.orphans(chain, wanted) {
        let (Some(first), Some(last)) = (orphans.first(), orphans.last()) else {
            continue;
        };
        let run = Run {
            span: Span {
                first: first.first,
                last: last.last,
            },
            frames: orphans.len(),
            superseded: last.last <= end,
        };
        for place in &orphans {
            keep(&run, &read(places, place)?)?;
        }
        runs.push(run);
    }
    Ok(runs)
}

/// The positions up to the last known one that nothing intact holds.
fn missing(head: &Head, runs: &[Run], acknowledged: Option<Head>) -> Vec<Span> {
    let mut spans: Vec<Span> = runs.iter().map(|run| run.span).collect();
    spans.sort_unstable();
    let mut missing = Vec::new();
    let mut next = head.position + 1;
    for span in spans {
        if span.first > next {
            missing.push(Span {
                first: next,
                last: span.first - 1,
            });
        }
        next = next.max(span.last.saturating_add(1));
    }
    let end = acknowledged.map_or(0, |head| head.position);
    if end >= next {
        missing.push(Span {
            first: next,
            last: end,
        });
    }
    missing
}
