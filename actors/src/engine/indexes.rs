//! Indexes: commands go to the index's actor, lists come from the directory.

use std::ops::Bound;

use evenkeel_domain::Event;
use evenkeel_domain::drift;
use evenkeel_domain::index::{Definition, Funds, IndexCommand, Status};
use evenkeel_domain::rebalance::RebalanceEvent;
use evenkeel_domain::values::{IndexId, OwnerId, TransferId};
use evenkeel_events::Direction;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::audit::{read_error, replay_error};
use super::{
    Caller, DriftView, Engine, EngineError, HistoryPage, IndexFilter, IndexPage, IndexView,
    LoggedEvent, RebalanceAnswer, answered,
};
use crate::books::RebalanceRecord;
use crate::index::{CommandRequest, IndexMsg, RebalanceRequest};
use crate::indexes::IndexesMsg;
use crate::journal::{self, Origin};
use crate::streams;

/// Events read at once while rebalances are put together.
const PAGE: usize = 512;

impl Engine {
    /// Defines an index for the caller's owner.
    pub async fn create_index(
        &self,
        caller: &Caller,
        definition: Definition,
    ) -> Result<IndexView, EngineError> {
        let _place = self.admit()?;
        let definition = self.accepted(definition)?;
        self.not_erased(caller)?;
        let max = self.shell().settings.indexes_per_owner_max;
        if self.shell().directory.owned_by(caller.owner) >= max {
            return Err(EngineError::TooMany {
                what: "indexes per owner",
                max,
            });
        }
        let index_id = IndexId::from_u128(self.shell().ids.next());
        let (up, is_up) = oneshot::channel();
        let sent = self
            .shell()
            .handles
            .indexes
            .cast(IndexesMsg::Spawn(index_id, up));
        if !sent || !is_up.await.unwrap_or(false) {
            return Err(EngineError::Unavailable("the index"));
        }
        let command = IndexCommand::Create {
            index_id,
            owner: caller.owner,
            definition,
        };
        self.send_command(index_id, command, None, caller.origin(Some(caller.owner)))
            .await
    }

    /// A definition that holds together, names a known account and only assets that can be priced.
    fn accepted(&self, definition: Definition) -> Result<Definition, EngineError> {
        let definition = definition.validated()?;
        let (venues, account) = (&self.shell().venues, definition.account.as_str());
        if !venues.contains_key(account) {
            let known = venues.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(EngineError::UnknownAccount {
                found: account.to_owned(),
                known,
            });
        }
        let unknown = |feed: &std::sync::Arc<dyn crate::ports::PriceFeed>| {
            definition
                .constituents
                .iter()
                .map(|line| line.asset)
                .find(|asset| !feed.knows(*asset))
        };
        match self.shell().feed.as_ref().and_then(unknown) {
            Some(asset) => Err(EngineError::UnknownAsset(asset)),
            None => Ok(definition),
        }
    }

    /// An index.
    pub async fn index(&self, caller: &Caller, id: IndexId) -> Result<IndexView, EngineError> {
        self.allowed(caller, id)?;
        let (reply, answer) = oneshot::channel();
        self.to_index(id, IndexMsg::Get(reply))?;
        answered("the index", answer).await
    }

    /// The caller's indexes (every owner's for admins), in the order of their ids.
    pub async fn indexes(
        &self,
        caller: &Caller,
        filter: IndexFilter,
    ) -> Result<IndexPage, EngineError> {
        let mut ids = self.matching(caller, &filter);
        let next = if ids.len() > filter.limit {
            ids.truncate(filter.limit);
            ids.last().copied()
        } else {
            None
        };
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            match self.index(caller, id).await {
                Ok(view) => items.push(view),
                // Deleted since the ids were collected.
                Err(EngineError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(IndexPage { items, next })
    }

    /// One id more than the limit, to tell whether there is a next page.
    fn matching(&self, caller: &Caller, filter: &IndexFilter) -> Vec<IndexId> {
        let owner = if caller.is_admin() {
            filter.owner
        } else {
            Some(caller.owner)
        };
        let directory = self.shell().directory.read();
        let from = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let matches = directory
            .range((from, Bound::Unbounded))
            .filter(|(_, entry)| {
                let tagged = |tag: &String| entry.tags.iter().any(|own| **own == **tag);
                entry.status != Status::Deleted
                    && owner.is_none_or(|owner| owner == entry.owner)
                    && filter.status.is_none_or(|status| status == entry.status)
                    && filter.tag.as_ref().is_none_or(tagged)
            });
        matches.map(|(id, _)| *id).take(filter.limit + 1).collect()
    }

    /// Replaces an index's definition. With `if_version`, only if it is at that version.
    pub async fn update_index(
        &self,
        caller: &Caller,
        id: IndexId,
        definition: Definition,
        if_version: Option<u64>,
    ) -> Result<IndexView, EngineError> {
        let definition = self.accepted(definition)?;
        self.command(caller, id, IndexCommand::Update { definition }, if_version)
            .await
    }

    /// Deletes an index.
    pub async fn delete_index(&self, caller: &Caller, id: IndexId) -> Result<(), EngineError> {
        self.command(caller, id, IndexCommand::Delete, None)
            .await
            .map(|_| ())
    }

    /// Stops watching an index.
    pub async fn pause_index(
        &self,
        caller: &Caller,
        id: IndexId,
    ) -> Result<IndexView, EngineError> {
        self.command(caller, id, IndexCommand::Pause, None).await
    }

    /// Watches an index again.
    pub async fn resume_index(
        &self,
        caller: &Caller,
        id: IndexId,
    ) -> Result<IndexView, EngineError> {
        self.command(caller, id, IndexCommand::Resume, None).await
    }

    /// Books funds that came in; with `invest`, starts the first construction where prices allow.
    pub async fn deposit(
        &self,
        caller: &Caller,
        id: IndexId,
        funds: Funds,
        invest: bool,
    ) -> Result<IndexView, EngineError> {
        let transfer_id = TransferId::from_u128(self.shell().ids.next());
        self.command(
            caller,
            id,
            IndexCommand::Deposit {
                transfer_id,
                funds,
                invest,
            },
            None,
        )
        .await
    }

    /// Books funds that go out.
    pub async fn withdraw(
        &self,
        caller: &Caller,
        id: IndexId,
        funds: Funds,
    ) -> Result<IndexView, EngineError> {
        let transfer_id = TransferId::from_u128(self.shell().ids.next());
        self.command(
            caller,
            id,
            IndexCommand::Withdraw { transfer_id, funds },
            None,
        )
        .await
    }

    /// Rebalances by hand, or says what would be done.
    pub async fn rebalance(
        &self,
        caller: &Caller,
        id: IndexId,
        dry_run: bool,
        force: bool,
    ) -> Result<RebalanceAnswer, EngineError> {
        let _place = self.admit()?;
        let owner = self.allowed(caller, id)?;
        let origin = caller.origin(Some(owner));
        let (reply, answer) = oneshot::channel();
        self.to_index(
            id,
            IndexMsg::Rebalance(Box::new(RebalanceRequest {
                dry_run,
                force,
                origin,
                reply,
            })),
        )?;
        answered("the index", answer).await
    }

    /// Drift now.
    pub async fn drift(&self, caller: &Caller, id: IndexId) -> Result<DriftView, EngineError> {
        let index = self.index(caller, id).await?.index;
        let report = drift::report(&index, &self.shell().latest_prices())?;
        let threshold = index.definition.rebalancing.drift_threshold;
        Ok(DriftView {
            index_id: id,
            as_of: self.shell().now(),
            threshold,
            report,
        })
    }

    /// Events of an index whose type passes `wanted`, newest first.
    pub async fn index_events(
        &self,
        caller: &Caller,
        id: IndexId,
        wanted: &(dyn Fn(&str) -> bool + Send + Sync),
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<LoggedEvent>, EngineError> {
        self.allowed(caller, id)?;
        let take = |logged: LoggedEvent| wanted(&logged.event_type).then_some(logged);
        self.history(&streams::index(id), before, limit, take).await
    }

    /// Rebalances of an index, newest first. The cursor is a version of the index's stream: the
    /// next page holds rebalances that began before it.
    pub async fn rebalances(
        &self,
        caller: &Caller,
        id: IndexId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<RebalanceRecord>, EngineError> {
        self.allowed(caller, id)?;
        let stream = streams::index(id);
        let (mut items, mut from, mut later) = (Vec::new(), before.unwrap_or(u64::MAX), Vec::new());
        loop {
            let page = self
                .shell()
                .journal
                .log
                .read_stream(&stream, from, PAGE, Direction::Backward)
                .await;
            let page = page.map_err(read_error)?;
            for recorded in &page {
                from = recorded.version;
                let Event::Rebalance(event) = journal::decode(recorded).map_err(replay_error)?
                else {
                    continue;
                };
                let begins = matches!(event, RebalanceEvent::Started(_));
                later.push(event);
                if begins {
                    items.extend(RebalanceRecord::of(id, later.drain(..).rev()));
                    if items.len() == limit {
                        return Ok(HistoryPage {
                            items,
                            next: (from > 1).then_some(from),
                        });
                    }
                }
            }
            if page.len() < PAGE {
                return Ok(HistoryPage { items, next: None });
            }
        }
    }

    pub(super) async fn command(
        &self,
        caller: &Caller,
        id: IndexId,
        command: IndexCommand,
        if_version: Option<u64>,
    ) -> Result<IndexView, EngineError> {
        let _place = self.admit()?;
        let owner = self.allowed(caller, id)?;
        self.send_command(id, command, if_version, caller.origin(Some(owner)))
            .await
    }

    async fn send_command(
        &self,
        id: IndexId,
        command: IndexCommand,
        if_version: Option<u64>,
        origin: Origin,
    ) -> Result<IndexView, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.to_index(
            id,
            IndexMsg::Command(Box::new(CommandRequest {
                command,
                if_version,
                origin,
                reply,
            })),
        )?;
        answered("the index", answer).await
    }

    /// Another owner's index does not exist for the caller.
    pub(super) fn allowed(&self, caller: &Caller, id: IndexId) -> Result<OwnerId, EngineError> {
        let owner = self.shell().directory.owner(id);
        owner
            .filter(|owner| caller.is_admin() || *owner == caller.owner)
            .ok_or(EngineError::NotFound("index"))
    }

    pub(super) fn to_index(&self, id: IndexId, message: IndexMsg) -> Result<(), EngineError> {
        let actor: Option<ActorRef<IndexMsg>> = self.inner.registry.get(id);
        let sent = actor.is_some_and(|actor| actor.cast(message).is_ok());
        if sent {
            Ok(())
        } else {
            Err(EngineError::Unavailable("the index"))
        }
    }

    /// Makes the actor of an index panic: shows that a panic stays with one index.
    #[cfg(any(test, feature = "faults"))]
    pub fn inject_panic(&self, id: IndexId) -> Result<(), EngineError> {
        self.to_index(id, IndexMsg::Panic)
    }
}
