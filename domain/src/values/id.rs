//! Ids: a kind as prefix and 128 bits that sort by time, `idx_0193…`. Made outside, checked here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not an id of the form {prefix}_<32 hex digits>")]
pub struct IdError {
    /// What stands before the underscore in ids of this kind.
    pub prefix: &'static str,
    /// What was found.
    pub found: String,
}

fn parse(prefix: &'static str, text: &str) -> Result<u128, IdError> {
    let digits = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    digits
        .filter(|d| d.len() == 32 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .and_then(|d| Uuid::try_parse(d).ok())
        .map(|uuid| uuid.as_u128())
        .ok_or_else(|| IdError {
            prefix,
            found: text.chars().take(64).collect(),
        })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// From 128 bits, a UUID of version 7.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.to_be_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(|b| Self(u128::from_be_bytes(b)))
                }
            }
        }
    };
}

id_type! {
    /// An index.
    IndexId, "idx"
}
id_type! {
    /// One rebalance of an index.
    RebalanceId, "reb"
}
id_type! {
    /// A webhook subscription.
    WebhookId, "whk"
}
id_type! {
    /// An owner of indexes and subscriptions.
    OwnerId, "own"
}
id_type! {
    /// A bearer token; not the token itself.
    TokenId, "tok"
}
id_type! {
    /// One run of a job.
    RunId, "run"
}
id_type! {
    /// A deposit or a withdrawal.
    TransferId, "trf"
}
id_type! {
    /// What a request or a run is known by in correlation and causation.
    EventKey, "req"
}
