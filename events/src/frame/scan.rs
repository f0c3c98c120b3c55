//! Finding intact frames in raw bytes, whatever the database that wrote them thinks.

use bytes::Bytes;

use crate::frame::{FRAME_MAGIC, FRAME_MAX_BYTES, Frame, FrameError, Header};
use crate::log::Position;

/// A place in a raw file where a frame starts.
#[derive(Debug, Clone)]
pub(crate) struct FoundFrame {
    /// Byte offset of the magic.
    pub offset: usize,
    /// What the header says; to be trusted only when `frame` is there.
    pub first: Position,
    /// The frame, when it is intact.
    pub frame: Option<Frame>,
    /// The format of an intact frame that a newer program wrote.
    pub newer_format: Option<u16>,
}

/// All places in `raw` that look like the start of a frame, in order of offset.
pub(crate) fn find_frames(raw: &Bytes) -> Vec<FoundFrame> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = next_magic(raw, at) {
        at = offset + 1;
        let Some(header) = Header::read(&raw[offset..]) else {
            continue;
        };
        let end = offset + header.frame_len().min(2 * FRAME_MAX_BYTES);
        let verified = (end <= raw.len()).then(|| Frame::verify(raw.slice(offset..end)));
        let newer_format = match &verified {
            Some(Err(FrameError::NewerFormat { found })) => Some(*found),
            _ => None,
        };
        let frame = verified.and_then(Result::ok);
        if frame.is_some() || newer_format.is_some() {
            at = end;
        }
        found.push(FoundFrame {
            offset,
            first: header.first,
            frame,
            newer_format,
        });
    }
    found
}

fn next_magic(raw: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += raw
            .get(at..)?
            .iter()
            .position(|byte| *byte == FRAME_MAGIC[0])?;
        if raw[at..].starts_with(&FRAME_MAGIC) {
            return Some(at);
        }
        at += 1;
    }
}
