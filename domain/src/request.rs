//! A request that its client may send again under the same key: begun before it is carried out,
//! answered when it is. One that was begun and has no answer was broken off.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::values::{Text, Timestamp};

/// Longest body of an answer that is kept, in characters and in bytes: the event fits into a frame.
pub const BODY_MAX: usize = 16 * 1024;

/// SHA-256 of what is compared and never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}…", self.0[0], self.0[1])
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
