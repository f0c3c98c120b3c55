//! The frame: one group commit (or a part of one) as it stands on disk, for every store.
//!
//! ```text
//! 0        8       10           12          16               24      28             60
//! │ magic  │ format │ frames left │ body bytes │ first position │ count │ previous hash │ body … │ hash │
//! └──────────────────────── covered by the hash (blake3) ─────────────────────────────────────┘   32
//! ```
//! Numbers are little endian. The hash of a frame is the previous hash of the next one: it
//! vouches for everything before it. Magic, length and hash make a frame findable in a raw file,
//! without the database that holds it. The first 60 bytes and the last 32 mean the same in
//! every format, so that an older program can tell a newer frame from a damaged one.

mod body;
mod build;
mod scan;

use bytes::Bytes;

use crate::append_ids::NamedAppend;
use crate::envelope::Recorded;
use crate::log::Position;

pub(crate) use body::{EventView, check_event, put_number, read_number};
pub(crate) use build::{Commit, FrameBuilder, frame_bytes, rebuild};
pub(crate) use scan::find_frames;

/// Starts every frame. Not text that a payload is likely to hold.
pub(crate) const FRAME_MAGIC: [u8; 8] = *b"\xE7KEELFR\x01";

/// The format this program writes.
pub const FRAME_FORMAT: u16 = 1;

/// Largest frame in bytes. sled moves values (and leaves of up to 17 items) over a quarter of a
/// segment to blob files that are never synced: with segments of 2 MiB, 17 × 28 KiB stays below
/// 512 KiB. A largest payload (26 KiB) with its envelope fits in one frame. A store with smaller
/// segments takes smaller frames.
pub const FRAME_MAX_BYTES: usize = 28 * 1024;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 60;

/// Bytes of a blake3 hash.
pub(crate) const HASH_BYTES: usize = 32;

/// The hash before the first frame.
pub(crate) const GENESIS: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// Bytes that are no intact frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not the bytes that were written.
    #[error("{0}")]
    Damaged(String),
    /// Intact, and written by a newer program.
    #[error(
        "frame format {found} is newer than {FRAME_FORMAT}, the newest this program reads; use a newer evenkeel"
    )]
    NewerFormat {
        /// The format of the frame.
        found: u16,
    },
}

fn damaged(what: impl Into<String>) -> FrameError {
    FrameError::Damaged(what.into())
}

/// The fixed part of a frame, not yet vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub format: u16,
    pub frames_left: u16,
    pub body_len: usize,
    pub first: Position,
    pub count: u32,
    pub previous: [u8; HASH_BYTES],
}

impl Header {
    /// Reads a header; nothing in it can be trusted before the hash has been checked.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if field(bytes, 0)? != FRAME_MAGIC {
            return None;
        }
        Some(Self {
            format: u16::from_le_bytes(field(bytes, 8)?),
            frames_left: u16::from_le_bytes(field(bytes, 10)?),
            body_len: usize::try_from(u32::from_le_bytes(field(bytes, 12)?)).ok()?,
            first: u64::from_le_bytes(field(bytes, 16)?),
            count: u32::from_le_bytes(field(bytes, 24)?),
            previous: field(bytes, 28)?,
        })
    }

    fn write(&self, out: &mut [u8; HEADER_BYTES], body_len: u32) {
        out[..8].copy_from_slice(&FRAME_MAGIC);
        out[8..10].copy_from_slice(&self.format.to_le_bytes());
        out[10..12].copy_from_slice(&self.frames_left.to_le_bytes());
        out[12..16].copy_from_slice(&body_len.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..28].copy_from_slice(&self.count.to_le_bytes());
        out[28..].copy_from_slice(&self.previous);
    }

    fn frame_len(&self) -> usize {
        HEADER_BYTES + self.body_len + HASH_BYTES
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A frame whose hash has been verified.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    bytes: Bytes,
    header: Header,
}

impl Frame {
    /// Accepts bytes only when they are exactly one intact frame of a known format.
    pub(crate) fn verify(bytes: Bytes) -> Result<Self, FrameError> {
        let header = Header::read(&bytes).ok_or_else(|| damaged("no frame header"))?;
        if bytes.len() != header.frame_len() {
            return Err(damaged(format!(
                "the frame has {} bytes, its header says {}",
                bytes.len(),
                header.frame_len()
            )));
        }
        let (covered, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
        if blake3::hash(covered).as_bytes() != hash {
            return Err(damaged("the frame's hash does not match its bytes"));
        }
        if header.format > FRAME_FORMAT {
            return Err(FrameError::NewerFormat {
                found: header.format,
            });
        }
        if header.format == 0 || header.count == 0 || header.first == 0 {
            return Err(damaged("the frame's header has a zero where none can be"));
        }
        Ok(Self { bytes, header })
    }

    /// Accepts a frame that stands where it is expected: key, and place in the chain.
    pub(crate) fn verify_next(
        bytes: Bytes,
        first: Position,
        previous: &[u8; HASH_BYTES],
    ) -> Result<Self, FrameError> {
        Self::verify(bytes)?.following(first, previous)
    }

    /// The frame, if it stands where it is expected in the chain.
    pub(crate) fn following(
        self,
        first: Position,
        previous: &[u8; HASH_BYTES],
    ) -> Result<Self, FrameError> {
        if self.first() != first {
            return Err(damaged(format!(
                "the frame starts at position {}, {first} was expected",
                self.first()
            )));
        }
        if self.header.previous != *previous {
            return Err(damaged("the frame does not continue the hash chain"));
        }
        Ok(self)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn first(&self) -> Position {
        self.header.first
    }

    pub(crate) fn last(&self) -> Position {
        self.header
            .first
            .saturating_add(u64::from(self.header.count) - 1)
    }

    pub(crate) fn count(&self) -> u32 {
        self.header.count
    }

    pub(crate) fn format(&self) -> u16 {
        self.header.format
    }

    /// How many frames of the same commit follow.
    pub(crate) fn frames_left(&self) -> u16 {
        self.header.frames_left
    }

    pub(crate) fn previous(&self) -> &[u8; HASH_BYTES] {
        &self.header.previous
    }

    pub(crate) fn hash(&self) -> [u8; HASH_BYTES] {
        field(&self.bytes, self.bytes.len() - HASH_BYTES).unwrap_or(GENESIS)
    }

    fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..self.bytes.len() - HASH_BYTES]
    }

    /// Walks the events without building them: for the index and for picking a few.
    pub(crate) fn walk(&self, mut each: impl FnMut(&EventView<'_>)) -> Result<(), FrameError> {
        let mut reader = body::Reader::new(self.body(), self.first());
        for _ in 0..self.count() {
            each(&reader.next_event().ok_or_else(unreadable)?);
        }
        if reader.is_done() {
            Ok(())
        } else {
            Err(unreadable())
        }
    }

    /// The named appends that begin in this frame.
    pub(crate) fn named_appends(&self) -> Result<Vec<NamedAppend>, FrameError> {
        let mut named = Vec::new();
        self.walk(|view| {
            named.extend(view.append.map(|(id, events)| NamedAppend {
                first: view.position,
                id,
                events,
            }));
        })?;
        Ok(named)
    }

    /// All events. Payloads share the frame's bytes.
    pub(crate) fn events(&self) -> Result<Vec<Recorded>, FrameError> {
        let mut words = body::SharedWords::default();
        let mut events = Vec::with_capacity(self.body().len().min(self.count() as usize));
        let mut readable = true;
        self.walk(|view| match view.recorded(self, &mut words) {
            Some(event) => events.push(event),
            None => readable = false,
        })?;
        if readable {
            Ok(events)
        } else {
            Err(unreadable())
        }
    }
}

impl Frame {
    /// The events at some of its positions, in the frame's order. Walks no further than needed.
    pub(crate) fn pick(
        &self,
        positions: &[Position],
        events: &mut Vec<Recorded>,
    ) -> Result<(), FrameError> {
        let mut words = body::SharedWords::like(events.last());
        let mut reader = body::Reader::new(self.body(), self.first());
        let mut missing = positions.len();
        while missing > 0 {
            let view = reader.next_event().ok_or_else(unreadable)?;
            if positions.contains(&view.position) {
                events.push(view.recorded(self, &mut words).ok_or_else(unreadable)?);
                missing -= 1;
            }
        }
        Ok(())
    }
}

fn unreadable() -> FrameError {
    damaged("the frame's hash is right and its body cannot be read: a fault of the writer")
}

#[cfg(test)]
mod tests;
