//! Signatures: `v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}` (Standard Webhooks
//! 1.0.0, symmetric scheme).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";

/// What a signature of the symmetric scheme begins with.
const SCHEME: &str = "v1,";

/// A secret that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and base64 of its bytes")]
pub struct SecretError;

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
    fn the_reference_library_accepts_what_is_signed() {
        let webhook = standardwebhooks::Webhook::new(VECTORS[0].0).unwrap();
        let body = br#"{"type":"index.created"}"#;
        let ours = sign(VECTORS[0].0, "msg_1", VECTORS[0].2, body).unwrap();
        assert_eq!(webhook.sign("msg_1", VECTORS[0].2, body).unwrap(), ours);
    }
}
