//! Backup and restore of a data directory. A backup is a data directory; a restore is the way back.
//!
//! The event log is copied before the paper venue's books: a venue that knows more than the log
//! is asked by the order's id and tells; one that knows less would be sent the order again.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use evenkeel_events::{Head, Position, UpkeepError, backup};

use super::AuditError;
use crate::engine::DataDirectory;
use crate::personal::copy_keys;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The end of the log's copy.
    pub log: Head,
    /// The end of the copy of the paper venue's books, if there are any.
    pub paper: Option<Head>,
}

/// Copies what cannot be made anew from one data directory to a new or empty one: the event log,
/// the paper venue's books, the key of webhook secrets, the keys of owners' names, the admin token.
/// A server may have the source open. Every frame is verified on the way.
pub fn copy_data(
    from: &DataDirectory,
    to: &DataDirectory,
    progress: &mut dyn FnMut(Position),
) -> Result<Copied, AuditError> {
    ensure_empty(to.path())?;
    let copied = copy_logs(from, to, progress);
    if copied.is_err() {
        // It was empty before: what is there now is an unfinished copy.
        let _ = fs::remove_dir_all(to.log());
        let _ = fs::remove_dir_all(to.paper());
        let _ = fs::remove_dir_all(to.owner_keys());
    }
    copied
}

fn copy_logs(
    from: &DataDirectory,
    to: &DataDirectory,
    progress: &mut dyn FnMut(Position),
) -> Result<Copied, AuditError> {
    let log = backup(from.log(), to.log(), progress)?;
    let paper = if from.paper().is_dir() {
        Some(backup(from.paper(), to.paper(), &mut |_| {})?)
    } else {
        None
    };
    copy_secrets(from, to)?;
    Ok(Copied { log, paper })
}

/// Copies the key of webhook secrets, the keys of owners' names and the admin token, with their
/// modes. After the log: a key is there before the first event that needs it.
pub(super) fn copy_secrets(from: &DataDirectory, to: &DataDirectory) -> Result<(), AuditError> {
    let (source, target) = (from.owner_keys(), to.owner_keys());
    copy_keys(&source, &target).map_err(|error| AuditError::io(&target, error))?;
    for (source, target) in [
        (from.webhook_key(), to.webhook_key()),
        (from.admin_token(), to.admin_token()),
    ] {
        match fs::copy(&source, &target).and_then(|_| File::open(&target)?.sync_all()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(AuditError::io(&target, error)),
        }
    }
    Ok(())
}

/// Refuses a directory with something in it.
pub fn ensure_empty(path: &Path) -> Result<(), AuditError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(AuditError::io(path, error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(UpkeepError::TargetNotEmpty(path.display().to_string()).into()),
        },
    }
}
