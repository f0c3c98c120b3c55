//! Building the frames of one commit: events in, chained frames out.

use bytes::Bytes;

use crate::append_ids::{AppendId, NamedAppend};
use crate::envelope::{NewEvent, Recorded, StreamId};
use crate::frame::body::{EventSource, Writer};
use crate::frame::{FRAME_FORMAT, FRAME_MAX_BYTES, Frame, HASH_BYTES, HEADER_BYTES, Header};
use crate::log::{Head, Position, Version};

/// The frames of one commit, in order, and the head after them.
#[derive(Debug)]
pub(crate) struct Commit {
    pub frames: Vec<Frame>,
    pub head: Head,
}

/// A frame that takes events: room for the header is left in front.
#[derive(Debug)]
struct OpenFrame<'t> {
    first: Position,
    count: u32,
    bytes: Vec<u8>,
    bytes_max: usize,
    writer: Writer<'t>,
}

impl OpenFrame<'_> {
    fn new(first: Position, bytes_max: usize) -> Self {
        let bytes = vec![0; HEADER_BYTES];
        Self {
            first,
            count: 0,
            bytes,
            bytes_max,
            writer: Writer::default(),
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.count == 0 || self.bytes.len() + bytes + HASH_BYTES <= self.bytes_max
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a frame is at most FRAME_MAX_BYTES long"
    )]
    fn seal(mut self, frames_left: u16, previous: [u8; HASH_BYTES]) -> Frame {
        let body_len = self.bytes.len() - HEADER_BYTES;
        let header = Header {
            format: FRAME_FORMAT,
            frames_left,
            body_len,
            first: self.first,
            count: self.count,
            previous,
        };
        let mut head = [0; HEADER_BYTES];
        header.write(&mut head, body_len as u32);
        self.bytes[..HEADER_BYTES].copy_from_slice(&head);
        let hash = blake3::hash(&self.bytes);
        self.bytes.extend_from_slice(hash.as_bytes());
        Frame {
            bytes: Bytes::from(self.bytes),
            header,
        }
    }
}

/// Bytes of a frame that holds this event alone, at most.
pub(crate) fn frame_bytes(stream: &StreamId, event: EventSource<'_, '_>) -> usize {
    HEADER_BYTES + Writer::room_for(stream, &event) + HASH_BYTES
}

/// Takes the events of one commit and gives positions.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    before: Head,
    next: Position,
    full: Vec<OpenFrame<'static>>,
    open: OpenFrame<'static>,
    /// Name and length of the append that the next event begins.
    named: Option<(AppendId, u64)>,
}

impl FrameBuilder {
    pub(crate) fn new(before: Head, frame_max_bytes: usize) -> Self {
        let next = before.position + 1;
        Self {
            before,
            next,
            full: Vec::new(),
            open: OpenFrame::new(next, frame_max_bytes),
            named: None,
        }
    }

    /// The next `events` events are the append of this name.
    pub(crate) fn name_next(&mut self, id: AppendId, events: u64) {
        self.named = Some((id, events));
    }

    /// Adds an event that [`super::check_event`] accepts and gives its position.
    pub(crate) fn push(
        &mut self,
        stream: &StreamId,
        version: Version,
        event: &NewEvent,
    ) -> Position {
        if !self
            .open
            .has_room_for(Writer::room_for(stream, &event.into()))
        {
            let next = OpenFrame::new(self.next, self.open.bytes_max);
            let full = std::mem::replace(&mut self.open, next);
            self.full.push(full);
        }
        self.open.count += 1;
        self.open.writer.put(
            &mut self.open.bytes,
            self.named.take(),
            stream,
            version,
            event.into(),
        );
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.before.position + 1
    }

    pub(crate) fn last(&self) -> Position {
        self.next - 1
    }

    /// Chains and hashes the frames.
    pub(crate) fn finish(self) -> Commit {
        let mut head = self.before;
        let mut frames = Vec::with_capacity(self.full.len() + 1);
        let mut left = self.full.len();
        for open in self.full.into_iter().chain(std::iter::once(self.open)) {
            if open.count == 0 {
                break;
            }
            // A commit is bounded far below 65,536 frames (COMMIT_MAX_BYTES in admission).
            let frame = open.seal(u16::try_from(left).unwrap_or(u16::MAX), head.hash);
            left = left.saturating_sub(1);
            head = Head {
                position: frame.last(),
                hash: frame.hash(),
            };
            frames.push(frame);
        }
        Commit { frames, head }
    }
}

/// Makes one frame anew from the events and the names of appends that stood in it: the same events in the same place give
/// the same bytes, hence the same hash. `None` when they do not fit into one frame.
pub(crate) fn rebuild(
    before: Head,
    frames_left: u16,
    events: &[Recorded],
    named: &[NamedAppend],
) -> Option<Frame> {
    let mut open = OpenFrame::new(before.position + 1, FRAME_MAX_BYTES);
    for event in events {
        if !open.has_room_for(Writer::room_for(&event.stream, &event.into())) {
            return None;
        }
        open.count += 1;
        let named = named.iter().find(|named| named.first == event.position);
        open.writer.put(
            &mut open.bytes,
            named.map(|named| (named.id, named.events)),
            &event.stream,
            event.version,
            event.into(),
        );
    }
    (open.count > 0).then(|| open.seal(frames_left, before.hash))
}
