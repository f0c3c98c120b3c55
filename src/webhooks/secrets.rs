//! Secrets of subscriptions: derived from a key outside the log, or brought by their owner and
//! sealed with it. Who has the log and not the key can forge nothing.
//!
//! ```text
//! derived(what) = HMAC-SHA256(key, what)
//! secret        = whsec_ and base64 of derived(id and generation)
//! ed25519 seed  = derived(id and generation), sealing key = derived("sealing")
//! ```

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_actors::ports::{Entropy, SigningKey};
use evenkeel_domain::values::{Sealed, WebhookId};
use evenkeel_domain::webhook::{Header, HeaderName};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::NONCE_LEN;
use sha2::Sha256;

use super::signature::{AsymmetricKey, SECRET_PREFIX};
use crate::hex::{hex, unhex};
use crate::sealing::{KEY_LEN, SealingKey};

/// The key's file in the data directory.
pub const KEY_FILE: &str = "webhook.key";

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
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKeeper([u8; KEY_LEN]);

/// The subject of what is derived or sealed.
enum Subject<'a> {
    Secret(u32),
    Asymmetric(u32),
    Brought,
    Header(&'a HeaderName),
    Unsubscribe,
}

impl Subject<'_> {
    fn of(&self, id: WebhookId) -> String {
        match self {
            Self::Secret(generation) => format!("evenkeel webhook secret v1|{id}|{generation}"),
            Self::Asymmetric(generation) => {
                format!("evenkeel webhook ed25519 v1|{id}|{generation}")
            }
            Self::Brought => format!("evenkeel webhook brought v1|{id}"),
            Self::Header(name) => format!("evenkeel webhook header v1|{id}|{name}"),
            Self::Unsubscribe => format!("evenkeel unsubscribe v1|{id}"),
        }
    }
}

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

    fn mac(&self, what: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(what.as_bytes());
        mac
    }

    fn derived(&self, what: &str) -> [u8; KEY_LEN] {
        self.mac(what).finalize().into_bytes().into()
    }

    /// What stands in the link that ends a subscription to mails.
    pub fn unsubscribe_token(&self, webhook_id: WebhookId) -> String {
        hex(&self.derived(&Subject::Unsubscribe.of(webhook_id)))
    }

    /// Whether that link was made here; compared in constant time.
    pub fn may_unsubscribe(&self, webhook_id: WebhookId, token: &str) -> bool {
        let mac = self.mac(&Subject::Unsubscribe.of(webhook_id));
        unhex(token).is_some_and(|token| mac.verify_slice(&token).is_ok())
    }

    /// The secret of a subscription, by its generation.
    pub fn secret(&self, webhook_id: WebhookId, generation: u32) -> String {
        let secret = self.derived(&Subject::Secret(generation).of(webhook_id));
        format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
    }

    /// A secret, derived or brought; none when a brought one was sealed with another key.
    pub fn secret_of(&self, webhook_id: WebhookId, key: &SigningKey) -> Option<String> {
        match &key.brought {
            None => Some(self.secret(webhook_id, key.generation)),
            Some(sealed) => self.unsealed(&Subject::Brought.of(webhook_id), sealed),
        }
    }

    /// The keys of a subscription's asymmetric signatures.
    pub fn asymmetric(&self, webhook_id: WebhookId, generation: u32) -> AsymmetricKey {
        let seed = self.derived(&Subject::Asymmetric(generation).of(webhook_id));
        #[expect(clippy::expect_used, reason = "ed25519 takes any seed of 32 bytes")]
        AsymmetricKey::from_seed(&seed).expect("a seed of 32 bytes")
    }

    /// Seals a secret that an owner brought.
    pub fn seal_secret(&self, webhook_id: WebhookId, secret: &str) -> io::Result<Sealed> {
        self.seal(&Subject::Brought.of(webhook_id), secret)
    }

    /// Seals what a header says.
    pub fn seal_header(
        &self,
        webhook_id: WebhookId,
        name: &HeaderName,
        value: &str,
    ) -> io::Result<Sealed> {
        self.seal(&Subject::Header(name).of(webhook_id), value)
    }

    /// What a header says; none when it was sealed with another key.
    pub fn open_header(&self, webhook_id: WebhookId, header: &Header) -> Option<String> {
        let about = Subject::Header(&header.name).of(webhook_id);
        self.unsealed(&about, &header.value)
    }

    /// The nonce is derived from all that is sealed: it is the same only for the same text.
    fn seal(&self, about: &str, text: &str) -> io::Result<Sealed> {
        let derived = self.derived(&format!("evenkeel webhook nonce v1|{about}|{text}"));
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&derived[..NONCE_LEN]);
        self.sealing().seal(nonce, about, text)
    }

    fn unsealed(&self, about: &str, sealed: &Sealed) -> Option<String> {
        self.sealing().open(about, sealed)
    }

    fn sealing(&self) -> SealingKey {
        let key = self.derived("evenkeel webhook sealing v1");
        #[expect(
            clippy::expect_used,
            reason = "what is derived has the length of a key"
        )]
        SealingKey::new(&key).expect("a key of 32 bytes")
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
    fn what_is_sealed_opens_where_it_belongs_and_with_its_key_alone() {
        let keeper = SecretKeeper::random(&SeededEntropy::new(1));
        let other = SecretKeeper::random(&SeededEntropy::new(2));
        let (one, two) = (WebhookId::from_u128(1), WebhookId::from_u128(2));
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let brought = |sealed: &Sealed| SigningKey {
            generation: 3,
            brought: Some(sealed.clone()),
        };
        let sealed = keeper.seal_secret(one, secret).unwrap();
        assert_eq!(keeper.secret_of(one, &brought(&sealed)).unwrap(), secret);
        assert_eq!(keeper.secret_of(two, &brought(&sealed)), None);
        assert_eq!(other.secret_of(one, &brought(&sealed)), None);
        let name = HeaderName::new("x-token").unwrap();
        let value = keeper.seal_header(one, &name, "Bearer 1").unwrap();
        let header = Header { name, value };
        assert_eq!(keeper.open_header(one, &header).unwrap(), "Bearer 1");
        assert_eq!(keeper.open_header(two, &header), None);
        assert_eq!(keeper.secret_of(one, &brought(&header.value)), None);
        let debug = format!("{sealed:?}{header:?}");
        assert!(
            !debug.contains("C2FV") && !debug.contains("Bearer"),
            "{debug}"
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
