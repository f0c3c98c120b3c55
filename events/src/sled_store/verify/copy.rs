//! A copy of the database beside the original, gone when dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sled_store::{SLED_DIR, seal};

/// The copy.
#[derive(Debug)]
pub(super) struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Copies the database of the log in `dir` to a directory beside it.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut name = dir.canonicalize()?.into_os_string();
        name.push(format!(".verify-{}", std::process::id()));
        let copy = Self {
            dir: PathBuf::from(name),
        };
        if copy.dir.exists() {
            fs::remove_dir_all(&copy.dir)?;
        }
        fs::create_dir_all(copy.dir.join(SLED_DIR).join("blobs"))?;
        for file in seal::files(dir)?
            .iter()
            .filter(|file| file.starts_with(SLED_DIR))
        {
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
            tracing::warn!(dir = %self.dir.display(), %error, "the copy made for verifying is left behind");
        }
    }
}
