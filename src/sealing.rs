//! Text that is kept sealed: AES-256-GCM, bound to what it is about.
//!
//! ```text
//! sealed = nonce (12 bytes) · AES-256-GCM(text, padded with zeros to 32 bytes) · tag (16 bytes)
//! ```
//! Padding hides how long a text is, roughly. What it is bound to is authenticated with it: a
//! sealed text opens nowhere else.

use std::io;

use evenkeel_domain::values::Sealed;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;

/// A text is padded to a multiple of this many bytes.
const PADDED_TO: usize = 32;

/// A key that seals.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// A key of [`KEY_LEN`] bytes; none for another number of bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Seals a text. A nonce is for one text: under the same key never for another one.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], about: &str, text: &str) -> io::Result<Sealed> {
        let mut padded = text.as_bytes().to_vec();
        padded.resize(text.len().next_multiple_of(PADDED_TO), 0);
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, Aad::from(about), &mut padded)
            .map_err(|_| io::Error::other("the text cannot be sealed"))?;
        Sealed::new([&nonce[..], &padded].concat()).map_err(io::Error::other)
    }

    /// What was sealed; none when it is not what was sealed with this key about this.
    pub fn open(&self, about: &str, sealed: &Sealed) -> Option<String> {
        let (nonce, rest) = sealed.as_bytes().split_first_chunk::<NONCE_LEN>()?;
        let (nonce, mut bytes) = (Nonce::assume_unique_for_key(*nonce), rest.to_vec());
        let padded = self.0.open_in_place(nonce, Aad::from(about), &mut bytes);
        let text = std::str::from_utf8(padded.ok()?).ok()?;
        Some(text.trim_end_matches('\0').to_owned())
    }
}
