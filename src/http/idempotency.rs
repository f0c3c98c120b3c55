//! `Idempotency-Key`: a POST that is sent again with the same key is answered, not done, again.
//!
//! | the first request | the same key and body again | the same key, another body |
//! |---|---|---|
//! | still runs | 409 `idempotency_key_running` | 422 `idempotency_key_reused` |
//! | succeeded | its answer again, with `Idempotency-Replayed: true` | 422 |
//! | was refused | done anew: a refusal changed nothing | done anew |
//! | broke off (500, 503) | 409 `idempotency_outcome_unknown`: load the resource, use a new key | 422 |
//!
//! Keys are kept in memory, per owner and path: at most [`KEYS_MAX`] of them, [`STORED_MAX_BYTES`]
//! of answers, for [`KEPT`]; the oldest go first. They do not survive a restart yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use evenkeel_domain::values::{OwnerId, Span, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use warp::reply::Response;

use super::problem::{Code, Problem};
use super::reply::Answer;

/// Keys that are remembered.
pub const KEYS_MAX: usize = 10_000;
/// Bytes of answers that are remembered.
pub const STORED_MAX_BYTES: usize = 64 << 20;
/// How long a key is remembered.
pub const KEPT: Span = Span::from_hours(24);
/// Longest key.
const KEY_MAX_LEN: usize = 255;

/// Told when an answer is not new.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whose key, on which path.
pub type Place = (OwnerId, String, String);

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub struct Stored {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Stored {
    /// The answer, marked as given before.
    pub fn response(self) -> Response {
        let mut response = http::Response::new(self.body.into());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, replayed);
        response
    }
}

#[derive(Debug)]
enum Outcome {
    Running,
    Done(Stored),
    Unknown,
}

#[derive(Debug)]
struct Entry {
    body: [u8; 32],
    at: Timestamp,
    outcome: Outcome,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<Place, Entry>,
    /// Oldest first; a place that was forgotten and came again stands here twice.
    order: VecDeque<(Timestamp, Place)>,
    bytes: usize,
}

/// The keys that are remembered.
#[derive(Debug, Default)]
pub struct Store {
    books: Mutex<Books>,
}

/// What a key leads to.
pub enum Begun {
    /// The first request with this key: run it, then tell the permit.
    Fresh(Permit),
    /// The same request again.
    Replay(Stored),
}

/// The right to run a request once. Dropped without an answer, its outcome is unknown.
pub struct Permit {
    store: Arc<Store>,
    place: Option<Place>,
}

/// A key as the header gives it.
pub fn key(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().unwrap_or_default();
    if (1..=KEY_MAX_LEN).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        let detail = format!("Idempotency-Key must be 1 to {KEY_MAX_LEN} visible characters");
        Err(Problem::new(Code::MalformedRequest, detail))
    }
}

impl Store {
    /// Looks a key up and takes it when it is free.
    pub fn begin(
        self: &Arc<Self>,
        place: Place,
        body: [u8; 32],
        now: Timestamp,
    ) -> Result<Begun, Problem> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.forget_old(now);
        if let Some(entry) = books.entries.get(&place) {
            return entry.again(&body).map(Begun::Replay);
        }
        books.order.push_back((now, place.clone()));
        let entry = Entry {
            body,
            at: now,
            outcome: Outcome::Running,
        };
        books.entries.insert(place.clone(), entry);
        Ok(Begun::Fresh(Permit {
            store: Arc::clone(self),
            place: Some(place),
        }))
    }

    fn settle(&self, place: &Place, outcome: Option<Outcome>) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(outcome) = outcome else {
            books.entries.remove(place);
            return;
        };
        let size = outcome.size();
        if let Some(entry) = books.entries.get_mut(place) {
            entry.outcome = outcome;
            books.bytes += size;
        }
    }
}

impl Outcome {
    fn size(&self) -> usize {
        match self {
            Self::Done(stored) => stored.body.len(),
            Self::Running | Self::Unknown => 0,
        }
    }
}

impl Entry {
    fn again(&self, body: &[u8; 32]) -> Result<Stored, Problem> {
        if self.body != *body {
            let detail = "this Idempotency-Key was used with another body; use a new key";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        match &self.outcome {
            Outcome::Done(stored) => Ok(stored.clone()),
            Outcome::Running => {
                let detail = "the first request with this key has not ended; try again shortly";
                Err(Problem::new(Code::IdempotencyKeyRunning, detail))
            }
            Outcome::Unknown => {
                let detail = "the first request with this key broke off and may have taken \
                              effect: load the resource, then use a new key if it did not";
                Err(Problem::new(Code::IdempotencyOutcomeUnknown, detail))
            }
        }
    }
}

impl Books {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.order.front() {
            let full = self.entries.len() >= KEYS_MAX
                || self.order.len() >= 2 * KEYS_MAX
                || self.bytes > STORED_MAX_BYTES;
            if !full && now.since(*at) < KEPT {
                return;
            }
            let Some((at, place)) = self.order.pop_front() else {
                return;
            };
            if self.entries.get(&place).is_some_and(|entry| entry.at == at)
                && let Some(entry) = self.entries.remove(&place)
            {
                self.bytes = self.bytes.saturating_sub(entry.outcome.size());
            }
        }
    }
}

impl Permit {
    /// Takes the answer in and passes it on.
    pub async fn finish(mut self, answer: Answer) -> Answer {
        let (answer, outcome) = match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                // Answers of commands are whole in memory: collecting them cannot fail.
                let body = body
                    .collect()
                    .await
                    .map(http_body_util::Collected::to_bytes);
                let stored = Stored {
                    status: parts.status,
                    headers: parts.headers.clone(),
                    body: body.unwrap_or_default(),
                };
                let response = Response::from_parts(parts, stored.body.clone().into());
                (Ok(response), Some(Outcome::Done(stored)))
            }
            Err(problem) if problem.code.leaves_outcome_unknown() => {
                (Err(problem), Some(Outcome::Unknown))
            }
            Err(problem) => (Err(problem), None),
        };
        if let Some(place) = self.place.take() {
            self.store.settle(&place, outcome);
        }
        answer
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.store.settle(&place, Some(Outcome::Unknown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reply;

    fn place(key: &str) -> Place {
        (
            OwnerId::from_u128(1),
            "/api/indexes".to_owned(),
            key.to_owned(),
        )
    }

    fn fresh(store: &Arc<Store>, key: &str, now: Timestamp) -> Permit {
        match store.begin(place(key), [1; 32], now) {
            Ok(Begun::Fresh(permit)) => permit,
            Ok(Begun::Replay(_)) => panic!("replayed"),
            Err(problem) => panic!("{problem:?}"),
        }
    }

    fn refusal(store: &Arc<Store>, key: &str, body: [u8; 32]) -> Option<Code> {
        store
            .begin(place(key), body, Timestamp::EPOCH)
            .err()
            .map(|problem| problem.code)
    }

    #[tokio::test]
    async fn a_key_answers_for_its_request() {
        let store = Arc::new(Store::default());
        let permit = fresh(&store, "k", Timestamp::EPOCH);
        assert_eq!(
            refusal(&store, "k", [1; 32]),
            Some(Code::IdempotencyKeyRunning)
        );
        assert_eq!(
            refusal(&store, "k", [2; 32]),
            Some(Code::IdempotencyKeyReused)
        );
        let answer = permit
            .finish(reply::json(StatusCode::CREATED, &"made"))
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        assert!(!answer.headers().contains_key(REPLAYED));
        let Ok(Begun::Replay(stored)) = store.begin(place("k"), [1; 32], Timestamp::EPOCH) else {
            panic!("not replayed");
        };
        let again = stored.response();
        assert_eq!(again.status(), 201);
        assert_eq!(again.headers()[REPLAYED], "true");
        let body = again.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#""made""#);
        assert_eq!(
            refusal(&store, "k", [2; 32]),
            Some(Code::IdempotencyKeyReused)
        );
    }

    #[tokio::test]
    async fn a_refusal_frees_the_key_and_a_breakdown_does_not() {
        let store = Arc::new(Store::default());
        let refused = Err(Problem::new(Code::InsufficientCash, "no"));
        assert!(
            fresh(&store, "k", Timestamp::EPOCH)
                .finish(refused)
                .await
                .is_err()
        );
        let broken = Err(Problem::new(Code::Unavailable, "who knows"));
        assert!(
            fresh(&store, "k", Timestamp::EPOCH)
                .finish(broken)
                .await
                .is_err()
        );
        let unknown = Some(Code::IdempotencyOutcomeUnknown);
        assert_eq!(refusal(&store, "k", [1; 32]), unknown);
        drop(fresh(&store, "dropped", Timestamp::EPOCH));
        assert_eq!(refusal(&store, "dropped", [1; 32]), unknown);
    }

    #[tokio::test]
    async fn keys_are_forgotten_by_age_and_number() {
        let store = Arc::new(Store::default());
        drop(fresh(&store, "old", Timestamp::EPOCH));
        drop(fresh(&store, "old", Timestamp::EPOCH.plus(KEPT)));
        let now = Timestamp::EPOCH.plus(KEPT);
        for n in 0..KEYS_MAX + 10 {
            drop(fresh(&store, &format!("k{n}"), now));
        }
        let books = store.books.lock().unwrap();
        assert_eq!(books.entries.len(), KEYS_MAX);
        assert_eq!(books.order.len(), KEYS_MAX);
    }
}
