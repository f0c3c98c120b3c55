//! Every stored snapshot, for an audit: read from a copy, so that nothing is changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{OpenFailure, error, guarded, open_db, pieces};
use crate::entry;
use crate::{Snapshot, SnapshotError};

/// What stands under a stream's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A snapshot of some schema.
    Whole(Snapshot),
    /// Bytes that are none: replay stands in for it.
    Damaged,
}

/// Shows every snapshot in `dir`, which nobody may have open. False when the database itself is
/// damaged: replay stands in for all of it. A directory that does not exist holds none.
pub fn inspect(
    dir: impl AsRef<Path>,
    each: &mut dyn FnMut(&str, Stored),
) -> Result<bool, SnapshotError> {
    let dir = dir.as_ref();
    if !dir.is_dir() {
        return Ok(true);
    }
    let copy = Copy::of(dir).map_err(error)?;
    let db = match open_db(&copy.0) {
        Ok(db) => db,
        Err(OpenFailure::Elsewhere(reason)) => return Err(reason),
        Err(OpenFailure::Damaged(_)) => return Ok(false),
    };
    let shown = guarded(|| pieces::each(&db, |stream, entry| each(stream, stored(stream, entry))));
    Ok(shown.is_ok())
}

fn stored(stream: &str, value: &[u8]) -> Stored {
    entry::schema(value)
        .and_then(|schema| entry::read(stream, schema, value).ok())
        .map_or(Stored::Damaged, Stored::Whole)
}

/// A copy beside the original, gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(dir: &Path) -> io::Result<Self> {
        let mut name = dir.canonicalize()?.into_os_string();
        name.push(format!(".inspect-{}", std::process::id()));
        let copy = Self(PathBuf::from(name));
        if copy.0.exists() {
            fs::remove_dir_all(&copy.0)?;
        }
        copy_all(dir, &copy.0)?;
        Ok(copy)
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "the copy made for inspecting is left behind");
        }
    }
}
