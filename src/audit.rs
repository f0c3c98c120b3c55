//! Audit of a data directory: every stored byte, every event, every state; the past, copies, rescue.
//!
//! ```text
//! verify_data   every byte, event, state and snapshot          nobody may have the log open
//! past, diff    any state of any time; what changed between    read from the files, at any time
//! exchange      every event as a line of JSON, and back        the same hashes
//! copies        backup and restore                             rescue    salvage and truncate
//! heads         signed statements of where the log ended       stats     what a log consists of
//! ```

pub mod copies;
pub mod diff;
pub mod exchange;
pub mod head_exports;
pub mod heads;
pub mod past;
pub mod rescue;
mod snapshots;
pub mod stats;

use std::path::PathBuf;

use evenkeel_actors::books::Books;
use evenkeel_actors::journal::ReplayError;
use evenkeel_events::{Head, Position, Recorded, UpkeepError, VerifyError, VerifyReport};
use evenkeel_events::{verify, verify_heads};

use crate::engine::DataDirectory;
use snapshots::SnapshotCheck;
pub use snapshots::SnapshotReport;

/// A log of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The event log.
    Log,
    /// The paper venue's books.
    Paper,
}

impl Which {
    const ALL: [Self; 2] = [Self::Log, Self::Paper];

    /// Its folder in a data directory.
    pub fn dir(self, data: &DataDirectory) -> PathBuf {
        match self {
            Self::Log => data.log(),
            Self::Paper => data.paper(),
        }
    }

    /// Its name in exported lines.
    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Paper => "paper",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|which| which.name() == name)
    }
}

/// Why a data directory cannot be audited at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// The paper venue's books.
    #[error("the paper venue's books: {0}")]
    Paper(VerifyError),
    /// The snapshots.
    #[error(transparent)]
    Snapshots(#[from] evenkeel_snapshots::SnapshotError),
    /// The log's files.
    #[error(transparent)]
    Upkeep(#[from] UpkeepError),
    /// An event that cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl AuditError {
    fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        let path = path.display().to_string();
        Self::Io { path, source }
    }
}

/// What verifying a data directory came to.
pub struct Verdict {
    /// The event log.
    pub log: VerifyReport,
    /// The states that it folds to; of rebalances those that run.
    pub books: Books,
    /// The snapshots against the states.
    pub snapshots: SnapshotReport,
    /// The paper venue's books, if there are any.
    pub paper: Option<VerifyReport>,
}

impl Verdict {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings().next().is_none()
    }

    /// What was found: which log, position, text.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        let log = self.log.findings.iter().map(|f| ("log", f));
        let snapshots = self.snapshots.findings.iter().map(|f| ("snapshots", f));
        let paper = self.paper.iter().flat_map(|report| &report.findings);
        log.chain(snapshots)
            .chain(paper.map(|f| ("paper venue", f)))
            .map(|(name, finding)| (name, finding.position, finding.text.as_str()))
    }
}

/// Verifies the logs of a data directory that nobody has open. Every event is decoded and folded,
/// every snapshot compared with the fold at its version.
pub fn verify_data(data: &DataDirectory) -> Result<Verdict, AuditError> {
    verify_data_against(data, &[], &mut |_| {})
}

/// As [`verify_data`]; besides, the log must pass these earlier heads. `progress` is told the
/// position that was looked at last.
pub fn verify_data_against(
    data: &DataDirectory,
    heads: &[Head],
    progress: &mut dyn FnMut(Position),
) -> Result<Verdict, AuditError> {
    let mut books = Books::of_what_runs();
    let mut snapshots = SnapshotCheck::load(data)?;
    let mut fold = |recorded: &Recorded| {
        progress(recorded.position);
        let adopted = books.adopt(recorded);
        adopted.map_err(|error| error.to_string())?;
        snapshots.compare(recorded, &books);
        Ok(())
    };
    let log = verify_heads(data.log(), Some(&mut fold), heads)?;
    let paper = if data.paper().is_dir() {
        Some(verify(data.paper(), None).map_err(AuditError::Paper)?)
    } else {
        None
    };
    let snapshots = snapshots.finish(&log);
    Ok(Verdict {
        log,
        books,
        snapshots,
        paper,
    })
}
