//! The one place that knows how payloads become bytes: bincode 2, bounded, all bytes consumed.
//!
//! bincode is not self-describing: the order of fields and variants is the format. A stored
//! struct is frozen; a change is a new struct with a new payload version (see `tests/golden`).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest payload in bytes: a rebalance of 200 lines takes about 21 KiB, and a payload with its
/// envelope fits into one frame.
pub const PAYLOAD_MAX_BYTES: usize = 26 * 1024;

/// Bytes that are not what the codec writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be encoded.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// The bytes cannot be decoded.
    #[error("the bytes cannot be decoded: {0}")]
    Decode(String),
    /// The value was decoded and bytes were left over: another layout wrote them.
    #[error("{0} bytes are left after the value: another layout wrote them")]
    TrailingBytes(usize),
    /// The payload is larger than [`PAYLOAD_MAX_BYTES`].
    #[error("the payload has {0} bytes, the limit is {PAYLOAD_MAX_BYTES}")]
    TooLarge(usize),
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<PAYLOAD_MAX_BYTES>()
}

/// Encodes a payload.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|e| CodecError::Encode(e.to_string()))?;
    if bytes.len() > PAYLOAD_MAX_BYTES {
        return Err(CodecError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// Decodes a payload whose checksum has been verified. All bytes must be consumed.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|e| CodecError::Decode(e.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(CodecError::TrailingBytes(left)),
    }
}
