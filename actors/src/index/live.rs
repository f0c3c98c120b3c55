//! A live index: its state, and the one way in which it changes.

use std::sync::Arc;

use evenkeel_domain::Event;
use evenkeel_domain::check::{self, Finding, Verdict};
use evenkeel_domain::drift::Slots;
use evenkeel_domain::index::{self, Index, IndexCommand, IndexEvent, IndexRefusal, Status};
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::{Conditions, RebalanceStatus};
use evenkeel_domain::trading::TradingMode;
use evenkeel_domain::values::{Asset, IndexId};
use evenkeel_events::codec;
use evenkeel_events::{AppendError, StreamId};
use evenkeel_snapshots::Snapshot;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::decisions::DecisionRequest;
use super::figures::StuckMark;
use super::rebalancing::RunningSaga;
use super::{CommandRequest, IndexArguments, IndexMsg, Reply};
use crate::cycle::{CheckNote, CheckTicket};
use crate::directory::Entry;
use crate::engine::{EngineError, IndexView};
use crate::journal::{Origin, ReplayError};
use crate::ports::Venue;
use crate::saga::Urge;
use crate::shell::Shell;
use crate::streams;

/// Layout of [`Index`] in snapshots; raise it with every change of that struct.
pub(crate) const SNAPSHOT_SCHEMA: u16 = 3;

/// What a check found that needs more than a look.
pub(crate) struct Found {
    pub(crate) ticket: CheckTicket,
    pub(crate) finding: Finding,
}

/// A live index.
pub(crate) struct Live {
    pub(super) id: IndexId,
    pub(super) shell: Arc<Shell>,
    pub(super) index: Option<Index>,
    pub(super) version: u64,
    snapshot_version: u64,
    slots: Slots,
    pub(super) venue: Option<Arc<dyn Venue>>,
    pub(super) saga: Option<Box<RunningSaga>>,
    pub(super) saga_failures: u32,
    /// A decision that waits until the saga has let go of the order that it is about.
    pub(super) deferred: Option<Box<DecisionRequest>>,
    pub(super) stuck: Option<StuckMark>,
    pub(super) stopping: Option<oneshot::Sender<()>>,
}

impl Live {
    /// The state from the newest snapshot and the events after it.
    pub(crate) async fn rehydrate(with: IndexArguments) -> Result<Self, ReplayError> {
        let IndexArguments { id, shell, loaded } = with;
        let stream = streams::index(id);
        let (mut index, from) = take_up(&shell, &stream, loaded);
        let apply = |event: &Event| adopt(&mut index, event);
        let version = shell.journal.replay(&stream, from, apply).await?;
        let venue = index.as_ref().and_then(|index| venue_of(&shell, index));
        let mut live = Self {
            id,
            shell,
            index,
            version,
            snapshot_version: from,
            slots: Slots::default(),
            venue,
            saga: None,
            saga_failures: 0,
            deferred: None,
            stuck: None,
            stopping: None,
        };
        live.mark_stuck();
        Ok(live)
    }

    pub(crate) fn view(&self) -> Result<IndexView, EngineError> {
        match &self.index {
            Some(index) if index.status != Status::Deleted => Ok(IndexView {
                index: index.clone(),
                version: self.version,
            }),
            _ => Err(EngineError::NotFound("index")),
        }
    }

    /// One look: answers a quiet check at once and gives back what needs more.
    pub(crate) fn look(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        ticket: CheckTicket,
    ) -> Option<Box<Found>> {
        let (Some(index), Some(venue)) = (&self.index, &self.venue) else {
            ticket.answer(CheckNote {
                skipped: self.index.is_some(),
                ..CheckNote::default()
            });
            return None;
        };
        let rules = |asset| venue.rules(asset);
        let cycle = &ticket.cycle;
        let mode = self.mode_now();
        let mut finding = check::check(index, &cycle.prices, &mut self.slots, &rules, cycle.now);
        if mode == TradingMode::Halted {
            finding = check::halted(index, finding, cycle.now);
        }
        self.nudge(myself);
        let quiet = finding.events.is_empty() && !matches!(finding.verdict, Verdict::Rebalance(_));
        if quiet {
            ticket.answer(note(&finding, index));
            return None;
        }
        Some(Box::new(Found { ticket, finding }))
    }

    /// A check is the heartbeat of whatever waits: a stuck order, a transfer.
    fn nudge(&self, myself: &ActorRef<IndexMsg>) {
        let Some(index) = &self.index else { return };
        if !index.transfers.is_empty() {
            // The actor is alive, it is handling a message: the cast reaches it.
            let _ = myself.cast(IndexMsg::SettleTransfers);
        }
        let message = match self.status() {
            // The same: it starts the saga if there is none, and has it ask the venue.
            Some(RebalanceStatus::Stuck) => IndexMsg::RestartSaga,
            Some(RebalanceStatus::Planned) => IndexMsg::ExpireApproval,
            _ => return,
        };
        let _ = myself.cast(message);
    }

    /// Appends what a check found and starts the rebalance that it calls for.
    pub(crate) async fn follow_up(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        found: Found,
    ) -> Result<(), AppendError> {
        let Found { ticket, finding } = found;
        let Some(index) = &self.index else {
            return Ok(());
        };
        let owner = Some(index.owner);
        let note = note(&finding, index);
        let origin = Origin::new(owner, "schedule:drift-monitor", ticket.cycle.correlation());
        let prices = Arc::clone(&ticket.cycle.prices);
        if let Verdict::Rebalance(trigger) = finding.verdict {
            let running = ticket.rebalance();
            self.begin(
                myself,
                trigger,
                finding.events,
                &prices,
                &origin,
                Some(running),
            )
            .await?;
        } else {
            self.commit(
                finding.events.into_iter().map(Event::Index).collect(),
                &origin,
            )
            .await?;
        }
        ticket.answer(note);
        Ok(())
    }

    /// Everything but checks and views.
    pub(crate) async fn handle_rare(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        message: IndexMsg,
    ) -> Result<(), AppendError> {
        match message {
            IndexMsg::Command(request) => self.command(myself, *request).await,
            IndexMsg::Rebalance(request) => self.rebalance(myself, *request).await,
            IndexMsg::Report(report) => self.take_report(myself, *report).await,
            IndexMsg::SettleTransfers => self.settle_transfers(myself).await,
            IndexMsg::Decide(request) => self.take_decision(myself, *request).await,
            IndexMsg::ExpireApproval => self.expire_approval(myself).await,
            IndexMsg::Reconcile(request) => {
                self.reconcile(myself, *request);
                Ok(())
            }
            IndexMsg::HeldAtVenue(held) => self.take_held(*held).await,
            IndexMsg::RestartSaga => self.resume(myself).await,
            IndexMsg::Stop(done) => {
                self.stop(myself, done).await;
                Ok(())
            }
            IndexMsg::Check(_) | IndexMsg::Get(_) => Ok(()),
            #[cfg(any(test, feature = "faults"))]
            #[expect(clippy::panic, reason = "the fault that is asked for")]
            IndexMsg::Panic => panic!("a panic was asked for"),
        }
    }

    async fn command(
        &mut self,
        myself: &ActorRef<IndexMsg>,
        request: CommandRequest,
    ) -> Result<(), AppendError> {
        let CommandRequest {
            command,
            if_version,
            origin,
            reply,
        } = request;
        if let Some(expected) = if_version.filter(|expected| *expected != self.version) {
            let refusal = EngineError::VersionMismatch {
                expected,
                actual: self.version,
            };
            let _ = reply.send(Err(refusal));
            return Ok(());
        }
        let moves_funds = matches!(
            command,
            IndexCommand::Deposit { .. } | IndexCommand::Withdraw { .. }
        );
        let sets_mode = match &command {
            IndexCommand::SetTradingMode { mode, .. } => Some(*mode),
            _ => None,
        };
        match index::decide(self.index.as_ref(), command, self.shell.now()) {
            Err(refusal) => answer(reply, Err(from_refusal(refusal))),
            Ok(events) => {
                let events: Vec<Event> = events.into_iter().map(Event::Index).collect();
                // While the saga's switch is closed no order is being sent: when this is
                // answered, none is sent any more that the new mode forbids.
                let switch = self.saga.as_ref().map(|saga| Arc::clone(&saga.switch));
                let closed = match (&switch, sets_mode) {
                    (Some(switch), Some(mode)) => Some((switch.close().await, mode)),
                    _ => None,
                };
                self.commit(events, &origin).await?;
                if let Some((closed, mode)) = closed {
                    closed.set(mode);
                }
                if moves_funds {
                    self.settle_transfers(myself).await?;
                    self.invest_if_due(myself, &origin).await?;
                }
                let view = match &self.index {
                    Some(index) => Ok(IndexView {
                        index: index.clone(),
                        version: self.version,
                    }),
                    None => Err(EngineError::NotFound("index")),
                };
                answer(reply, view);
                self.end_if_gone(myself).await;
            }
        }
        Ok(())
    }

    /// The one way in which a live index changes: append, then adopt.
    pub(super) async fn commit(
        &mut self,
        events: Vec<Event>,
        origin: &Origin,
    ) -> Result<(), AppendError> {
        if events.is_empty() {
            return Ok(());
        }
        self.version = self
            .shell
            .journal
            .append(&streams::index(self.id), self.version, &events, origin)
            .await?;
        for event in &events {
            adopt(&mut self.index, event);
            self.count(event);
        }
        self.mark_stuck();
        self.publish(&events);
        if self
            .shell
            .settings
            .snapshots
            .due(self.version, self.snapshot_version)
        {
            self.save_snapshot().await;
        }
        Ok(())
    }

    /// Tells the directory what lists and dispatch need to know.
    fn publish(&mut self, events: &[Event]) {
        let described = |event: &Event| {
            matches!(
                event,
                Event::Index(
                    IndexEvent::Created(_)
                        | IndexEvent::Updated(_)
                        | IndexEvent::Paused(_)
                        | IndexEvent::Resumed(_)
                        | IndexEvent::Deleted(_)
                        | IndexEvent::Deposited(_)
                        | IndexEvent::Reconciled(_),
                )
            )
        };
        let Some(index) = self.index.as_ref().filter(|_| events.iter().any(described)) else {
            return;
        };
        let entry = Entry::new(index.owner, &index.definition, index.status);
        self.shell.directory.write().insert(self.id, entry);
        self.venue = venue_of(&self.shell, index);
        self.shell.track(index);
    }

    pub(super) async fn save_snapshot(&mut self) {
        let Some(index) = &self.index else { return };
        let state = match codec::encode(index) {
            Ok(state) => state.into(),
            Err(error) => return tracing::warn!(index = %self.id, %error, "no snapshot"),
        };
        let snapshot = Snapshot {
            version: self.version,
            schema: SNAPSHOT_SCHEMA,
            state,
        };
        match self
            .shell
            .snapshots
            .save(streams::index(self.id).as_str(), snapshot)
            .await
        {
            Ok(()) => self.snapshot_version = self.version,
            Err(error) => tracing::warn!(index = %self.id, %error, "no snapshot"),
        }
    }

    /// Ends the actor of an index that was never made or is deleted.
    async fn end_if_gone(&mut self, myself: &ActorRef<IndexMsg>) {
        if self
            .index
            .as_ref()
            .is_none_or(|index| index.status == Status::Deleted)
        {
            // A snapshot of a deleted index is of no use; a lost one would only be replay.
            let _ = self
                .shell
                .snapshots
                .forget(streams::index(self.id).as_str())
                .await;
            myself.stop(None);
        }
    }

    /// Ends at a step boundary: at once, or when the order that is out has been answered.
    async fn stop(&mut self, myself: &ActorRef<IndexMsg>, done: oneshot::Sender<()>) {
        if self.saga.is_some() && self.status() == Some(RebalanceStatus::Executing) {
            self.stopping = Some(done);
            self.urge(Urge::Stop);
            return;
        }
        self.finish(myself, done).await;
    }

    pub(super) async fn finish(&mut self, myself: &ActorRef<IndexMsg>, done: oneshot::Sender<()>) {
        if self.version > self.snapshot_version {
            self.save_snapshot().await;
        }
        let _ = done.send(());
        myself.stop(None);
    }

    /// The stricter of the two kill switches.
    pub(super) fn mode_now(&self) -> TradingMode {
        let own = self.index.as_ref().map(|index| index.mode);
        let all = self.shell.trading.switch.mode();
        all.stricter(own.unwrap_or_default())
    }

    pub(super) fn conditions<'a>(
        &self,
        rules: &'a dyn Fn(Asset) -> InstrumentRules,
    ) -> Conditions<'a> {
        Conditions {
            rules,
            mode: self.mode_now(),
            now: self.shell.now(),
        }
    }

    pub(super) fn rules(&self) -> impl Fn(Asset) -> InstrumentRules + use<> {
        let venue = self.venue.clone();
        move |asset| {
            venue
                .as_ref()
                .map_or(crate::ports::NO_RULES, |venue| venue.rules(asset))
        }
    }
}

/// Answers; an asker that has gone is no error.
pub(super) fn answer<T>(reply: Reply<T>, answer: Result<T, EngineError>) {
    let _ = reply.send(answer);
}

fn from_refusal(refusal: IndexRefusal) -> EngineError {
    match refusal {
        IndexRefusal::NotFound => EngineError::NotFound("index"),
        other => EngineError::Index(other),
    }
}

fn adopt(index: &mut Option<Index>, event: &Event) {
    match event {
        Event::Index(event) => index::apply(index, event),
        Event::Rebalance(event) => index::apply_rebalance(index, event),
        Event::Market(_)
        | Event::Job(_)
        | Event::Webhook(_)
        | Event::Access(_)
        | Event::Trading(_)
        | Event::Request(_) => {}
    }
}

fn venue_of(shell: &Shell, index: &Index) -> Option<Arc<dyn Venue>> {
    let account = index.definition.account.as_str();
    let venue = shell.venues.get(account).map(Arc::clone);
    if venue.is_none() {
        tracing::error!(index = %index.index_id, account, "no venue has this account; the index is not watched");
    }
    venue
}

fn note(finding: &Finding, index: &Index) -> CheckNote {
    let drift = finding.headline.map(|headline| headline.drift);
    CheckNote {
        watched: finding.verdict != Verdict::NotWatched,
        drifted: drift.is_some_and(|drift| drift > evenkeel_domain::drift::DUST),
        exceeded: finding
            .headline
            .is_some_and(|headline| check::is_breach(index, &headline)),
        skipped: matches!(finding.verdict, Verdict::Skipped(_)),
    }
}

/// The state in a snapshot and its version; nothing where the snapshot is of no use.
fn take_up(shell: &Shell, stream: &StreamId, snapshot: Option<Snapshot>) -> (Option<Index>, u64) {
    let known = shell.journal.log.version(stream);
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.version <= known) else {
        return (None, 0);
    };
    match codec::decode::<Index>(&snapshot.state) {
        Ok(index) => (Some(index), snapshot.version),
        Err(error) => {
            tracing::warn!(%stream, %error, "the snapshot cannot be read; the events are replayed");
            (None, 0)
        }
    }
}
