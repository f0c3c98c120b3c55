//! Snapshots: a shortcut to a state, never the truth. A missing, old or damaged one means replay.

mod entry;
mod memory;
mod policy;
mod sled_store;

pub use entry::SNAPSHOT_MAX_BYTES;
pub use memory::MemorySnapshots;
pub use policy::{SNAPSHOT_EVERY_EVENTS, SnapshotPolicy};
pub use sled_store::{SledSnapshots, Stored, inspect};

use async_trait::async_trait;
use bytes::Bytes;

/// A state at a version of its stream, encoded by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the stream that the state includes.
    pub version: u64,
    /// The layout of `state`; a store gives back only what was asked for.
    pub schema: u16,
    /// The encoded state.
    pub state: Bytes,
}

/// Why a snapshot could not be stored. Loading never fails: it gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot store failed: {0}")]
pub struct SnapshotError(pub String);

/// Where snapshots are kept: one per stream, the newest.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// The newest snapshot of a stream with this schema; `None` when missing, old or damaged
    /// (the latter two are logged and counted).
    async fn load(&self, stream: &str, schema: u16) -> Option<Snapshot>;

    /// The newest snapshots of several streams, in their order: cheaper than one by one.
    async fn load_all(&self, streams: Vec<String>, schema: u16) -> Vec<Option<Snapshot>> {
        let mut loaded = Vec::with_capacity(streams.len());
        for stream in &streams {
            loaded.push(self.load(stream, schema).await);
        }
        loaded
    }

    /// Replaces the snapshot of a stream. Not durable until the next flush: a lost one is replay.
    async fn save(&self, stream: &str, snapshot: Snapshot) -> Result<(), SnapshotError>;

    /// Forgets the snapshot of a stream.
    async fn forget(&self, stream: &str) -> Result<(), SnapshotError>;

    /// How many snapshots were dropped as old or damaged since the start.
    fn discarded(&self) -> u64;

    /// Makes all snapshots durable and releases the store.
    async fn close(&self) -> Result<(), SnapshotError>;
}
