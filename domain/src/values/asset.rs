//! Asset symbols, packed into 16 bytes: an index of 20 assets costs no heap allocation per
//! symbol, and two symbols are compared like two numbers.
//!
//! A symbol is a number of base 68 with 21 digits: 0 ends the symbol, the digits 1 to 67 are the
//! accepted characters in the order of ASCII, so symbols sort as their texts do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest symbol in characters: 68^21 is the largest power of 68 that fits into 128 bits.
/// Tickers, pairs and the usual coin ids stay below it.
const SYMBOL_MAX_LEN: usize = 21;

/// The accepted characters, in the order of ASCII.
const ALPHABET: &[u8; 67] = b"-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// The characters and the end.
const BASE: u128 = 68;

/// The symbol of something that has a price: `AAPL`, `BTC-USD`, `wrapped-bitcoin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    // Two halves instead of one u128: they need no alignment of 16 beside a decimal.
    high: u64,
    low: u64,
}

/// Text that is not a symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an asset symbol: 1 to {SYMBOL_MAX_LEN} of A-Z a-z 0-9 . _ - / : starting with a letter or digit"
)]
pub struct AssetError(pub String);

/// A symbol as text, on the stack.
#[derive(Clone, Copy)]
struct Symbol {
    text: [u8; SYMBOL_MAX_LEN],
    len: usize,
}

impl Symbol {
    fn as_str(&self) -> &str {
        // The bytes come from the alphabet, which is ASCII, so the fallback is never used.
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

impl Asset {
    fn symbol(self) -> Symbol {
        let mut rest = (u128::from(self.high) << 64) | u128::from(self.low);
        let (mut text, mut len) = ([0; SYMBOL_MAX_LEN], 0);
        for place in (0..SYMBOL_MAX_LEN).rev() {
            let digit = usize::try_from(rest % BASE).unwrap_or_default();
            rest /= BASE;
            if digit > 0 {
                text[place] = ALPHABET[digit - 1];
                len = len.max(place + 1);
            }
        }
        Symbol { text, len }
    }
}

fn digit(byte: u8) -> Option<u128> {
    let place = ALPHABET.iter().position(|known| *known == byte)?;
    u128::try_from(place + 1).ok()
}

fn pack(text: &str) -> Option<Asset> {
    let bytes = text.as_bytes();
    if bytes.len() > SYMBOL_MAX_LEN || !bytes.first()?.is_ascii_alphanumeric() {
        return None;
    }
    let mut packed = 0;
    for place in 0..SYMBOL_MAX_LEN {
        let digit = match bytes.get(place) {
            Some(byte) => digit(*byte)?,
            None => 0,
        };
        packed = packed * BASE + digit;
    }
    let high = u64::try_from(packed >> 64).ok()?;
    let low = u64::try_from(packed & u128::from(u64::MAX)).ok()?;
    Some(Asset { high, low })
}

impl FromStr for Asset {
    type Err = AssetError;
    fn from_str(text: &str) -> Result<Self, AssetError> {
        pack(text).ok_or_else(|| AssetError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.symbol().as_str())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol().as_str())
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.symbol().as_str())
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use proptest::prelude::*;

    use super::Asset;

    proptest! {
        #[test]
        fn a_symbol_reads_back_as_it_was_written(text in "[A-Za-z0-9][-./0-9:A-Z_a-z]{0,20}") {
            prop_assert_eq!(text.parse::<Asset>().unwrap().to_string(), text);
        }

        #[test]
        fn symbols_sort_as_their_texts(a in "[A-Za-z0-9][-./0-9:A-Z_a-z]{0,20}", b in "[A-Za-z0-9][-./0-9:A-Z_a-z]{0,20}") {
            prop_assert_eq!(a.parse::<Asset>().unwrap().cmp(&b.parse::<Asset>().unwrap()), a.cmp(&b));
        }
    }

    #[test]
    fn what_is_no_symbol_is_refused() {
        for text in [
            "",
            " ",
            "-A",
            ".A",
            "A B",
            "Ä",
            "A\0",
            "A$",
            &"A".repeat(22),
        ] {
            assert!(text.parse::<Asset>().is_err(), "{text:?}");
        }
        assert!("A".repeat(21).parse::<Asset>().is_ok());
    }
}
