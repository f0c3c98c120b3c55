//! What a request is known by: to its client, in the log lines, and in the event log.

use std::sync::Arc;

use evenkeel_actors::ports::{Clock, Entropy};
use evenkeel_actors::uuid_v7;
use evenkeel_domain::values::EventKey;
use http::{HeaderMap, HeaderName};

/// The header that carries the id, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that tells what the events of this request have as correlation.
pub const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest id that is taken over from a client.
const REQUEST_ID_MAX_LEN: usize = 128;

/// The two names of a request.
#[derive(Debug, Clone)]
pub struct RequestId {
    /// The client's id if it sent a usable one, else the key as text.
    pub text: Arc<str>,
    /// What the events that follow from the request carry. Always made here: a client must not
    /// be able to join its events to another request.
    pub key: EventKey,
}

impl RequestId {
    /// Names a request.
    pub fn of(headers: &HeaderMap, clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let key = EventKey::from_u128(uuid_v7(clock.now(), entropy));
        let text = sent(headers).unwrap_or_else(|| key.to_string().into());
        Self { text, key }
    }
}

fn sent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=REQUEST_ID_MAX_LEN).contains(&text.len());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/');
    (fits && text.bytes().all(plain)).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stack::tests::{Fixed, fixed_clock};

    #[test]
    fn an_id_is_taken_over_only_when_it_is_plain() {
        let long = "x".repeat(129);
        for (given, taken) in [
            (Some("abc-1.2:3/4_5"), true),
            (Some("with space"), false),
            (Some("{}"), false),
            (Some(""), false),
            (Some(long.as_str()), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(X_REQUEST_ID, given.parse().unwrap());
            }
            let id = RequestId::of(&headers, &fixed_clock(), &Fixed);
            assert_eq!(Some(&*id.text) == given, taken, "{given:?}");
            if !taken {
                assert_eq!(*id.text, id.key.to_string());
                assert!(id.text.starts_with("req_0"), "{}", id.text);
            }
        }
    }
}
