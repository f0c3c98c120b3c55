//! Requests that may be sent again: what the log says of them.

use evenkeel_domain::Event;
use evenkeel_domain::request::{Fingerprint, RequestAnswered, RequestBegun, RequestEvent};
use evenkeel_domain::values::{EventKey, Timestamp};
use evenkeel_events::{Direction, Position, Version};

use super::audit::{read_error, replay_error};
use super::{Caller, Engine, EngineError};
use crate::journal;
use crate::streams;

/// Events read at once.
const PAGE: usize = 256;

/// Events looked at after one that was broken off: what follows from a request comes at once.
const FOLLOWED_MAX: usize = 10_000;

/// A request as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRequest {
    /// Where its beginning or its answer stands.
    pub position: Position,
    /// The correlation of everything that followed from it.
    pub correlation: EventKey,
    /// What happened.
    pub event: RequestEvent,
}

impl Engine {
    /// Notes a request before it is carried out; gives where it stands. Durable when it returns.
    pub async fn begin_request(
        &self,
        caller: &Caller,
        key: Fingerprint,
        asked: Fingerprint,
    ) -> Result<Position, EngineError> {
        let at = self.shell().now();
        let begun = RequestEvent::Begun(RequestBegun { key, asked, at });
        self.note_request(caller, begun).await
    }

    /// Notes the answer to a request. Durable when it returns.
    pub async fn answer_request(
        &self,
        caller: &Caller,
        answered: RequestAnswered,
    ) -> Result<Position, EngineError> {
        let answered = RequestEvent::Answered(answered);
        self.note_request(caller, answered).await
    }

    async fn note_request(
        &self,
        caller: &Caller,
        event: RequestEvent,
    ) -> Result<Position, EngineError> {
        let origin = caller.origin(Some(caller.owner));
        let journal = &self.shell().journal;
        let event = Event::Request(event);
        let noted = journal.note(&streams::requests(), event, &origin).await;
        noted.map_err(|error| EngineError::Log(error.to_string()))
    }

    /// The newest requests since a time, oldest first: at most `max` events of them, whose answers
    /// have `max_bytes` together.
    pub async fn requests_since(
        &self,
        since: Timestamp,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<PastRequest>, EngineError> {
        let (mut found, mut from, mut bytes) = (Vec::new(), Version::MAX, 0);
        let (log, stream) = (&self.shell().journal.log, streams::requests());
        'pages: loop {
            let page = log
                .read_stream(&stream, from, PAGE, Direction::Backward)
                .await;
            let page = page.map_err(read_error)?;
            for recorded in &page {
                from = recorded.version;
                bytes += recorded.payload.len();
                let is_old = recorded.metadata.recorded_at_us < since.as_micros();
                if is_old || found.len() == max || bytes > max_bytes {
                    break 'pages;
                }
                let Event::Request(event) = journal::decode(recorded).map_err(replay_error)? else {
                    continue;
                };
                found.push(PastRequest {
                    position: recorded.position,
                    correlation: EventKey::from_u128(recorded.metadata.cause.correlation),
                    event,
                });
            }
            if page.len() < PAGE {
                break;
            }
        }
        found.reverse();
        Ok(found)
    }

    /// Whether anything followed from a request that was broken off by the end of its process. What
    /// lies too far ahead to be looked at counts as yes.
    pub async fn took_effect(
        &self,
        begun: Position,
        correlation: EventKey,
    ) -> Result<bool, EngineError> {
        let (mut at, mut looked_at) = (begun, 0);
        loop {
            let page = self.shell().journal.log.read(at, PAGE).await;
            let page = page.map_err(read_error)?;
            let follows = |cause: u128| cause == correlation.as_u128();
            if page
                .iter()
                .any(|recorded| follows(recorded.metadata.cause.correlation))
            {
                return Ok(true);
            }
            let Some(last) = page.last() else {
                return Ok(false);
            };
            at = last.position;
            looked_at += page.len();
            if looked_at >= FOLLOWED_MAX {
                return Ok(true);
            }
        }
    }
}
