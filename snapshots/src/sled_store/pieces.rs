//! An entry in sled, cut into pieces: sled moves large values to blob files, and sizes its buffers
//! by the largest value that must not go there.
//!
//! ```text
//! idx_1        first piece        idx_1␀0001   second piece        idx_1␀0002 …
//! ```
//! No stream name contains a zero byte, so that the pieces of a stream stand together. Whether they
//! are all there, and of the same entry, is for the entry's hash to say.

use sled::{Batch, Db, IVec};

/// Bytes of a piece: 17 of them, a largest leaf of sled, stay below a quarter of a segment.
const PIECE_BYTES: usize = 4 << 10;

/// Ends the stream's name in the keys of all pieces but the first.
const END_OF_NAME: u8 = 0;

/// The entry of a stream, put together.
pub(super) fn load(db: &Db, stream: &str) -> sled::Result<Option<Vec<u8>>> {
    let Some(first) = db.get(stream)? else {
        return Ok(None);
    };
    let mut entry = first.to_vec();
    for pair in db.scan_prefix(name_of_others(stream)) {
        entry.extend_from_slice(&pair?.1);
    }
    Ok(Some(entry))
}

/// Puts an entry, or nothing, in the place of what a stream has; all of it or none.
pub(super) fn store(db: &Db, stream: &str, entry: Option<&[u8]>) -> sled::Result<()> {
    let mut batch = Batch::default();
    batch.remove(stream);
    for pair in db.scan_prefix(name_of_others(stream)) {
        batch.remove(pair?.0);
    }
    for (number, piece) in entry
        .into_iter()
        .flat_map(|entry| entry.chunks(PIECE_BYTES).enumerate())
    {
        batch.insert(key(stream, number), piece);
    }
    db.apply_batch(batch)
}

/// Shows every entry of the database, put together, in the order of the streams' names.
pub(super) fn each(db: &Db, mut each: impl FnMut(&str, &[u8])) -> sled::Result<()> {
    let mut current: Option<(IVec, Vec<u8>)> = None;
    for pair in db.iter() {
        let (key, piece) = pair?;
        match &mut current {
            Some((first, entry)) if continues(first, &key) => entry.extend_from_slice(&piece),
            _ => {
                show(current.replace((key, piece.to_vec())), &mut each);
            }
        }
    }
    show(current, &mut each);
    Ok(())
}

fn show(entry: Option<(IVec, Vec<u8>)>, each: &mut impl FnMut(&str, &[u8])) {
    if let Some((stream, entry)) = entry
        && let Ok(stream) = std::str::from_utf8(&stream)
    {
        each(stream, &entry);
    }
}

fn continues(first: &[u8], key: &[u8]) -> bool {
    key.strip_prefix(first)
        .is_some_and(|rest| rest.first() == Some(&END_OF_NAME))
}

fn name_of_others(stream: &str) -> Vec<u8> {
    let mut name = stream.as_bytes().to_vec();
    name.push(END_OF_NAME);
    name
}

/// Numbers in as many digits as the largest has, so that they sort.
fn key(stream: &str, number: usize) -> Vec<u8> {
    if number == 0 {
        return stream.as_bytes().to_vec();
    }
    let mut key = name_of_others(stream);
    key.extend_from_slice(format!("{number:04}").as_bytes());
    key
}
