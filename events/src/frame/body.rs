//! The body of a frame: its events, each as the difference to the one before it.
//!
//! ```text
//! event  = flags(1) [append id 16, events of the append] stream(word) version type(word) payload-version by(word)
//!          [owner 16] [correlation 16] [causation 16] time-difference payload-length payload
//! word   = 0 length bytes   a new word, which gets the next number of this frame
//!        | n                the n-th word of this frame
//! ```
//! Plain numbers are LEB128; the time difference is zigzag. The flags say which of owner,
//! correlation and causation are those of the event before (zero before the first), and whether
//! the event begins an append that has an id.

use std::collections::HashMap;
use std::sync::Arc;

use crate::append_ids::AppendId;
use crate::codec::PAYLOAD_MAX_BYTES;
use crate::envelope::{Causation, Metadata, NewEvent, OwnerKey, Recorded, StreamId};
use crate::frame::{Frame, HEADER_BYTES};
use crate::log::{Position, Version};

const SAME_OWNER: u8 = 1;
const SAME_CORRELATION: u8 = 2;
const SAME_CAUSATION: u8 = 4;
const BEGINS_NAMED_APPEND: u8 = 8;

/// A flag beyond these is not of this format.
const FLAGS: u8 = SAME_OWNER | SAME_CORRELATION | SAME_CAUSATION | BEGINS_NAMED_APPEND;

/// Longest event type or author: its length is one byte.
const WORD_MAX_BYTES: usize = 255;

/// What an event is written from: a new one, or one that was recorded before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventSource<'t, 'e> {
    pub event_type: &'t str,
    pub payload_version: u16,
    pub payload: &'e [u8],
    pub metadata: &'e Metadata,
}

impl<'e> From<&'e NewEvent> for EventSource<'static, 'e> {
    fn from(event: &'e NewEvent) -> Self {
        Self {
            event_type: event.event_type,
            payload_version: event.payload_version,
            payload: &event.payload,
            metadata: &event.metadata,
        }
    }
}

impl<'e> From<&'e Recorded> for EventSource<'e, 'e> {
    fn from(event: &'e Recorded) -> Self {
        Self {
            event_type: &event.event_type,
            payload_version: event.payload_version,
            payload: &event.payload,
            metadata: &event.metadata,
        }
    }
}

/// Says why an event can never be stored.
pub(crate) fn check_event(event: EventSource<'_, '_>) -> Result<(), String> {
    let author = &event.metadata.by;
    if event.payload.len() > PAYLOAD_MAX_BYTES {
        let size = event.payload.len();
        return Err(format!(
            "a payload of {size} bytes, the limit is {PAYLOAD_MAX_BYTES}"
        ));
    }
    if event.event_type.is_empty() || event.event_type.len() > WORD_MAX_BYTES {
        return Err(format!(
            "an event type is 1 to {WORD_MAX_BYTES} bytes, got {:?}",
            event.event_type
        ));
    }
    if author.len() > WORD_MAX_BYTES {
        return Err(format!(
            "an author is at most {WORD_MAX_BYTES} bytes, got {}",
            author.len()
        ));
    }
    Ok(())
}

/// What an event shares with the one before it.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    owner: u128,
    correlation: u128,
    causation: u128,
    recorded_at_us: i64,
}

/// Writes events into a body.
#[derive(Debug, Default)]
pub(super) struct Writer<'t> {
    before: Before,
    words: HashMap<Arc<str>, u64>,
    types: HashMap<&'t str, u64>,
    word_count: u64,
}

impl<'t> Writer<'t> {
    /// An upper bound of what [`Writer::put`] will write.
    pub(super) fn room_for(stream: &StreamId, event: &EventSource<'_, '_>) -> usize {
        const NUMBERS: usize = 1 + 6 * 10 + 4 * 16 + 3 * 2;
        let words = stream.as_str().len() + event.event_type.len() + event.metadata.by.len();
        NUMBERS + words + event.payload.len()
    }

    pub(super) fn put(
        &mut self,
        out: &mut Vec<u8>,
        named: Option<(AppendId, u64)>,
        stream: &StreamId,
        version: Version,
        event: EventSource<'t, '_>,
    ) {
        let meta = event.metadata;
        let flags_at = out.len();
        out.push(0);
        if let Some((id, events)) = named {
            out.extend_from_slice(&id.0.to_le_bytes());
            put_number(out, events);
        }
        self.put_word(out, stream.shared());
        put_number(out, version);
        self.put_type(out, event.event_type);
        put_number(out, u64::from(event.payload_version));
        self.put_word(out, &meta.by);
        let mut flags = put_unless_same(out, &mut self.before.owner, meta.owner.0, SAME_OWNER);
        flags |= put_unless_same(
            out,
            &mut self.before.correlation,
            meta.cause.correlation,
            SAME_CORRELATION,
        );
        flags |= put_unless_same(
            out,
            &mut self.before.causation,
            meta.cause.causation,
            SAME_CAUSATION,
        );
        if named.is_some() {
            flags |= BEGINS_NAMED_APPEND;
        }
        out[flags_at] = flags;
        put_number(
            out,
            zigzag(meta.recorded_at_us.wrapping_sub(self.before.recorded_at_us)),
        );
        self.before.recorded_at_us = meta.recorded_at_us;
        put_number(out, event.payload.len() as u64);
        out.extend_from_slice(event.payload);
    }

    fn put_word(&mut self, out: &mut Vec<u8>, word: &Arc<str>) {
        if let Some(number) = self.words.get(word) {
            return put_number(out, *number);
        }
        self.word_count += 1;
        self.words.insert(Arc::clone(word), self.word_count);
        put_new_word(out, word);
    }

    fn put_type(&mut self, out: &mut Vec<u8>, event_type: &'t str) {
        if let Some(number) = self.types.get(event_type) {
            return put_number(out, *number);
        }
        self.word_count += 1;
        self.types.insert(event_type, self.word_count);
        put_new_word(out, event_type);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "stream names and checked words are at most 255 bytes"
)]
fn put_new_word(out: &mut Vec<u8>, word: &str) {
    out.push(0);
    out.push(word.len() as u8);
    out.extend_from_slice(word.as_bytes());
}

fn put_unless_same(out: &mut Vec<u8>, before: &mut u128, now: u128, flag: u8) -> u8 {
    if *before == now {
        return flag;
    }
    *before = now;
    out.extend_from_slice(&now.to_le_bytes());
    0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a LEB128 byte is the low seven bits of the number"
)]
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// An event where it lies, nothing copied.
#[derive(Debug, Clone)]
pub(crate) struct EventView<'a> {
    pub position: Position,
    pub stream: &'a str,
    pub version: Version,
    /// Name and number of events of the append that begins here.
    pub append: Option<(AppendId, u64)>,
    stream_word: usize,
    type_word: usize,
    author_word: usize,
    event_type: &'a str,
    author: &'a str,
    payload_version: u16,
    before: Before,
    /// Where the payload lies in the body.
    payload: (usize, usize),
}

/// The words of one frame as shared strings, made when first asked for.
#[derive(Debug, Default)]
pub(crate) struct SharedWords {
    words: Vec<Option<Arc<str>>>,
    streams: Vec<Option<StreamId>>,
    /// From an event of another frame: those of one stream mostly have the same words.
    known: Option<(StreamId, [Arc<str>; 2])>,
}

impl SharedWords {
    /// Shares what it can with an event of another frame.
    pub(super) fn like(event: Option<&Recorded>) -> Self {
        let words = |event: &Recorded| {
            let words = [&event.event_type, &event.metadata.by].map(Arc::clone);
            (event.stream.clone(), words)
        };
        Self {
            known: event.map(words),
            ..Self::default()
        }
    }

    fn word(&mut self, number: usize, word: &str) -> Arc<str> {
        let known = self.known.iter().flat_map(|(_, words)| words);
        let mut known = known.filter(|known| &***known == word);
        let slot = slot(&mut self.words, number);
        let made = || known.next().map_or_else(|| Arc::from(word), Arc::clone);
        Arc::clone(slot.get_or_insert_with(made))
    }

    fn stream(&mut self, number: usize, name: &str) -> Option<StreamId> {
        let known = self.known.as_ref().map(|(stream, _)| stream);
        let slot = slot(&mut self.streams, number);
        if slot.is_none() {
            let known = known.filter(|known| known.as_str() == name).cloned();
            *slot = known.or_else(|| StreamId::new(name).ok());
        }
        slot.clone()
    }
}

fn slot<T: Clone>(slots: &mut Vec<Option<T>>, number: usize) -> &mut Option<T> {
    if slots.len() <= number {
        slots.resize(number + 1, None);
    }
    &mut slots[number]
}

impl EventView<'_> {
    pub(crate) fn recorded(&self, frame: &Frame, words: &mut SharedWords) -> Option<Recorded> {
        let (start, end) = (HEADER_BYTES + self.payload.0, HEADER_BYTES + self.payload.1);
        Some(Recorded {
            position: self.position,
            stream: words.stream(self.stream_word, self.stream)?,
            version: self.version,
            event_type: words.word(self.type_word, self.event_type),
            payload_version: self.payload_version,
            payload: frame.bytes().slice(start..end),
            metadata: Metadata {
                owner: OwnerKey(self.before.owner),
                by: words.word(self.author_word, self.author),
                cause: Causation {
                    correlation: self.before.correlation,
                    causation: self.before.causation,
                },
                recorded_at_us: self.before.recorded_at_us,
            },
        })
    }
}

/// Reads events out of a body. Every length is checked: `None` is a body that cannot be read.
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    position: Position,
    before: Before,
    words: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], first: Position) -> Self {
        Self {
            body,
            at: 0,
            position: first,
            before: Before::default(),
            words: Vec::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.body.len()
    }

    pub(super) fn next_event(&mut self) -> Option<EventView<'a>> {
        let flags = self.take(1)?[0];
        if flags & !FLAGS != 0 {
            return None;
        }
        let append = if flags & BEGINS_NAMED_APPEND == 0 {
            None
        } else {
            let id = self.take(16)?.try_into().ok().map(u128::from_le_bytes)?;
            Some((AppendId(id), self.number()?))
        };
        let stream_word = self.word()?;
        let version = self.number()?;
        let type_word = self.word()?;
        let payload_version = u16::try_from(self.number()?).ok()?;
        let author_word = self.word()?;
        self.before.owner = self.wide_unless(flags & SAME_OWNER != 0, self.before.owner)?;
        self.before.correlation =
            self.wide_unless(flags & SAME_CORRELATION != 0, self.before.correlation)?;
        self.before.causation =
            self.wide_unless(flags & SAME_CAUSATION != 0, self.before.causation)?;
        let difference = unzigzag(self.number()?);
        self.before.recorded_at_us = self.before.recorded_at_us.wrapping_add(difference);
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)?;
        let position = self.position;
        self.position = position.checked_add(1)?;
        Some(EventView {
            position,
            stream: self.words[stream_word],
            version,
            append,
            stream_word,
            type_word,
            author_word,
            event_type: self.words[type_word],
            author: self.words[author_word],
            payload_version,
            before: self.before,
            payload: (self.at - length, self.at),
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.body.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    /// The index of a word that is known to this frame.
    fn word(&mut self) -> Option<usize> {
        let number = usize::try_from(self.number()?).ok()?;
        if number > 0 {
            return (number <= self.words.len()).then(|| number - 1);
        }
        let length = usize::from(self.take(1)?[0]);
        let word = std::str::from_utf8(self.take(length)?).ok()?;
        self.words.push(word);
        Some(self.words.len() - 1)
    }

    fn wide_unless(&mut self, same: bool, before: u128) -> Option<u128> {
        if same {
            return Some(before);
        }
        self.take(16)?.try_into().ok().map(u128::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, length) = read_number(self.body.get(self.at..)?)?;
        self.at += length;
        Some(number)
    }
}

/// A LEB128 number and how many bytes it took; `None` when cut off or over 64 bits.
pub(crate) fn read_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7F);
        if at == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}
