//! Secrets of subscriptions: derived from a key file, so no secret is ever in the log.
//!
//! A secret is `whsec_` and base64 of HMAC-SHA256 by the key over the subscription's id and its
//! generation. Who has the log and not the key can forge nothing.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_actors::ports::Entropy;
use evenkeel_domain::values::WebhookId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::signature::SECRET_PREFIX;

/// The key's file in the data directory.
pub const KEY_FILE: &str = "webhook.key";

/// Length of the key in bytes: as long as the hash's output.
const KEY_LEN: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key of webhook secrets, {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no key.
    #[error(
        "the key of webhook secrets, {path}, has {found} bytes, not {KEY_LEN}; restore it from a backup, or delete it and rotate every secret"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
}

/// Knows every secret by the id of its subscription and its generation.
#[derive(Clone)]
pub struct SecretKeeper([u8; KEY_LEN]);

impl fmt::Debug for SecretKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeeper(…)")
    }
}

impl SecretKeeper {
    /// The key of a data directory; the first time one is made.
    pub fn open(directory: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let path = directory.join(KEY_FILE);
        let read = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(&path, entropy).map(|keeper| keeper.0.to_vec())
            }
            Err(error) => Err(error),
            Ok(mut file) => {
                let mut bytes = Vec::with_capacity(KEY_LEN);
                file.read_to_end(&mut bytes).map(|_| bytes)
            }
        };
        let bytes = read.map_err(|source| KeyError::Io {
            path: path.clone(),
            source,
        })?;
        let found = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| KeyError::Length { path, found })
    }

    /// Written under another name first: a crash leaves a whole key or none.
    fn make(path: &Path, entropy: &dyn Entropy) -> io::Result<Self> {
        let keeper = Self::random(entropy);
        let draft = path.with_extension("key.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&keeper.0)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(keeper)
    }

    /// A key that lives as long as this value.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut key = [0; KEY_LEN];
        for part in key.chunks_mut(8) {
            part.copy_from_slice(&entropy.next_u64().to_be_bytes()[..part.len()]);
        }
        Self(key)
    }

    /// A given key.
    pub fn from_key(key: [u8; KEY_LEN]) -> Self {
        Self(key)
    }

    /// The secret of a subscription, by its generation.
    pub fn secret(&self, webhook_id: WebhookId, generation: u32) -> String {
        let text = format!("evenkeel webhook secret v1|{webhook_id}|{generation}");
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(text.as_bytes());
        format!(
            "{SECRET_PREFIX}{}",
            STANDARD.encode(mac.finalize().into_bytes())
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;
    use crate::time::SeededEntropy;

    #[test]
    fn the_same_key_gives_the_same_secrets_and_another_one_others() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (WebhookId::from_u128(1), WebhookId::from_u128(2));
        let first = SecretKeeper::open(directory.path(), &SeededEntropy::new(1)).unwrap();
        let again = SecretKeeper::open(directory.path(), &SeededEntropy::new(2)).unwrap();
        assert_eq!(first.secret(one, 1), again.secret(one, 1));
        let other = SecretKeeper::random(&SeededEntropy::new(3));
        let all = [
            first.secret(one, 1),
            first.secret(one, 2),
            first.secret(two, 1),
            other.secret(one, 1),
        ];
        assert!(
            all.iter()
                .enumerate()
                .all(|(at, secret)| !all[at + 1..].contains(secret))
        );
    }

    #[test]
    fn a_key_is_private_and_a_torn_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        SecretKeeper::open(directory.path(), &SeededEntropy::new(1)).unwrap();
        let path = directory.path().join(KEY_FILE);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::write(&path, [1; 31]).unwrap();
        let refused = SecretKeeper::open(directory.path(), &SeededEntropy::new(1)).unwrap_err();
        assert!(matches!(refused, KeyError::Length { found: 31, .. }));
        assert!(!format!("{:?}", SecretKeeper::from_key([7; KEY_LEN])).contains('7'));
    }
}
