//! When a snapshot is worth its bytes.

/// Events between two snapshots: replaying 256 takes well under a millisecond, and one
/// snapshot of a few KiB is spread over 256 appends.
pub const SNAPSHOT_EVERY_EVENTS: u64 = 256;

/// How many events may be replayed before a new snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Events between two snapshots; 0 takes none.
    pub every_events: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            every_events: SNAPSHOT_EVERY_EVENTS,
        }
    }
}

impl SnapshotPolicy {
    /// Whether a stream at `version` wants a snapshot, the last one being of
    /// `last_snapshot_version` (0 for none).
    pub fn due(&self, version: u64, last_snapshot_version: u64) -> bool {
        self.every_events > 0 && version.saturating_sub(last_snapshot_version) >= self.every_events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_so_many_events() {
        let table = [
            // every, version, last, due
            (256, 0, 0, false),
            (256, 255, 0, false),
            (256, 256, 0, true),
            (256, 300, 256, false),
            (256, 512, 256, true),
            (256, 5, 256, false),
            (1, 1, 0, true),
            (0, 1_000, 0, false),
        ];
        for (every_events, version, last, due) in table {
            let policy = SnapshotPolicy { every_events };
            assert_eq!(
                policy.due(version, last),
                due,
                "{every_events} {version} {last}"
            );
        }
    }
}
