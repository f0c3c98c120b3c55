//! `Idempotency-Key`: a POST that is sent again with the same key is answered, not done, again.
//!
//! | the first request | the same key and body again | the same key, another body |
//! |---|---|---|
//! | still runs | 409 `idempotency_key_running` | 422 `idempotency_key_reused` |
//! | succeeded | its answer again, with `Idempotency-Replayed: true` | 422 |
//! | was refused | done anew: a refusal changed nothing | done anew |
//! | broke off (500, 503) | 409 `idempotency_outcome_unknown`: load the resource, use a new key | 422 |
//! | ended with its process | done anew if nothing followed from it in the log, else the same 409 | 422 |
//!
//! A request is in the log before it is carried out, and its answer before it is given: a restart
//! forgets neither. What an answer says of secrets and names is not in the log; after a restart it
//! is 409 `idempotency_answer_not_kept`. Keys are looked up in memory, per owner and path: at most
//! [`KEYS_MAX`] of them, [`STORED_MAX_BYTES`] of answers, for [`KEPT`]; the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use evenkeel_actors::Engine;
use evenkeel_actors::engine::{Caller, PastRequest};
use evenkeel_domain::request::{BODY_MAX, Fingerprint, RequestAnswered, RequestEvent};
use evenkeel_domain::values::{EventKey, OwnerId, Span, Text, Timestamp};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};
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

/// Headers that are part of an answer.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// Marks an answer whose body says what must not be in the log: a secret, or the name of somebody.
#[derive(Debug, Clone, Copy)]
pub struct Unlogged;

/// Whose key it is, on which path.
pub fn place(owner: OwnerId, path: &str, key: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(owner.as_u128().to_be_bytes());
    // A path has no zero byte.
    hash.update(path);
    hash.update([0]);
    hash.update(key);
    Fingerprint(hash.finalize().into())
}

/// What is asked for: the query and the body.
pub fn asked(query: &str, body: &[u8]) -> Fingerprint {
    let hash = Sha256::new().chain_update(query).chain_update([0]);
    Fingerprint(hash.chain_update(body).finalize().into())
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub struct Stored {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Stored {
    /// An answer as the log has it; none without its body.
    fn of(answered: RequestAnswered) -> Option<Self> {
        let header = |(name, value): &(Text<40>, Text<300>)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.as_str()).ok()?))
        };
        Some(Self {
            status: StatusCode::from_u16(answered.status).ok()?,
            headers: answered.headers.iter().filter_map(header).collect(),
            body: Bytes::from(answered.body?.as_str().to_owned()),
        })
    }

    /// The answer as the log is to have it.
    fn logged(&self, key: Fingerprint, at: Timestamp, is_unlogged: bool) -> RequestAnswered {
        let header = |name: &HeaderName| {
            let value = self.headers.get(name)?.to_str().ok()?;
            let name = Text::required(name.as_str()).ok()?;
            Some((name, Text::required(value).ok()?))
        };
        let fits = !is_unlogged && self.body.len() <= BODY_MAX;
        let text = std::str::from_utf8(&self.body).ok().filter(|_| fits);
        RequestAnswered {
            key,
            status: self.status.as_u16(),
            headers: KEPT_HEADERS.iter().filter_map(header).collect(),
            body: text.and_then(|text| Text::optional(text).ok()),
            at,
        }
    }

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
    /// Done, and what was answered is not in the log.
    NotKept,
    Unknown,
    /// Its process ended before it did: where it begins in the log, and the correlation of what
    /// followed.
    Interrupted(u64, EventKey),
}

#[derive(Debug)]
struct Entry {
    asked: Fingerprint,
    at: Timestamp,
    outcome: Outcome,
}

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<Fingerprint, Entry>,
    /// Oldest first; a place that was forgotten and came again stands here twice.
    order: VecDeque<(Timestamp, Fingerprint)>,
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
    /// The same request again, whose first one ended with its process: where that begins in the
    /// log, and its correlation.
    Interrupted(u64, EventKey),
}

/// The right to run a request once. Dropped without an answer, its outcome is unknown.
pub struct Permit {
    store: Arc<Store>,
    place: Option<Fingerprint>,
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
        place: Fingerprint,
        asked: Fingerprint,
        now: Timestamp,
    ) -> Result<Begun, Problem> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.forget_old(now);
        if let Some(entry) = books.entries.get(&place) {
            return entry.again(asked);
        }
        books.enter(place, asked, now, Outcome::Running);
        Ok(Begun::Fresh(Permit {
            store: Arc::clone(self),
            place: Some(place),
        }))
    }

    /// Frees a key whose request was interrupted and took no effect.
    pub fn free(&self, place: Fingerprint) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = books.entries.get(&place);
        if entry.is_some_and(|entry| matches!(entry.outcome, Outcome::Interrupted(..))) {
            books.entries.remove(&place);
        }
    }

    /// Takes in what the log says of earlier requests, oldest first.
    pub fn remember(&self, past: Vec<PastRequest>) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        for request in past {
            match request.event {
                RequestEvent::Begun(begun) => {
                    let outcome = Outcome::Interrupted(request.position, request.correlation);
                    books.enter(begun.key, begun.asked, begun.at, outcome);
                }
                RequestEvent::Answered(answered) => books.answer(answered),
            }
        }
    }

    fn settle(&self, place: &Fingerprint, outcome: Option<Outcome>) {
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
            Self::Running | Self::NotKept | Self::Unknown | Self::Interrupted(..) => 0,
        }
    }
}

impl Entry {
    fn again(&self, asked: Fingerprint) -> Result<Begun, Problem> {
        if self.asked != asked {
            let detail = "this Idempotency-Key was used with another body; use a new key";
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        match &self.outcome {
            Outcome::Done(stored) => Ok(Begun::Replay(stored.clone())),
            Outcome::Interrupted(begun, correlation) => {
                Ok(Begun::Interrupted(*begun, *correlation))
            }
            Outcome::NotKept => {
                let detail = "the first request with this key succeeded; its answer held a secret or a \
                              name, or was long, and is not kept over a restart: load the resource";
                Err(Problem::new(Code::IdempotencyAnswerNotKept, detail))
            }
            Outcome::Running => {
                let detail = "the first request with this key has not ended; try again shortly";
                Err(Problem::new(Code::IdempotencyKeyRunning, detail))
            }
            Outcome::Unknown => Err(unknown()),
        }
    }
}

/// Nobody can say whether the first request took effect.
pub fn unknown() -> Problem {
    let detail = "the first request with this key broke off and may have taken effect: load the \
                  resource, then use a new key if it did not";
    Problem::new(Code::IdempotencyOutcomeUnknown, detail)
}

impl Books {
    fn enter(&mut self, place: Fingerprint, asked: Fingerprint, at: Timestamp, outcome: Outcome) {
        self.order.push_back((at, place));
        let entry = Entry { asked, at, outcome };
        self.entries.insert(place, entry);
    }

    fn answer(&mut self, answered: RequestAnswered) {
        let Some(entry) = self.entries.get_mut(&answered.key) else {
            return;
        };
        entry.outcome = match Stored::of(answered) {
            Some(stored) => Outcome::Done(stored),
            None => Outcome::NotKept,
        };
        self.bytes += entry.outcome.size();
    }

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
    /// Gives the key back: nothing was begun.
    pub fn give_back(mut self) {
        if let Some(place) = self.place.take() {
            self.store.settle(&place, None);
        }
    }

    /// Takes the answer in and passes it on; a success is in the log by then, where there is one.
    pub async fn finish(mut self, answer: Answer, log: Option<(&Engine, &Caller)>) -> Answer {
        let (answer, outcome) = match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let is_unlogged = parts.extensions.get::<Unlogged>().is_some();
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
                if let (Some((engine, caller)), Some(key)) = (log, self.place) {
                    let answered = |at| stored.logged(key, at, is_unlogged);
                    if let Err(error) = engine.answer_request(caller, answered).await {
                        // It has taken effect, and that is what the client is told.
                        tracing::error!(%error, "an answer is not in the log");
                    }
                }
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

    fn at(key: &str) -> Fingerprint {
        place(OwnerId::from_u128(1), "/api/indexes", key)
    }

    fn fresh(store: &Arc<Store>, key: &str, now: Timestamp) -> Permit {
        match store.begin(at(key), Fingerprint([1; 32]), now) {
            Ok(Begun::Fresh(permit)) => permit,
            Ok(_) => panic!("not fresh"),
            Err(problem) => panic!("{problem:?}"),
        }
    }

    fn refusal(store: &Arc<Store>, key: &str, body: [u8; 32]) -> Option<Code> {
        store
            .begin(at(key), Fingerprint(body), Timestamp::EPOCH)
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
            .finish(reply::json(StatusCode::CREATED, &"made"), None)
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        assert!(!answer.headers().contains_key(REPLAYED));
        let Ok(Begun::Replay(stored)) =
            store.begin(at("k"), Fingerprint([1; 32]), Timestamp::EPOCH)
        else {
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
                .finish(refused, None)
                .await
                .is_err()
        );
        let broken = Err(Problem::new(Code::Unavailable, "who knows"));
        assert!(
            fresh(&store, "k", Timestamp::EPOCH)
                .finish(broken, None)
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
