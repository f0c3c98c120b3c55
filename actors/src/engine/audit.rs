//! Reading the log: pages of a stream, pages of everything.

use std::ops::ControlFlow;

use evenkeel_domain::values::OwnerId;
use evenkeel_events::{OwnerKey, Position, ReadError, Recorded, StreamId, Version};

use super::{Caller, Engine, EngineError, HistoryPage, LoggedEvent};
use crate::journal::{self, ReplayError};

/// Events read at once while a page is filled.
const PAGE: usize = 256;

/// Events looked at for one page of the audit: a filter that matches little answers an empty
/// page with the position it came to, instead of reading the whole log in one request.
const LOOKED_AT_MAX: usize = 20_000;

impl Engine {
    /// Events after a position that the caller may see and whose type passes, oldest first, and
    /// the position up to which the log was looked at.
    pub async fn events(
        &self,
        caller: &Caller,
        after: Position,
        wanted: &(dyn Fn(&str) -> bool + Send + Sync),
        limit: usize,
    ) -> Result<(Vec<LoggedEvent>, Position), EngineError> {
        let (mut found, mut at, mut looked_at) = (Vec::new(), after, 0);
        while found.len() < limit && looked_at < LOOKED_AT_MAX {
            let page = self
                .shell()
                .journal
                .log
                .read(at, PAGE)
                .await
                .map_err(read_error)?;
            if page.is_empty() {
                break;
            }
            looked_at += page.len();
            for recorded in &page {
                if found.len() == limit {
                    break;
                }
                at = recorded.position;
                if may_see(caller, recorded) && wanted(&recorded.event_type) {
                    found.push(journal::logged(recorded).map_err(replay_error)?);
                }
            }
        }
        Ok((found, at))
    }

    /// A page of a stream, newest first; `take` says what to make of an event.
    pub(super) async fn history<T: Send>(
        &self,
        stream: &StreamId,
        before: Option<Version>,
        limit: usize,
        take: impl Fn(LoggedEvent) -> Option<T> + Send + Sync,
    ) -> Result<HistoryPage<T>, EngineError> {
        let (mut items, mut next) = (Vec::new(), None);
        let visit = |recorded: &Recorded| {
            items.extend(take(journal::logged(recorded)?));
            if items.len() < limit {
                return Ok(ControlFlow::Continue(()));
            }
            next = Some(recorded.version).filter(|version| *version > 1);
            Ok(ControlFlow::Break(()))
        };
        let before = before.unwrap_or(Version::MAX);
        let walked = self.shell().journal.walk_back(stream, before, visit);
        walked.await.map_err(replay_error)?;
        Ok(HistoryPage { items, next })
    }
}

fn may_see(caller: &Caller, recorded: &Recorded) -> bool {
    let owner = recorded.metadata.owner;
    caller.is_admin() || (owner != OwnerKey::SYSTEM && OwnerId::from_u128(owner.0) == caller.owner)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
pub(super) fn read_error(error: ReadError) -> EngineError {
    EngineError::Log(error.to_string())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
pub(super) fn replay_error(error: ReplayError) -> EngineError {
    EngineError::Log(error.to_string())
}
