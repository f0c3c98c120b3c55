//! Asset symbols, kept inline: an index of 20 assets costs no heap allocation per symbol.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest symbol in bytes: tickers, pairs and the usual coin ids stay below it, and a symbol
/// with its length is 24 bytes.
const SYMBOL_MAX_LEN: usize = 23;

/// The symbol of something that has a price: `AAPL`, `BTC-USD`, `wrapped-bitcoin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    symbol: [u8; SYMBOL_MAX_LEN],
    len: u8,
}

/// Text that is not a symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an asset symbol: 1 to {SYMBOL_MAX_LEN} of A-Z a-z 0-9 . _ - / : starting with a letter or digit"
)]
pub struct AssetError(pub String);

impl Asset {
    /// The symbol as text.
    pub fn as_str(&self) -> &str {
        // The bytes were ASCII when they were taken in, so the fallback is never used.
        std::str::from_utf8(&self.symbol[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl FromStr for Asset {
    type Err = AssetError;
    fn from_str(text: &str) -> Result<Self, AssetError> {
        let bytes = text.as_bytes();
        let starts = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
        let plain = bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':'));
        if !starts || !plain || bytes.len() > SYMBOL_MAX_LEN {
            return Err(AssetError(text.chars().take(64).collect()));
        }
        let mut symbol = [0; SYMBOL_MAX_LEN];
        symbol[..bytes.len()].copy_from_slice(bytes);
        let len = u8::try_from(bytes.len()).map_err(|_| AssetError(text.to_owned()))?;
        Ok(Self { symbol, len })
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
