//! A copy of a log's files beside the original, gone when dropped: for sled to try its hand at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format::FORMAT_FILE;
use super::tip::TIP_FILE;
use super::{SLED_DIR, seal};

/// The copy.
#[derive(Debug)]
pub(super) struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Copies the database, the tip and the marker of the log in `dir` to a directory beside it.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut name = dir.canonicalize()?.into_os_string();
        name.push(format!(".copy-{}", std::process::id()));
        let copy = Self {
            dir: PathBuf::from(name),
        };
        if copy.dir.exists() {
            fs::remove_dir_all(&copy.dir)?;
        }
        fs::create_dir_all(copy.dir.join(SLED_DIR).join("blobs"))?;
        for file in seal::files(dir)?.iter().filter(|file| {
            file.starts_with(SLED_DIR) || [TIP_FILE, FORMAT_FILE].contains(&&***file)
        }) {
            fs::copy(dir.join(file), copy.dir.join(file))?;
        }
        Ok(copy)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "the copy made for a look is left behind");
        }
    }
}
