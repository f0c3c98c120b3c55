//! The journal: domain events into the log and out of it.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use evenkeel_domain::Event;
use evenkeel_domain::values::{EventKey, OwnerId, Timestamp};
use evenkeel_events::{
    AppendError, Causation, Direction, EventLog, Expected, Metadata, NewEvent, OwnerKey, Position,
    ReadError, Recorded, StreamAppend, StreamId, Version,
};

use crate::catalogue::{self, CatalogueError};
use crate::engine::LoggedEvent;
use crate::ports::Clock;

/// Events read per page while a state is rebuilt: bounds the memory of a rehydration.
const REPLAY_PAGE: usize = 512;

/// Events read per page while a history is looked through: a page of it is often enough.
const WALK_PAGE: usize = 256;

/// Who causes a change, on whose data, and in which request or run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Whose data; none for the system's.
    pub owner: Option<OwnerId>,
    /// Who: `token:tok_…`, `schedule:drift-monitor`, `system`.
    pub by: Arc<str>,
    /// The request or run.
    pub correlation: EventKey,
    /// What led to it directly.
    pub causation: EventKey,
}

/// Why a state could not be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event in it cannot.
    #[error("position {position}: {source}")]
    Event {
        /// Where it stands.
        position: u64,
        /// What is wrong with it.
        source: CatalogueError,
    },
}

/// The log as the actors use it.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
}

impl Journal {
    pub(crate) fn new(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    /// Appends events to a stream that is expected at a version; gives the version after them.
    /// Durable when it returns.
    pub(crate) async fn append(
        &self,
        stream: &StreamId,
        expected: Version,
        events: &[Event],
        origin: &Origin,
    ) -> Result<Version, AppendError> {
        let recorded_at_us = self.clock.now().as_micros();
        let mut new_events = Vec::with_capacity(events.len());
        for event in events {
            new_events.push(new_event(event, origin, recorded_at_us)?);
        }
        let append = StreamAppend {
            stream: stream.clone(),
            expected: Expected::Exact(expected),
            events: new_events,
        };
        let appended = self.log.append(vec![append]).await?;
        Ok(appended.versions.first().copied().unwrap_or(expected))
    }

    /// Appends an event to a stream that many write and nobody decides on; gives its position.
    /// Durable when it returns.
    pub(crate) async fn note(
        &self,
        stream: &StreamId,
        event: Event,
        origin: &Origin,
    ) -> Result<Position, AppendError> {
        let append = StreamAppend {
            stream: stream.clone(),
            expected: Expected::Any,
            events: vec![new_event(&event, origin, self.clock.now().as_micros())?],
        };
        Ok(self.log.append(vec![append]).await?.last)
    }

    /// Feeds the events of a stream after a version to `apply`; gives the version reached.
    pub(crate) async fn replay(
        &self,
        stream: &StreamId,
        after: Version,
        apply: impl FnMut(&Event) + Send,
    ) -> Result<Version, ReplayError> {
        self.replay_until(stream, after, None, apply).await
    }

    /// The same of what was recorded until a time.
    pub(crate) async fn replay_until(
        &self,
        stream: &StreamId,
        mut after: Version,
        until: Option<Timestamp>,
        mut apply: impl FnMut(&Event) + Send,
    ) -> Result<Version, ReplayError> {
        loop {
            let page = self
                .log
                .read_stream(stream, after, REPLAY_PAGE, Direction::Forward)
                .await?;
            for recorded in &page {
                if until.is_some_and(|until| recorded_at(recorded) > until) {
                    return Ok(after);
                }
                apply(&decode(recorded)?);
                after = recorded.version;
            }
            if page.len() < REPLAY_PAGE {
                return Ok(after);
            }
        }
    }

    /// Shows the events of a stream before a version to `visit`, the newest first, until it breaks
    /// off or the stream begins.
    pub(crate) async fn walk_back(
        &self,
        stream: &StreamId,
        mut before: Version,
        mut visit: impl FnMut(&Recorded) -> Result<ControlFlow<()>, ReplayError> + Send,
    ) -> Result<(), ReplayError> {
        loop {
            let page = self
                .log
                .read_stream(stream, before, WALK_PAGE, Direction::Backward)
                .await?;
            for recorded in &page {
                if visit(recorded)?.is_break() {
                    return Ok(());
                }
                before = recorded.version;
            }
            if page.len() < WALK_PAGE {
                return Ok(());
            }
        }
    }
}

fn new_event(event: &Event, origin: &Origin, recorded_at_us: i64) -> Result<NewEvent, AppendError> {
    let (event_type, payload_version) = catalogue::type_of(event);
    let payload =
        catalogue::encode(event).map_err(|e| AppendError::Invalid(format!("{event_type}: {e}")))?;
    Ok(NewEvent {
        event_type,
        payload_version,
        payload: Bytes::from(payload),
        metadata: origin.metadata(recorded_at_us),
    })
}

impl Origin {
    /// An origin that began the request or run it belongs to.
    pub(crate) fn new(owner: Option<OwnerId>, by: &str, correlation: EventKey) -> Self {
        Self {
            owner,
            by: by.into(),
            correlation,
            causation: correlation,
        }
    }

    fn metadata(&self, recorded_at_us: i64) -> Metadata {
        Metadata {
            owner: self
                .owner
                .map_or(OwnerKey::SYSTEM, |owner| OwnerKey(owner.as_u128())),
            by: Arc::clone(&self.by),
            cause: Causation {
                correlation: self.correlation.as_u128(),
                causation: self.causation.as_u128(),
            },
            recorded_at_us,
        }
    }
}

/// When a record was made.
pub(crate) fn recorded_at(recorded: &Recorded) -> Timestamp {
    Timestamp::from_micros(recorded.metadata.recorded_at_us)
}

/// The event in a record.
pub fn decode(recorded: &Recorded) -> Result<Event, ReplayError> {
    catalogue::decode(
        &recorded.event_type,
        recorded.payload_version,
        &recorded.payload,
    )
    .map_err(|source| ReplayError::Event {
        position: recorded.position,
        source,
    })
}

/// The event in a record, with its envelope.
pub fn logged(recorded: &Recorded) -> Result<LoggedEvent, ReplayError> {
    let owner = recorded.metadata.owner;
    Ok(LoggedEvent {
        position: recorded.position,
        stream: recorded.stream.to_string(),
        version: recorded.version,
        event_type: Arc::clone(&recorded.event_type),
        payload_version: recorded.payload_version,
        at: recorded_at(recorded),
        owner: (owner != OwnerKey::SYSTEM).then(|| OwnerId::from_u128(owner.0)),
        by: Arc::clone(&recorded.metadata.by),
        correlation: EventKey::from_u128(recorded.metadata.cause.correlation),
        causation: EventKey::from_u128(recorded.metadata.cause.causation),
        event: decode(recorded)?,
    })
}
