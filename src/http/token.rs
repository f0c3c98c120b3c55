//! Bearer tokens: 256 random bits as text, and the hash by which the engine knows them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenkeel_actors::ports::Entropy;
use sha2::{Digest, Sha256};

/// What tokens begin with, so that scanners find leaked ones.
const PREFIX: &str = "evk_";

/// The hash by which a token is known. Tokens are as random as the hash is long: it needs no salt.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A fresh token, and its hash.
pub fn new_token(entropy: &dyn Entropy) -> (String, [u8; 32]) {
    let random: Vec<u8> = (0..4)
        .flat_map(|_| entropy.next_u64().to_be_bytes())
        .collect();
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash = token_hash(&token);
    (token, hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stack::tests::Fixed;

    #[test]
    fn a_token_is_256_bits_with_a_prefix() {
        let (token, hash) = new_token(&Fixed);
        assert_eq!(token.len(), 47);
        assert!(token.starts_with("evk_AAAA"));
        assert_eq!(hash, token_hash(&token));
    }
}
