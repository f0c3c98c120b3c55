//! The contract that every store of events keeps, and its words.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::append_ids::AppendId;
use crate::envelope::{NewEvent, Recorded, StreamId};

/// Place in the global order, from 1; 0 means before the first event.
pub type Position = u64;

/// Place in a stream, from 1; 0 means an empty stream.
pub type Version = u64;

/// The version that an append expects its stream to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this version; 0 for a stream that must not exist yet.
    Exact(Version),
    /// Whatever it is: for streams with one writer and commuting events.
    Any,
}

/// Events for one stream, all or nothing with the other streams of the same append.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamId,
    /// The version that the writer saw last.
    pub expected: Expected,
    /// At least one event.
    pub events: Vec<NewEvent>,
}

/// Where an append came to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event.
    pub first: Position,
    /// Position of the last event.
    pub last: Position,
    /// The version of each stream after the append, in the order of the batch.
    pub versions: Vec<Version>,
}

/// The end of the log and the hash that vouches for everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event, 0 for an empty log.
    pub position: Position,
    /// Chained hash over all frames.
    pub hash: [u8; 32],
}

impl Head {
    /// The hash in hexadecimal.
    pub fn hash_hex(&self) -> String {
        blake3::Hash::from_bytes(self.hash).to_hex().to_string()
    }
}

/// Which way to read a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first, starting after the given version.
    Forward,
    /// Newest first, starting before the given version (`Version::MAX` for the end).
    Backward,
}

/// Why an append was refused. Nothing of a refused append is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer was there first: load the stream anew and decide again.
    #[error("stream {stream} is at version {actual}, the writer expected {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the writer expected.
        expected: Version,
        /// What the stream is at.
        actual: Version,
    },
    /// A batch that can never be stored: no event, one stream twice, an oversized payload.
    #[error("the append cannot be stored: {0}")]
    Invalid(String),
    /// The log has been closed, or a failed write has closed it for writing.
    #[error("the log is closed for writing: {0}")]
    Closed(String),
    /// The store failed. What was being written was not acknowledged; the log takes no more.
    #[error("the store failed: {0}")]
    Store(String),
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Stored bytes are not what was written.
    #[error(
        "the log is damaged at position {position}: {detail}; restore a backup, or cut with `log truncate`"
    )]
    Damaged {
        /// First position that cannot be vouched for.
        position: Position,
        /// What was found.
        detail: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
}

/// An append-only log. One value serves all writers and readers of a process.
///
/// Promises: an acknowledged append is durable; a batch is all or nothing; versions are
/// checked against all earlier appends; readers see a prefix of the global order.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends a batch atomically. Returns after the bytes are durable.
    async fn append(&self, batch: Vec<StreamAppend>) -> Result<Appended, AppendError>;

    /// As [`EventLog::append`], once: repeated with the same id, among the last
    /// [`crate::APPEND_IDS_KEPT`] of them, it gives what the first call gave (or would have given,
    /// had its reply not been lost) and writes nothing. An id used for another batch is invalid.
    async fn append_once(
        &self,
        id: AppendId,
        batch: Vec<StreamAppend>,
    ) -> Result<Appended, AppendError>;

    /// Up to `limit` events in global order, starting after `after`. Empty at the end.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, ReadError>;

    /// Up to `limit` events of one stream, starting beyond `from` in the given direction.
    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Recorded>, ReadError>;

    /// The version of a stream, 0 when it has no events.
    fn version(&self, stream: &StreamId) -> Version;

    /// The end of the log: only durable events count.
    fn head(&self) -> Head;

    /// Follows the position of the last durable event.
    fn watch(&self) -> watch::Receiver<Position>;

    /// Refuses further appends, makes everything durable, releases the store.
    async fn close(&self) -> Result<(), AppendError>;
}
