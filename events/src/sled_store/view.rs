//! A look at a log that changes nothing: read from the raw files, also while a server writes them.
//!
//! ```text
//! tip ─► scan of its journal and of sled's files ─► the chain that passes the tip ─► frames, verified as they are read
//! ```
//! It ends where the last whole commit ends. What a live database moves meanwhile is looked for
//! again; a chain that does not reach the acknowledged head is an error, never a shorter log.

use std::path::{Path, PathBuf};

use super::SLED_DIR;
use super::format::{self, FORMAT_FILE, Marker, STORE_FORMAT};
use super::places::{Place, Places, whole_commits};
use super::tip::Tip;
use super::upkeep::UpkeepError;
use crate::append_ids::NamedAppend;
use crate::envelope::Recorded;
use crate::frame::{FRAME_FORMAT, Frame, GENESIS};
use crate::log::{Head, Position};
use bytes::Bytes;

/// How often the files are scanned again when a live database has moved what was found.
const SCANS_MAX: usize = 8;

/// A frame as it is stored.
#[derive(Debug, Clone)]
pub struct StoredFrame {
    frame: Frame,
}

impl StoredFrame {
    pub(super) fn new(frame: Frame) -> Self {
        Self { frame }
    }

    pub(super) fn into_frame(self) -> Frame {
        self.frame
    }

    /// The format it was written in.
    pub fn format(&self) -> u16 {
        self.frame.format()
    }

    /// Position of its first event.
    pub fn first(&self) -> Position {
        self.frame.first()
    }

    /// Position of its last event.
    pub fn last(&self) -> Position {
        self.frame.last()
    }

    /// How many frames of the same commit follow it.
    pub fn frames_left(&self) -> u16 {
        self.frame.frames_left()
    }

    /// The head before it.
    pub fn before(&self) -> Head {
        Head {
            position: self.first().saturating_sub(1),
            hash: *self.frame.previous(),
        }
    }

    /// The head after it.
    pub fn head(&self) -> Head {
        Head {
            position: self.last(),
            hash: self.frame.hash(),
        }
    }

    /// Its bytes, header and hash included.
    pub fn bytes(&self) -> &Bytes {
        self.frame.bytes()
    }

    /// The named appends that begin in it.
    pub fn named_appends(&self) -> Result<Vec<NamedAppend>, UpkeepError> {
        self.frame
            .named_appends()
            .map_err(|error| UpkeepError::of_frame(self.first(), error))
    }

    /// Its events.
    pub fn events(&self) -> Result<Vec<Recorded>, UpkeepError> {
        self.frame
            .events()
            .map_err(|error| UpkeepError::of_frame(self.first(), error))
    }
}

/// A log opened for reading only.
#[derive(Debug)]
pub struct LogView {
    dir: PathBuf,
    tip: Tip,
    places: Places,
    chain: Vec<Place>,
}

/// The head that was acknowledged last, as the log's tip tells it: to be had at any time.
pub fn acknowledged_head(dir: impl AsRef<Path>) -> Result<Head, UpkeepError> {
    let dir = dir.as_ref();
    let tip = read_tip(dir)?;
    tip.must_contain()
        .ok_or_else(|| no_witness("both slots of the tip are damaged"))
}

impl LogView {
    /// Looks at the log in `dir`. Blocks for a scan of its files.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, UpkeepError> {
        let dir = dir.as_ref();
        check_marker(dir)?;
        let tip = read_tip(dir)?;
        let mut view = Self {
            dir: dir.to_owned(),
            tip,
            places: Places::default(),
            chain: Vec::new(),
        };
        for _ in 0..SCANS_MAX {
            view.scan()?;
            if view.reaches_tip() {
                return Ok(view);
            }
        }
        Err(view.ends_early())
    }

    fn scan(&mut self) -> Result<(), UpkeepError> {
        self.places = Places::scan(&self.dir).map_err(|e| UpkeepError::io(&self.dir, &e))?;
        let wanted: Vec<Head> = [self.tip.must_contain(), self.tip.intended]
            .into_iter()
            .flatten()
            .collect();
        let chain = self.places.chain(&wanted);
        self.chain = whole_commits(&chain).to_vec();
        Ok(())
    }

    fn acknowledged(&self) -> Position {
        self.tip.must_contain().map_or(0, |head| head.position)
    }

    fn reaches_tip(&self) -> bool {
        self.end() >= self.acknowledged()
    }

    fn end(&self) -> Position {
        self.chain.last().map_or(0, |place| place.last)
    }

    fn ends_early(&self) -> UpkeepError {
        let position = self.end() + 1;
        if let Some((_, found)) = self.places.newer.filter(|(at, _)| *at >= position) {
            return UpkeepError::NewerFormat {
                found,
                supported: FRAME_FORMAT,
            };
        }
        UpkeepError::Damaged {
            position,
            detail: format!(
                "no intact frame continues the log here, events up to position {} were acknowledged",
                self.acknowledged()
            ),
        }
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Position of the last event.
    pub fn last(&self) -> Position {
        self.end()
    }

    /// How many frames there are.
    pub fn frame_count(&self) -> usize {
        self.chain.len()
    }

    /// The frames from the one that holds the event after `after`, in order. Each is verified
    /// and continues the one before; after an error there is nothing more.
    pub fn frames(&mut self, after: Position) -> Frames<'_> {
        let next = self.chain.partition_point(|place| place.last <= after);
        Frames {
            view: self,
            next,
            before: None,
        }
    }

    /// The frame that holds a position; none past the end.
    pub fn frame(&mut self, position: Position) -> Result<Option<StoredFrame>, UpkeepError> {
        self.frames(position.saturating_sub(1)).next().transpose()
    }

    /// Up to `limit` events after a position.
    pub fn read(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, UpkeepError> {
        let mut events = Vec::new();
        for frame in self.frames(after) {
            let frame = frame?.events()?;
            events.extend(frame.into_iter().filter(|event| event.position > after));
            if events.len() >= limit {
                events.truncate(limit);
                break;
            }
        }
        Ok(events)
    }

    /// The frame at a place of the chain, looked for again when it was moved.
    fn read_place(&mut self, at: usize) -> Result<Option<Frame>, UpkeepError> {
        for _ in 0..SCANS_MAX {
            let Some(place) = self.chain.get(at).copied() else {
                return Ok(None);
            };
            let read = self.places.read(&place);
            if let Some(frame) = read.map_err(|e| UpkeepError::io(&self.dir, &e))? {
                return Ok(Some(frame));
            }
            self.scan()?;
        }
        Err(self.ends_early())
    }
}

/// Frames in order.
pub struct Frames<'a> {
    view: &'a mut LogView,
    next: usize,
    before: Option<Head>,
}

impl Frames<'_> {
    fn advance(&mut self) -> Result<Option<StoredFrame>, UpkeepError> {
        let Some(frame) = self.view.read_place(self.next)? else {
            return Ok(None);
        };
        let genesis = Head {
            position: 0,
            hash: GENESIS,
        };
        let before = if self.next == 0 {
            Some(genesis)
        } else {
            self.before
        };
        if before.is_some_and(|head| {
            frame.first() != head.position + 1 || *frame.previous() != head.hash
        }) {
            return Err(UpkeepError::Damaged {
                position: frame.first(),
                detail: "the frame does not continue the hash chain".into(),
            });
        }
        self.check_tip(&frame)?;
        self.next += 1;
        let frame = StoredFrame::new(frame);
        self.before = Some(frame.head());
        Ok(Some(frame))
    }

    fn check_tip(&self, frame: &Frame) -> Result<(), UpkeepError> {
        let passes = |tip: Head| tip.position != frame.last() || tip.hash == frame.hash();
        let inside = |tip: Head| (frame.first()..frame.last()).contains(&tip.position);
        match self.view.tip.must_contain() {
            Some(tip) if !passes(tip) || inside(tip) => Err(UpkeepError::Damaged {
                position: frame.first(),
                detail: format!(
                    "the chain does not pass the head that the tip vouches for at position {}",
                    tip.position
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<StoredFrame, UpkeepError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.next = usize::MAX;
        }
        next
    }
}

pub(super) fn check_marker(dir: &Path) -> Result<(), UpkeepError> {
    if !dir.join(SLED_DIR).exists() && !dir.join(FORMAT_FILE).exists() {
        return Err(UpkeepError::NoLog(dir.display().to_string()));
    }
    match format::read(dir)? {
        Marker::Current | Marker::Older => Ok(()),
        Marker::Newer { found } => Err(UpkeepError::NewerFormat {
            found,
            supported: STORE_FORMAT,
        }),
        Marker::Missing => Err(no_witness("the format marker is missing")),
        Marker::Damaged => Err(no_witness("the format marker is damaged")),
    }
}

fn read_tip(dir: &Path) -> Result<Tip, UpkeepError> {
    let tip = Tip::read(dir).map_err(|error| UpkeepError::io(dir, &error))?;
    match tip {
        Some(tip) if tip.must_contain().is_some() => Ok(tip),
        Some(_) => Err(no_witness(
            "both slots of the tip are damaged: nothing vouches for the end of the log",
        )),
        None if dir.join(SLED_DIR).exists() => Err(no_witness(
            "the tip is missing: nothing vouches for the end of the log",
        )),
        None => Err(UpkeepError::NoLog(dir.display().to_string())),
    }
}

fn no_witness(detail: &str) -> UpkeepError {
    UpkeepError::Damaged {
        position: 1,
        detail: detail.to_owned(),
    }
}
