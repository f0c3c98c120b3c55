//! A stored snapshot as bytes: the same in every store.
//!
//! ```text
//! 0        8       10        18         50
//! │ magic  │ schema │ version │ blake3   │ state …
//! ```
//! The hash covers stream name, schema, version and state: a snapshot under a wrong key is refused.

use bytes::Bytes;

use crate::Snapshot;

/// Largest state that is kept: a state is encoded and stored in one piece of work, and everybody
/// else waits for it.
pub const SNAPSHOT_MAX_BYTES: usize = 1 << 20;

const ENTRY_MAGIC: [u8; 8] = *b"EVKSNAP\x01";
const HEADER_BYTES: usize = 50;

/// Why a stored snapshot is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the stored bytes are damaged")]
    Damaged,
    #[error("schema {found} is stored, schema {wanted} was asked for")]
    OtherSchema { found: u16, wanted: u16 },
}

pub(crate) fn write(stream: &str, snapshot: &Snapshot) -> Vec<u8> {
    let mut entry = Vec::with_capacity(HEADER_BYTES + snapshot.state.len());
    entry.extend_from_slice(&ENTRY_MAGIC);
    entry.extend_from_slice(&snapshot.schema.to_le_bytes());
    entry.extend_from_slice(&snapshot.version.to_le_bytes());
    entry.extend_from_slice(hash(stream, &entry[8..18], &snapshot.state).as_bytes());
    entry.extend_from_slice(&snapshot.state);
    entry
}

/// The schema that an entry says it has, not yet vouched for.
pub(crate) fn schema(entry: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(entry.get(8..10)?.try_into().ok()?))
}

pub(crate) fn read(stream: &str, wanted: u16, entry: &[u8]) -> Result<Snapshot, Unusable> {
    let (header, state) = entry
        .split_at_checked(HEADER_BYTES)
        .ok_or(Unusable::Damaged)?;
    let is_whole =
        header[..8] == ENTRY_MAGIC && hash(stream, &header[8..18], state) == header[18..];
    if !is_whole {
        return Err(Unusable::Damaged);
    }
    let found = u16::from_le_bytes([header[8], header[9]]);
    if found != wanted {
        return Err(Unusable::OtherSchema { found, wanted });
    }
    let version = header[10..18].try_into().map_err(|_| Unusable::Damaged)?;
    Ok(Snapshot {
        version: u64::from_le_bytes(version),
        schema: found,
        state: Bytes::copy_from_slice(state),
    })
}

fn hash(stream: &str, numbers: &[u8], state: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(numbers);
    // The name ends where a zero byte stands, which no stream name contains.
    hasher.update(stream.as_bytes()).update(&[0]).update(state);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_and_every_changed_bit_is_refused() {
        let snapshot = Snapshot {
            version: 300,
            schema: 2,
            state: Bytes::from_static(b"state"),
        };
        let entry = write("idx_1", &snapshot);
        assert_eq!(read("idx_1", 2, &entry), Ok(snapshot));
        assert_eq!(
            read("idx_1", 3, &entry),
            Err(Unusable::OtherSchema {
                found: 2,
                wanted: 3
            })
        );
        assert_eq!(read("idx_2", 2, &entry), Err(Unusable::Damaged));
        for bit in 0..entry.len() * 8 {
            let mut changed = entry.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                read("idx_1", 2, &changed),
                Err(Unusable::Damaged),
                "bit {bit}"
            );
        }
        for cut in 0..entry.len() {
            assert_eq!(
                read("idx_1", 2, &entry[..cut]),
                Err(Unusable::Damaged),
                "cut at {cut}"
            );
        }
    }
}
