//! The format marker: which program may open this directory.
//!
//! Two lines of text: the format, and the hash of the first line. A flipped byte is told from a
//! newer format by the hash.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;

/// The marker's name.
pub(super) const FORMAT_FILE: &str = "format";

/// The directory layout this program writes.
///
/// 1: frames in sled, a tip of two slots. 2: a journal behind the slots, without which sled's
/// frames may not be all.
pub(super) const STORE_FORMAT: u16 = 2;

const FIRST_WORDS: &str = "evenkeel log, store format ";

/// What the marker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// This program's format.
    Current,
    /// One that this program reads, and turns into its own when it opens the log for writing.
    Older,
    /// There is no marker: nothing was created here, or not to the end.
    Missing,
    Newer {
        found: u16,
    },
    Damaged,
}

pub(super) fn read(dir: &Path) -> io::Result<Marker> {
    match fs::read(dir.join(FORMAT_FILE)) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Marker::Missing),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Marker {
    let Some(format) = format_in(bytes) else {
        return Marker::Damaged;
    };
    if bytes != text(format).as_bytes() {
        return Marker::Damaged;
    }
    match format.cmp(&STORE_FORMAT) {
        Ordering::Less => Marker::Older,
        Ordering::Equal => Marker::Current,
        Ordering::Greater => Marker::Newer { found: format },
    }
}

fn format_in(bytes: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().next()?.strip_prefix(FIRST_WORDS)?.parse().ok()
}

/// The marker of a format.
pub(super) fn text(format: u16) -> String {
    let line = format!("{FIRST_WORDS}{format}");
    format!("{line}\n{}\n", blake3::hash(line.as_bytes()).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_of_this_format_an_older_a_newer_or_damaged() {
        assert_eq!(parse(text(1).as_bytes()), Marker::Older);
        assert_eq!(parse(text(2).as_bytes()), Marker::Current);
        assert_eq!(parse(text(3).as_bytes()), Marker::Newer { found: 3 });
        for at in 0..text(1).len() {
            let mut bytes = text(1).into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse(&bytes), Marker::Damaged, "byte {at}");
        }
    }
}
