//! The format marker: which program may open this directory.
//!
//! Two lines of text: the format, and the hash of the first line. A flipped byte is told from a
//! newer format by the hash.

use std::fs;
use std::io;
use std::path::Path;

/// The marker's name.
pub(super) const FORMAT_FILE: &str = "format";

/// The directory layout this program writes.
pub(super) const STORE_FORMAT: u16 = 1;

const FIRST_WORDS: &str = "evenkeel log, store format ";

/// What the marker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// This program's format, or an older one.
    Known,
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
    if format > STORE_FORMAT {
        Marker::Newer { found: format }
    } else {
        Marker::Known
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
    fn a_marker_is_known_newer_or_damaged() {
        assert_eq!(parse(text(1).as_bytes()), Marker::Known);
        assert_eq!(parse(text(2).as_bytes()), Marker::Newer { found: 2 });
        for at in 0..text(1).len() {
            let mut bytes = text(1).into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse(&bytes), Marker::Damaged, "byte {at}");
        }
    }
}
