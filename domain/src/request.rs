//! A request that its client may send again under the same key: begun before it is carried out,
//! answered when it is. One that was begun and has no answer was broken off.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::{Text, Timestamp};

/// Longest body of an answer that is kept, in characters and in bytes: the event fits into a frame.
pub const BODY_MAX: usize = 16 * 1024;

/// SHA-256 of what is compared and never shown; in hexadecimal where somebody reads it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let refused = || serde::de::Error::custom("it is not 64 hexadecimal digits");
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(refused());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).ok_or_else(refused)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refused())?;
        }
        Ok(Self(bytes))
    }
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// It is about to be carried out.
    Begun(RequestBegun),
    /// It succeeded.
    Answered(RequestAnswered),
}

/// `request.begun` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestBegun {
    /// Whose key it is, on which path.
    pub key: Fingerprint,
    /// What was asked.
    pub asked: Fingerprint,
    /// When.
    pub at: Timestamp,
}

/// `request.answered` v1. A refusal changes nothing and is not told: the key is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestAnswered {
    /// Whose key it is, on which path.
    pub key: Fingerprint,
    /// HTTP status.
    pub status: u16,
    /// Headers that are part of the answer.
    pub headers: Vec<(Text<40>, Text<300>)>,
    /// The body; none when it may not be kept: it held a secret or a name, or was too long.
    pub body: Option<Text<BODY_MAX>>,
    /// When.
    pub at: Timestamp,
}
