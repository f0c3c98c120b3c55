//! Requests that may be sent again: what the log says of them.

use std::ops::ControlFlow;

use evenkeel_domain::Event;
use evenkeel_domain::request::{Fingerprint, RequestAnswered, RequestBegun, RequestEvent};
use evenkeel_domain::values::{EventKey, Timestamp};
use evenkeel_events::{Position, Recorded, Version};

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

    /// Notes the answer to a request, made for a time. Durable when it returns.
    pub async fn answer_request(
        &self,
        caller: &Caller,
        answered: impl FnOnce(Timestamp) -> RequestAnswered,
    ) -> Result<Position, EngineError> {
        let answered = RequestEvent::Answered(answered(self.shell().now()));
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
        let (mut found, mut bytes) = (Vec::new(), 0);
        let visit = |recorded: &Recorded| {
            bytes += recorded.payload.len();
            let is_old = journal::recorded_at(recorded) < since;
            if is_old || found.len() == max || bytes > max_bytes {
                return Ok(ControlFlow::Break(()));
            }
            if let Event::Request(event) = journal::decode(recorded)? {
                found.push(PastRequest {
                    position: recorded.position,
                    correlation: EventKey::from_u128(recorded.metadata.cause.correlation),
                    event,
                });
            }
            Ok(ControlFlow::Continue(()))
        };
        let (journal, stream) = (&self.shell().journal, streams::requests());
        let walked = journal.walk_back(&stream, Version::MAX, visit).await;
        walked.map_err(replay_error)?;
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
