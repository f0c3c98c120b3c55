//! Signatures over `{id}.{timestamp}.{body}` (Standard Webhooks 1.0.0): `v1,` and base64 of
//! HMAC-SHA256, the symmetric scheme; `v1a,` and base64 of ed25519, the asymmetric one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;

/// What a secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";

/// What a public key of the asymmetric scheme begins with.
pub const PUBLIC_KEY_PREFIX: &str = "whpk_";

/// What a signature of the symmetric scheme begins with.
const SCHEME: &str = "v1,";

/// What a signature of the asymmetric scheme begins with.
const ASYMMETRIC_SCHEME: &str = "v1a,";

/// Lengths in bytes that a secret may have.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and base64 of 24 to 64 bytes")]
pub struct SecretError;

/// Takes a secret only when it has the form and the length that the specification allows.
pub fn check_secret(secret: &str) -> Result<(), SecretError> {
    let encoded = secret.strip_prefix(SECRET_PREFIX).ok_or(SecretError)?;
    let key = STANDARD.decode(encoded).map_err(|_| SecretError)?;
    let fits = SECRET_LENGTHS.contains(&key.len());
    fits.then_some(()).ok_or(SecretError)
}

/// A pair of keys of the asymmetric scheme.
pub struct AsymmetricKey(Ed25519KeyPair);

impl AsymmetricKey {
    /// The pair that belongs to 32 bytes; none for another number of bytes.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// What receivers verify with.
    pub fn public(&self) -> String {
        let key = STANDARD.encode(self.0.public_key());
        format!("{PUBLIC_KEY_PREFIX}{key}")
    }

    /// The signature of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let signature = STANDARD.encode(self.0.sign(&signed));
        format!("{ASYMMETRIC_SCHEME}{signature}")
    }
}

/// The signature of a message by one secret.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<String, SecretError> {
    let tag = mac(secret, id, timestamp, body)?.finalize().into_bytes();
    Ok(format!("{SCHEME}{}", STANDARD.encode(tag)))
}

/// Whether one of the space-separated signatures is by one of the secrets. Compared in constant
/// time.
pub fn verify<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    id: &str,
    timestamp: i64,
    signatures: &str,
    body: &[u8],
) -> bool {
    let given = || {
        signatures
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix(SCHEME)?).ok())
    };
    secrets.into_iter().any(|secret| {
        let Ok(mac) = mac(secret, id, timestamp, body) else {
            return false;
        };
        given().any(|tag| mac.clone().verify_slice(&tag).is_ok())
    })
}

fn mac(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<Hmac<Sha256>, SecretError> {
    let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    let key = STANDARD.decode(encoded).map_err(|_| SecretError)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SecretError)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(mac)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;

    /// Published vectors: secret, id, timestamp, body, signature.
    const VECTORS: [(&str, &str, i64, &str, &str); 2] = [
        (
            "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];

    #[test]
    fn the_published_vectors_come_out() {
        for (secret, id, timestamp, body, signature) in VECTORS {
            assert_eq!(
                sign(secret, id, timestamp, body.as_bytes()).unwrap(),
                signature
            );
            assert!(verify(
                [secret],
                id,
                timestamp,
                &format!("v1,AAAA {signature}"),
                body.as_bytes()
            ));
            assert!(!verify(
                [secret],
                id,
                timestamp + 1,
                signature,
                body.as_bytes()
            ));
            assert!(!verify([secret], id, timestamp, signature, b"{}"));
        }
    }

    #[test]
    fn an_asymmetric_signature_is_verified_with_the_public_key_alone() {
        use ring::signature::{ED25519, UnparsedPublicKey};
        let pair = AsymmetricKey::from_seed(&[7; 32]).unwrap();
        let public = pair.public();
        let public = public.strip_prefix(PUBLIC_KEY_PREFIX).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(public).unwrap());
        let signature = pair.sign("msg_1", 1_700_000_000, b"{}");
        let signature = signature.strip_prefix("v1a,").unwrap();
        let signature = STANDARD.decode(signature).unwrap();
        assert!(public.verify(b"msg_1.1700000000.{}", &signature).is_ok());
        assert!(public.verify(b"msg_1.1700000001.{}", &signature).is_err());
        assert!(AsymmetricKey::from_seed(&[7; 31]).is_none());
    }

    #[test]
    fn a_secret_has_24_to_64_bytes() {
        for (bytes, fits) in [(23, false), (24, true), (64, true), (65, false)] {
            let secret = format!("{SECRET_PREFIX}{}", STANDARD.encode(vec![1; bytes]));
            assert_eq!(check_secret(&secret).is_ok(), fits, "{bytes}");
        }
    }

    #[test]
    fn the_reference_library_accepts_what_is_signed() {
        let webhook = standardwebhooks::Webhook::new(VECTORS[0].0).unwrap();
        let body = br#"{"type":"index.created"}"#;
        let ours = sign(VECTORS[0].0, "msg_1", VECTORS[0].2, body).unwrap();
        assert_eq!(webhook.sign("msg_1", VECTORS[0].2, body).unwrap(), ours);
    }
}
