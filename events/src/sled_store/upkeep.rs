//! What the tools that look after a log can run into.

use std::io;

use super::disk::DiskError;
use super::lock::LockError;
use crate::frame::{FRAME_FORMAT, FrameError};
use crate::log::Position;

/// Why a tool did not do its work. The log it was to work on is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpkeepError {
    /// There is no log where one was expected.
    #[error("there is no log in {0}")]
    NoLog(String),
    /// The target is taken.
    #[error("{0} is not empty: name a new or an empty directory")]
    TargetNotEmpty(String),
    /// Another process has the log open.
    #[error("the log is in use by process {pid}; stop it first")]
    InUse {
        /// The process; 0 when it has not said yet.
        pid: u32,
    },
    /// Bytes are not what was written.
    #[error(
        "the log is damaged at position {position}: {detail}; restore a backup, bring what is intact back with `log salvage`, or cut with `log truncate`"
    )]
    Damaged {
        /// First position that cannot be vouched for.
        position: Position,
        /// What was found.
        detail: String,
    },
    /// A newer program wrote it.
    #[error(
        "the log has format {found}, this program reads up to {supported}; use a newer evenkeel"
    )]
    NewerFormat {
        /// The format that was found.
        found: u16,
        /// The newest format this program reads.
        supported: u16,
    },
    /// What is to be written does not continue what stands there.
    #[error("position {position}: {detail}")]
    Refused {
        /// Where.
        position: Position,
        /// Why.
        detail: String,
    },
    /// The operating system or the database refused.
    #[error("{0}")]
    Io(String),
}

impl UpkeepError {
    pub(super) fn of_frame(position: Position, error: FrameError) -> Self {
        match error {
            FrameError::Damaged(detail) => Self::Damaged { position, detail },
            FrameError::NewerFormat { found } => Self::NewerFormat {
                found,
                supported: FRAME_FORMAT,
            },
        }
    }

    pub(super) fn io(path: &std::path::Path, error: &io::Error) -> Self {
        Self::Io(format!("{}: {error}", path.display()))
    }
}

impl From<io::Error> for UpkeepError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<DiskError> for UpkeepError {
    fn from(error: DiskError) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<LockError> for UpkeepError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::InUse { pid } => Self::InUse { pid },
            LockError::Io(error) => error.into(),
        }
    }
}
