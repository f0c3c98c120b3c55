//! The envelope: what the log knows of an event without understanding it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::{Position, Version};

/// Longest accepted stream name in bytes: an id with its prefix is 36.
const STREAM_ID_MAX_LEN: usize = 64;

/// The name of a stream: one aggregate, one stream (`idx_…`, `whk_…`, `job_drift-monitor`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(Arc<str>);

/// A stream name that the log does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stream name is 1 to {STREAM_ID_MAX_LEN} bytes of a-z, 0-9, `_`, `-`, `.`; got {0:?}")]
pub struct StreamIdError(pub String);

impl StreamId {
    /// A stream name of 1 to 64 bytes of `a-z 0-9 _ - .`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, StreamIdError> {
        let name = name.as_ref();
        let fits = !name.is_empty() && name.len() <= STREAM_ID_MAX_LEN;
        let plain = name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.')
        });
        if fits && plain {
            Ok(Self(Arc::from(name)))
        } else {
            Err(StreamIdError(name.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the shared string it is, for tables that keep it.
    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

/// A table keyed by `StreamId` can be asked with text.
impl std::borrow::Borrow<str> for StreamId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose data an event belongs to: the owner's id as a number, 0 for nobody's (system events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OwnerKey(pub u128);

impl OwnerKey {
    /// Events of the system itself.
    pub const SYSTEM: Self = Self(0);
}

/// Which request or run an event belongs to, and what led to it directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Causation {
    /// Shared by everything that one request or run set in motion.
    pub correlation: u128,
    /// The event, request or run that led to this directly.
    pub causation: u128,
}

/// What the writer says about an event besides its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Whose data the event belongs to.
    pub owner: OwnerKey,
    /// Who caused the change: `owner:…`, `token:…`, `schedule:…`, `system`.
    pub by: Arc<str>,
    /// Correlation and causation.
    pub cause: Causation,
    /// The engine's clock at the decision, microseconds since the Unix epoch.
    pub recorded_at_us: i64,
}

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Type name, `index.created`.
    pub event_type: &'static str,
    /// Version of the payload's layout, from 1.
    pub payload_version: u16,
    /// The encoded payload, at most [`crate::codec::PAYLOAD_MAX_BYTES`].
    pub payload: Bytes,
    /// What the writer says about it.
    pub metadata: Metadata,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the global order, from 1, without gaps.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Place in the stream, from 1, without gaps.
    pub version: Version,
    /// Type name.
    pub event_type: Arc<str>,
    /// Version of the payload's layout.
    pub payload_version: u16,
    /// The encoded payload.
    pub payload: Bytes,
    /// What the writer said about it.
    pub metadata: Metadata,
}
