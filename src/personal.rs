//! Keys of owners' personal fields: a file of 32 bytes per owner in `owner-keys/`, so that a name
//! is forgotten with its key, and the log, which holds it sealed, stays as it is.
//!
//! Owner and field are authenticated with it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use evenkeel_actors::ports::{Entropy, KeysError, PersonalField, PersonalKeys};
use evenkeel_domain::values::{OwnerId, Sealed};
use ring::aead::NONCE_LEN;

use crate::sealing::{KEY_LEN, SealingKey};

/// What the name of a key's file ends with.
const ENDING: &str = "key";

/// Keys in files of one directory, which only their user may read.
#[derive(Clone)]
pub struct FileKeys {
    directory: PathBuf,
    entropy: Arc<dyn Entropy>,
}

impl FileKeys {
    /// The keys in a directory; it is made with the first key.
    pub fn new(directory: impl Into<PathBuf>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            directory: directory.into(),
            entropy,
        }
    }

    fn path(&self, owner: OwnerId) -> PathBuf {
        self.directory.join(format!("{owner}.{ENDING}"))
    }

    /// The key of an owner; none when there is no file.
    fn key(&self, owner: OwnerId) -> io::Result<Option<SealingKey>> {
        let path = self.path(owner);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        usable(&bytes).map(Some)
    }

    /// Written under another name first: a crash leaves a whole key or none.
    fn make(&self, owner: OwnerId) -> io::Result<SealingKey> {
        make_directory(&self.directory)?;
        let mut bytes = [0; KEY_LEN];
        self.fill(&mut bytes);
        let path = self.path(owner);
        let draft = path.with_extension("key.new");
        remove(&draft)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        sync_directory(&self.directory)?;
        usable(&bytes)
    }

    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.entropy.next_u64().to_be_bytes()[..part.len()]);
        }
    }

    fn sealed(&self, owner: OwnerId, field: PersonalField, text: &str) -> io::Result<Sealed> {
        let key = match self.key(owner)? {
            Some(key) => key,
            None => self.make(owner)?,
        };
        let mut nonce = [0; NONCE_LEN];
        self.fill(&mut nonce);
        key.seal(nonce, &bound_to(owner, field), text)
    }

    /// What was sealed; none when it is not what was sealed here.
    fn opened(
        &self,
        owner: OwnerId,
        field: PersonalField,
        sealed: &Sealed,
    ) -> io::Result<Option<String>> {
        let Some(key) = self.key(owner)? else {
            return Err(io::Error::other("there is none"));
        };
        Ok(key.open(&bound_to(owner, field), sealed))
    }

    /// Overwritten before it goes, so that its bytes do not stay in what the disk calls free; a
    /// disk that writes elsewhere keeps them, as encrypted as the disk is.
    fn forgotten(&self, owner: OwnerId) -> io::Result<()> {
        let path = self.path(owner);
        remove(&path.with_extension("key.new"))?;
        match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(mut file) => {
                let length = usize::try_from(file.metadata()?.len()).unwrap_or(KEY_LEN);
                file.write_all(&vec![0; length.clamp(KEY_LEN, 4 * KEY_LEN)])?;
                file.sync_all()?;
            }
        }
        remove(&path)?;
        sync_directory(&self.directory)
    }

    /// Files are waited for where nobody else waits.
    async fn blocking<T: Send + 'static>(
        &self,
        owner: OwnerId,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, KeysError> {
        let keys = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&keys)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| KeysError {
            owner,
            reason: format!("{}: {error}", self.path(owner).display()),
        })
    }
}

#[async_trait]
impl PersonalKeys for FileKeys {
    async fn seal(
        &self,
        owner: OwnerId,
        field: PersonalField,
        text: &str,
    ) -> Result<Sealed, KeysError> {
        let text = text.to_owned();
        self.blocking(owner, move |keys| keys.sealed(owner, field, &text))
            .await
    }

    async fn open(&self, owner: OwnerId, field: PersonalField, sealed: &Sealed) -> Option<String> {
        let bytes = sealed.clone();
        let opened = self
            .blocking(owner, move |keys| keys.opened(owner, field, &bytes))
            .await;
        match opened {
            Ok(Some(text)) => Some(text),
            Ok(None) => {
                tracing::warn!(%owner, ?field, "a name does not fit its owner's key: it is not shown");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a name cannot be read: it is not shown");
                None
            }
        }
    }

    async fn forget(&self, owner: OwnerId) -> Result<(), KeysError> {
        self.blocking(owner, move |keys| keys.forgotten(owner))
            .await
    }
}

/// What a sealed text belongs to.
fn bound_to(owner: OwnerId, field: PersonalField) -> String {
    let field = match field {
        PersonalField::OwnerName => "owner name",
        PersonalField::TokenName => "token name",
    };
    format!("evenkeel personal v1|{owner}|{field}")
}

fn usable(bytes: &[u8]) -> io::Result<SealingKey> {
    SealingKey::new(bytes).ok_or_else(|| {
        let found = bytes.len();
        io::Error::other(format!(
            "it has {found} bytes, not {KEY_LEN}; restore it from a backup, or delete it: the owner's names go with it"
        ))
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The directory of keys, which only its user may enter; on disk when this returns.
fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| path.parent().map_or(Ok(()), sync_directory)),
    }
}

/// Copies all keys, with their modes.
pub fn copy_keys(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    make_directory(to)?;
    for entry in entries {
        let source = entry?.path();
        let Some(name) = source.file_name().filter(|_| is_key(&source)) else {
            continue;
        };
        let target = to.join(name);
        match fs::copy(&source, &target).and_then(|_| File::open(&target)?.sync_all()) {
            // It was forgotten meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    sync_directory(to)
}

fn is_key(path: &Path) -> bool {
    path.extension() == Some(ENDING.as_ref())
}

#[cfg(test)]
mod tests;
