//! Snapshots in memory, for tests and for a log in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Snapshot, SnapshotError, SnapshotStore};

/// A [`SnapshotStore`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    kept: Mutex<HashMap<String, Snapshot>>,
    discarded: AtomicU64,
}

impl MemorySnapshots {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Snapshot>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MemorySnapshots {
    async fn load(&self, stream: &str, schema: u16) -> Option<Snapshot> {
        let snapshot = self.kept().get(stream).cloned()?;
        if snapshot.schema == schema {
            return Some(snapshot);
        }
        self.discarded.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            stream,
            stored = snapshot.schema,
            wanted = schema,
            "a snapshot is of another schema; replaying"
        );
        None
    }

    async fn save(&self, stream: &str, snapshot: Snapshot) -> Result<(), SnapshotError> {
        self.kept().insert(stream.to_owned(), snapshot);
        Ok(())
    }

    async fn forget(&self, stream: &str) -> Result<(), SnapshotError> {
        self.kept().remove(stream);
        Ok(())
    }

    fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    async fn close(&self) -> Result<(), SnapshotError> {
        Ok(())
    }
}
