//! Snapshots against the fold: a whole snapshot of a known schema says what its events say, or it
//! is a finding. A damaged or an old one is counted: replay stands in for it.

use std::collections::HashMap;

use evenkeel_actors::books::{Books, INDEX_SNAPSHOT_SCHEMA};
use evenkeel_events::{Finding, Recorded, VerifyReport, Version};
use evenkeel_snapshots::{Stored, inspect};
use sha2::{Digest as _, Sha256};

use super::AuditError;
use crate::engine::DataDirectory;

/// What the snapshots came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotReport {
    /// Snapshots that say what the events up to their version say.
    pub agreed: u64,
    /// Snapshots that are damaged or of another schema.
    pub unusable: u64,
    /// Whether the database of snapshots is damaged as a whole.
    pub database_damaged: bool,
    /// Snapshots that contradict the log.
    pub findings: Vec<Finding>,
}

/// A snapshot by what it says, in few bytes: there may be one for each of many streams.
struct Claim {
    version: Version,
    state: [u8; 32],
}

/// The snapshots that wait for the fold to come to their version.
pub(super) struct SnapshotCheck {
    claims: HashMap<Box<str>, Claim>,
    report: SnapshotReport,
}

impl SnapshotCheck {
    pub(super) fn load(data: &DataDirectory) -> Result<Self, AuditError> {
        let mut claims = HashMap::new();
        let mut report = SnapshotReport::default();
        let whole = inspect(data.snapshots(), &mut |stream, stored| match stored {
            Stored::Whole(snapshot) if snapshot.schema == INDEX_SNAPSHOT_SCHEMA => {
                let claim = Claim {
                    version: snapshot.version,
                    state: Sha256::digest(&snapshot.state).into(),
                };
                claims.insert(stream.into(), claim);
            }
            Stored::Whole(_) | Stored::Damaged => report.unusable += 1,
        })?;
        report.database_damaged = !whole;
        Ok(Self { claims, report })
    }

    /// After an event was folded: is its stream at the version of its snapshot now?
    pub(super) fn compare(&mut self, recorded: &Recorded, books: &Books) {
        let stream = recorded.stream.as_str();
        let Some(claim) = self.claims.get(stream) else {
            return;
        };
        if claim.version != recorded.version {
            return;
        }
        let folded = books.snapshot_state(stream);
        let agrees = folded.is_some_and(|state| Sha256::digest(state)[..] == claim.state);
        let version = claim.version;
        self.claims.remove(stream);
        if agrees {
            self.report.agreed += 1;
        } else {
            self.find(
                recorded.position,
                format!("the snapshot of stream {stream} at version {version} is not what its events fold to; delete the folder of snapshots, states are replayed"),
            );
        }
    }

    fn find(&mut self, position: u64, text: String) {
        self.report.findings.push(Finding { position, text });
    }

    /// What is left claims a version that the log does not have: a later event would make it true.
    pub(super) fn finish(mut self, log: &VerifyReport) -> SnapshotReport {
        if !log.is_clean() {
            return self.report;
        }
        let mut left: Vec<_> = self.claims.drain().collect();
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (stream, claim) in left {
            self.find(
                log.head.position,
                format!("the snapshot of stream {stream} is of version {}, which the log does not have; delete the folder of snapshots, states are replayed", claim.version),
            );
        }
        self.report
    }
}
