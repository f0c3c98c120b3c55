//! The raw database file and the journal, read for frames without sled: what is intact, and what
//! lies where.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use crate::frame::{FRAME_MAX_BYTES, Frame, GENESIS, HASH_BYTES, find_frames};
use crate::log::{Head, Position};
use crate::sled_store::SLED_DIR;
use crate::sled_store::journal::Journal;

/// Bytes looked at at once; windows overlap by the largest frame.
const WINDOW_BYTES: usize = 16 << 20;

/// A copy of a frame in the file.
#[derive(Debug, Clone, Copy)]
struct Copy {
    offset: u64,
    first: Position,
    intact: bool,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    events_end: Position,
    hash: [u8; HASH_BYTES],
}

/// All frames that the files hold, live or stale.
#[derive(Debug, Default)]
pub(in crate::sled_store) struct RawLog {
    copies: Vec<Copy>,
    /// Intact frames by the hash before them: the chain, with forks where a commit was cut short.
    links: HashMap<(Position, [u8; HASH_BYTES]), Vec<Link>>,
}

impl RawLog {
    pub(in crate::sled_store) fn scan(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir.join(SLED_DIR).join("db"))?;
        let len = file.metadata()?.len();
        let mut raw = Self::default();
        for frame in Journal::read(dir)?.frames() {
            raw.link(frame);
        }
        let mut start = 0;
        while start < len {
            let window = read_window(&file, start, len)?;
            raw.take_window(start, &window);
            start += WINDOW_BYTES as u64;
        }
        Ok(raw)
    }

    fn take_window(&mut self, start: u64, window: &Bytes) {
        for found in find_frames(window)
            .into_iter()
            .filter(|found| found.offset < WINDOW_BYTES)
        {
            let intact = found.frame.is_some();
            self.copies.push(Copy {
                offset: start + found.offset as u64,
                first: found.first,
                intact,
            });
            if let Some(frame) = found.frame {
                self.link(&frame);
            }
        }
    }

    fn link(&mut self, frame: &Frame) {
        let link = Link {
            events_end: frame.last(),
            hash: frame.hash(),
        };
        let key = (frame.first(), *frame.previous());
        self.links.entry(key).or_default().push(link);
    }

    /// The end of the intact chain that starts at the beginning.
    pub(in crate::sled_store) fn head(&self) -> Head {
        self.chain().1
    }

    /// How many frames the intact chain has.
    pub(super) fn frames(&self) -> u64 {
        self.chain().0
    }

    fn chain(&self) -> (u64, Head) {
        let mut head = Head {
            position: 0,
            hash: GENESIS,
        };
        let mut frames = 0;
        while let Some(links) = self.links.get(&(head.position + 1, head.hash)) {
            let continues =
                |link: &&Link| self.links.contains_key(&(link.events_end + 1, link.hash));
            let Some(link) = links.iter().find(continues).or(links.first()) else {
                break;
            };
            head = Head {
                position: link.events_end,
                hash: link.hash,
            };
            frames += 1;
        }
        (frames, head)
    }

    /// The log position that a changed range of the file belongs to: that of the damaged copy
    /// in it, else that of the intact copy which starts at or before it, else the first.
    pub(super) fn position_at(&self, offset: u64, len: u64) -> Position {
        let reach = FRAME_MAX_BYTES as u64;
        let end = offset + len;
        let known = self.head().position + 1;
        let broken = self.copies.iter().filter(|copy| {
            !copy.intact
                && copy.offset < end
                && copy.offset + reach > offset
                && (1..=known).contains(&copy.first)
        });
        let nearest = || {
            self.copies
                .iter()
                .rfind(|copy| copy.intact && copy.offset < end)
        };
        broken
            .map(|copy| copy.first)
            .min()
            .or_else(|| nearest().map(|copy| copy.first))
            .unwrap_or(1)
    }
}

fn read_window(file: &File, start: u64, len: u64) -> io::Result<Bytes> {
    let wanted = (WINDOW_BYTES + FRAME_MAX_BYTES) as u64;
    let size = usize::try_from(wanted.min(len - start)).unwrap_or(WINDOW_BYTES);
    let mut window = vec![0; size];
    file.read_exact_at(&mut window, start)?;
    Ok(Bytes::from(window))
}
