//! Where intact frames lie in the raw files, and which chain they form, without the database.
//!
//! ```text
//! journal, files below sled/ ─► every intact frame, each once ─► who continues whom ─► the chain to the tip
//! ```
//! A frame says itself where it belongs, so this works whatever the database thinks, and also
//! while another process writes: nothing is opened for writing, nothing is locked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::SLED_DIR;
use super::seal::files;
use super::tip::TIP_FILE;
use crate::frame::{FRAME_MAX_BYTES, Frame, GENESIS, HASH_BYTES, find_frames};
use crate::log::{Head, Position};

/// Bytes looked at at once; windows overlap by two largest frames. Every start scans: a larger
/// window would stay in the heap of an idle server.
const WINDOW_BYTES: usize = 1 << 20;

/// Files of a database that are looked at; sled has a handful.
const FILES_MAX: usize = u16::MAX as usize;

/// What is given up at once where the disk refuses to read.
const SECTOR_BYTES: usize = 4096;

/// The start of a hash: enough to find a frame by. Frames are verified in full when they are read.
type Short = u64;

fn short(hash: &[u8; HASH_BYTES]) -> Short {
    let mut start = [0; 8];
    start.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(start)
}

/// An intact frame in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub first: Position,
    pub last: Position,
    hash: Short,
    previous: Short,
    offset: u64,
    len: u32,
    file: u16,
    pub frames_left: u16,
}

/// A place where a frame begins that is not intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFrame {
    /// The file below the log's directory.
    pub file: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// The position that it claims to start at; its bytes cannot be trusted.
    pub claims: Position,
}

/// All intact frames of a log's raw files, by first position.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: Vec<String>,
    files: Vec<File>,
    frames: Vec<Place>,
    pub broken: Vec<BrokenFrame>,
    /// Position and format of an intact frame that a newer program wrote.
    pub newer: Option<(Position, u16)>,
    /// Bytes that the disk refused to read.
    pub unreadable_bytes: u64,
}

impl Places {
    pub(super) fn scan(dir: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        // The journal first: what a live writer overwrites there lies in the database by then.
        if dir.join(TIP_FILE).exists() {
            all.take_file(dir, TIP_FILE.to_owned())?;
        }
        // Any file of the database can hold frames.
        for name in files(&dir.join(SLED_DIR))?.into_iter().take(FILES_MAX - 1) {
            all.take_file(dir, format!("{SLED_DIR}/{name}"))?;
        }
        all.frames
            .sort_unstable_by_key(|place| (place.first, place.hash, place.offset));
        all.frames
            .dedup_by_key(|place| (place.first, place.hash, place.previous));
        Ok(all)
    }

    fn take_file(&mut self, dir: &Path, name: String) -> io::Result<()> {
        let at = self.files.len();
        self.files.push(File::open(dir.join(&name))?);
        self.names.push(name);
        let len = self.files[at].metadata()?.len();
        let mut start = 0;
        while start < len {
            let (window, unreadable) = read_window(&self.files[at], start, len)?;
            self.unreadable_bytes += unreadable;
            self.take_window(at, start, &window);
            start += WINDOW_BYTES as u64;
        }
        Ok(())
    }

    fn take_window(&mut self, file: usize, start: u64, window: &Bytes) {
        for found in find_frames(window) {
            if found.offset >= WINDOW_BYTES {
                continue;
            }
            let offset = start + found.offset as u64;
            match (found.frame, found.newer_format) {
                (Some(frame), _) => self.frames.push(place_of(&frame, file, offset)),
                (None, Some(format)) => {
                    self.newer = self.newer.max(Some((found.first, format)));
                }
                (None, None) => self.broken.push(BrokenFrame {
                    file: self.names[file].clone(),
                    offset,
                    claims: found.first,
                }),
            }
        }
    }

    /// Reads a frame again and verifies it.
    pub(super) fn read(&self, place: &Place) -> io::Result<Option<Frame>> {
        let mut bytes = vec![0; place.len as usize];
        match self.files[usize::from(place.file)].read_exact_at(&mut bytes, place.offset) {
            Ok(()) => {}
            // The file has become shorter: what lay there lies elsewhere now, or is gone.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let frame = Frame::verify(Bytes::from(bytes)).ok();
        Ok(frame.filter(|frame| short(&frame.hash()) == place.hash))
    }

    /// The frames that continue one that ends at `last` with this hash.
    fn successors(&self, last: Position, hash: Short) -> impl Iterator<Item = usize> {
        let first = last.saturating_add(1);
        let start = self.frames.partition_point(|place| place.first < first);
        let same = self.frames[start..]
            .iter()
            .take_while(move |place| place.first == first);
        same.enumerate()
            .filter(move |(_, place)| place.previous == hash)
            .map(move |(at, _)| start + at)
    }

    /// What each frame leads to: a wanted head (the earlier in `wanted`, the better), and how far.
    fn ranks(&self, wanted: &[Head]) -> Vec<(usize, Position)> {
        let mut ranks = vec![(0, 0); self.frames.len()];
        for at in (0..self.frames.len()).rev() {
            let place = &self.frames[at];
            let is = |head: &Head| head.position == place.last && short(&head.hash) == place.hash;
            let own = wanted.iter().position(is).map_or(0, |n| wanted.len() - n);
            let mut best = (own, place.last);
            for next in self.successors(place.last, place.hash) {
                let (leads, reach): (usize, Position) = ranks[next];
                best = best.max((leads.max(own), reach));
            }
            ranks[at] = best;
        }
        ranks
    }

    /// The chain from the beginning. At a fork it takes the branch that leads to a wanted head,
    /// else the longest one.
    pub(super) fn chain(&self, wanted: &[Head]) -> Vec<Place> {
        let ranks = self.ranks(wanted);
        self.walk(&ranks, 0, short(&GENESIS))
    }

    fn walk(&self, ranks: &[(usize, Position)], mut last: Position, mut hash: Short) -> Vec<Place> {
        let mut chain = Vec::new();
        while let Some(at) = self.successors(last, hash).max_by_key(|at| ranks[*at]) {
            let place = self.frames[at];
            (last, hash) = (place.last, place.hash);
            chain.push(place);
        }
        chain
    }

    /// The frames that are in no chain from the beginning, as chains of their own, in order.
    pub(super) fn orphans(&self, chain: &[Place], wanted: &[Head]) -> Vec<Vec<Place>> {
        let ranks = self.ranks(wanted);
        let key = |place: &Place| (place.first, place.hash, place.previous);
        let mut taken: std::collections::HashSet<_> = chain.iter().map(key).collect();
        let mut orphans = Vec::new();
        for place in &self.frames {
            if !taken.insert(key(place)) {
                continue;
            }
            let mut run = vec![*place];
            run.extend(self.walk(&ranks, place.last, place.hash));
            let fresh = 1 + run[1..].iter().take_while(|p| taken.insert(key(p))).count();
            run.truncate(fresh);
            orphans.push(run);
        }
        orphans
    }
}

/// The part of a chain that consists of whole commits.
pub(super) fn whole_commits(chain: &[Place]) -> &[Place] {
    let end = chain.iter().rposition(|place| place.frames_left == 0);
    &chain[..end.map_or(0, |at| at + 1)]
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a frame is at most FRAME_MAX_BYTES long, a store has a handful of files"
)]
fn place_of(frame: &Frame, file: usize, offset: u64) -> Place {
    Place {
        first: frame.first(),
        last: frame.last(),
        hash: short(&frame.hash()),
        previous: short(frame.previous()),
        offset,
        len: frame.bytes().len() as u32,
        file: file as u16,
        frames_left: frame.frames_left(),
    }
}

/// A window of the file, and how much of it the disk refused; that part reads as zeros.
fn read_window(file: &File, start: u64, len: u64) -> io::Result<(Bytes, u64)> {
    let wanted = (WINDOW_BYTES + 2 * FRAME_MAX_BYTES) as u64;
    let size = usize::try_from(wanted.min(len - start)).unwrap_or(WINDOW_BYTES);
    let mut window = vec![0; size];
    match file.read_exact_at(&mut window, start) {
        Ok(()) => return Ok((Bytes::from(window), 0)),
        // A live file may be cut while it is read: what is there counts.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        Err(_) => {}
    }
    let mut unreadable = 0;
    for (at, sector) in window.chunks_mut(SECTOR_BYTES).enumerate() {
        if file
            .read_exact_at(sector, start + (at * SECTOR_BYTES) as u64)
            .is_err()
        {
            sector.fill(0);
            unreadable += sector.len() as u64;
        }
    }
    Ok((Bytes::from(window), unreadable))
}
