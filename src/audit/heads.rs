//! Signed heads: a statement of where the log ended and with which hash, for somebody to keep.
//!
//! Who holds such a statement can tell later whether history before it was rewritten, also by
//! whoever has the server: the chain up to a head has one hash, and the statement has a signature.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_domain::values::Timestamp;
use evenkeel_events::Head;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::hex::unhex;

/// What stands before the 32 bytes of a key in PKCS #8 (RFC 8410), as `openssl genpkey` writes it.
const PKCS8_START: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What stands before the 32 bytes of a public key in SPKI (RFC 8410).
const SPKI_START: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key or a statement is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not an ed25519 key.
    #[error(
        "{0} is no ed25519 key: make one with `evenkeel log key FILE` or `openssl genpkey -algorithm ed25519`"
    )]
    Key(String),
    /// A line that is no statement.
    #[error("line {line} is no signed head: {detail}")]
    Statement {
        /// Which line.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// A statement that was changed, or that another key signed.
    #[error(
        "line {line}: the signature is not that of the key: the statement was changed, or somebody else signed it"
    )]
    Signature {
        /// Which line.
        line: usize,
    },
    /// No statement at all.
    #[error("there is no signed head in {0}")]
    Empty(String),
}

fn io(path: &Path, source: std::io::Error) -> HeadError {
    let path = path.display().to_string();
    HeadError::Io { path, source }
}

/// A statement of where the log ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedHead {
    /// The position of the last event.
    pub position: u64,
    /// The hash of the last frame, hexadecimal.
    pub hash: String,
    /// When it was signed.
    pub time: Timestamp,
    /// The public key, base64.
    pub public_key: String,
    /// The signature, base64.
    pub signature: String,
}

/// What is signed: four lines of text that anybody can write down anew.
fn message(position: u64, hash: &str, time: Timestamp) -> String {
    format!("evenkeel log head v1\nposition {position}\nhash {hash}\ntime {time}\n")
}

/// The key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a PEM file with a PKCS #8 private key.
    pub fn read(path: &Path) -> Result<Self, HeadError> {
        let text = fs::read_to_string(path).map_err(|error| io(path, error))?;
        let unusable = || HeadError::Key(path.display().to_string());
        let bytes = pem("PRIVATE KEY", &text).ok_or_else(unusable)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes);
        pair.map(Self).map_err(|_| unusable())
    }

    /// Makes a key and writes it to a new file that only its owner can read.
    pub fn make(path: &Path) -> Result<Self, HeadError> {
        let mut seed = [0; 32];
        let filled = SystemRandom::new().fill(&mut seed);
        filled.map_err(|_| io(path, std::io::Error::other("no randomness to be had")))?;
        let body = STANDARD.encode([&PKCS8_START[..], &seed].concat());
        let text = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options.open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| io(path, error))?;
        Self::read(path)
    }

    /// The public key, base64.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }

    /// Signs a head.
    pub fn sign(&self, head: &Head, time: Timestamp) -> SignedHead {
        let hash = head.hash_hex();
        let signature = self.0.sign(message(head.position, &hash, time).as_bytes());
        SignedHead {
            position: head.position,
            hash,
            time,
            public_key: self.public_key(),
            signature: STANDARD.encode(signature),
        }
    }
}

/// A public key that somebody trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// From a PEM file, from a file with the key in base64, or from the base64 itself.
    pub fn read(file_or_key: &str) -> Result<Self, HeadError> {
        let unusable = || HeadError::Key(file_or_key.to_owned());
        let path = Path::new(file_or_key);
        let text = if path.is_file() {
            fs::read_to_string(path).map_err(|error| io(path, error))?
        } else {
            file_or_key.to_owned()
        };
        let bytes = match pem("PUBLIC KEY", &text) {
            Some(spki) => spki.strip_prefix(&SPKI_START).map(<[u8]>::to_vec),
            None => STANDARD.decode(text.trim()).ok(),
        };
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(unusable)
    }

    /// The heads in a file of statements, one a line, each with a signature of this key.
    pub fn heads_in(&self, path: &Path) -> Result<Vec<Head>, HeadError> {
        let text = fs::read_to_string(path).map_err(|error| io(path, error))?;
        let mut heads = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                heads.push(self.head_in(at + 1, line)?);
            }
        }
        if heads.is_empty() {
            return Err(HeadError::Empty(path.display().to_string()));
        }
        Ok(heads)
    }

    fn head_in(&self, line: usize, text: &str) -> Result<Head, HeadError> {
        let wrong = |detail: String| HeadError::Statement { line, detail };
        let said: SignedHead =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let signature = STANDARD.decode(&said.signature);
        let signature = signature.map_err(|error| wrong(error.to_string()))?;
        let hash = unhex(&said.hash);
        let hash = hash.ok_or_else(|| wrong("the hash is not 64 hexadecimal digits".into()))?;
        let signed = message(said.position, &said.hash, said.time);
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| HeadError::Signature { line })?;
        Ok(Head {
            position: said.position,
            hash,
        })
    }
}

/// The bytes between the lines of a PEM file.
fn pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// RFC 8410, section 10: a key pair that others can check.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_in_pem_are_read_and_a_statement_stands_only_as_it_was_signed() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let key = SigningKey::read(&file("key", PRIVATE)).unwrap();
        let public = file("pub", PUBLIC);
        let trusted = VerifyingKey::read(public.to_str().unwrap()).unwrap();
        assert_eq!(VerifyingKey::read(&key.public_key()).unwrap(), trusted);
        let head = Head {
            position: 7,
            hash: [3; 32],
        };
        let said = key.sign(&head, Timestamp::from_micros(1_700_000_000_000_000));
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(trusted.heads_in(&file("one", &text)).unwrap(), [head]);
        for changed in [
            text.replace("\"position\":7", "\"position\":8"),
            text.replace("0303", "0304"),
            text.replace("2023", "2024"),
        ] {
            assert_ne!(changed, text);
            let refused = trusted.heads_in(&file("changed", &changed)).unwrap_err();
            assert!(
                matches!(refused, HeadError::Signature { line: 1 }),
                "{refused}"
            );
        }
        let other = SigningKey::make(&dir.path().join("other")).unwrap();
        let other = VerifyingKey::read(&other.public_key()).unwrap();
        assert!(other.heads_in(&file("one", &text)).is_err());
        assert!(
            SigningKey::make(&dir.path().join("other")).is_err(),
            "a key is not overwritten"
        );
        assert!(VerifyingKey::read("no key").is_err());
    }
}
