//! Headers that an owner has sent with every delivery, such as the token of a gateway before the
//! receiver. Their values are sealed: the log holds nothing that opens a door elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::values::{Sealed, Text};

/// Most headers of one subscription.
pub const HEADERS_MAX: usize = 10;
/// Longest value of a header in characters.
pub const HEADER_VALUE_MAX: usize = 400;
/// Longest name of a header in characters.
const HEADER_NAME_MAX: usize = 64;

/// Headers that say what a delivery is, or how the connection works: not an owner's to set.
const RESERVED: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-webhook-event",
    "x-webhook-channel",
];
/// Groups of such headers.
const RESERVED_GROUPS: [&str; 2] = ["webhook-", "proxy-"];

/// The name of a header, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderName(Box<str>);

/// A name that no header of an owner may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    /// Not a name of a header.
    #[error("{0:?} is no name of a header: 1 to {HEADER_NAME_MAX} letters, digits, '-' or '_' are")]
    Name(String),
    /// Set by evenkeel.
    #[error("the header {0:?} is set by evenkeel or by the connection")]
    Reserved(String),
}

impl HeaderName {
    /// A name, whatever its case.
    pub fn new(text: &str) -> Result<Self, HeaderNameError> {
        let name = text.trim().to_ascii_lowercase();
        let fits = (1..=HEADER_NAME_MAX).contains(&name.len())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if !fits {
            return Err(HeaderNameError::Name(text.chars().take(80).collect()));
        }
        let in_group = RESERVED_GROUPS.iter().any(|group| name.starts_with(group));
        if in_group || RESERVED.contains(&name.as_str()) {
            return Err(HeaderNameError::Reserved(name));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a header says, before it is sealed.
pub type HeaderValue = Text<HEADER_VALUE_MAX>;

/// A header as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// What it says, sealed with the key of webhook secrets.
    pub value: Sealed,
}
