//! The engine as its users see it: commands and queries. HTTP, CLI and embedding programs use it.

mod answers;
mod error;

pub use answers::{
    Caller, DeliveryView, DriftView, EngineStatus, HistoryPage, IndexFilter, IndexPage, IndexView,
    LoggedEvent, PricesView, RebalanceAnswer, RebalanceView, RunView, WebhookView,
};
pub use error::EngineError;

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_domain::access::{Name as AccessName, Owner, Scope};
use evenkeel_domain::index::{Definition, Funds};
use evenkeel_domain::job::{Job, JobName, Pattern, RunCompleted, Timezone};
use evenkeel_domain::market::{PriceGuard, RecordPrices};
use evenkeel_domain::values::{IndexId, OwnerId, TokenId, WebhookId};
use evenkeel_domain::webhook::{AttemptResult, Target};
use evenkeel_events::{EventLog, Position};
use evenkeel_snapshots::SnapshotStore;

use crate::ports::{Clock, Entropy, PriceFeed, Venue, WebhookTransport};

/// What the engine is built on.
pub struct Ports {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The feed that is polled per cycle; none for the push feed.
    pub feed: Option<Arc<dyn PriceFeed>>,
    /// Venues by account name.
    pub venues: BTreeMap<String, Arc<dyn Venue>>,
    /// Webhooks.
    pub transport: Arc<dyn WebhookTransport>,
}

/// What the engine can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far prices may move and how old they may be.
    pub guard: PriceGuard,
    /// Schedule of the drift monitor, five fields of cron; a job that was changed over the API
    /// keeps its change until this setting changes.
    pub drift_schedule: String,
    /// Its time zone.
    pub drift_timezone: String,
    /// Whether its schedule runs it.
    pub drift_enabled: bool,
    /// A snapshot of an index every so many events.
    pub snapshot_every: u64,
    /// Commands from outside in flight at once; more are refused as busy.
    pub commands_in_flight_max: usize,
    /// Indexes per owner.
    pub indexes_per_owner_max: usize,
    /// Subscriptions per owner.
    pub webhooks_per_owner_max: usize,
}

/// The engine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<()>,
}

impl Engine {
    /// Opens the books: rehydrates everything, resumes what a crash left open, starts the schedule.
    pub async fn start(ports: Ports, settings: Settings) -> Result<Self, EngineError> {
        let _ = (ports, settings);
        unimplemented!()
    }

    /// Stops orderly: no new work, sagas to a step boundary, snapshots, flush.
    pub async fn stop(&self) {
        let _ = &self.inner;
        unimplemented!()
    }

    // --- access -------------------------------------------------------------------------------

    /// Who a token belongs to, by the SHA-256 of the token.
    pub fn identify(&self, token_hash: &[u8; 32]) -> Option<Caller> {
        let _ = token_hash;
        unimplemented!()
    }

    /// Makes the first owner with an admin token; none if there is an owner already.
    pub async fn bootstrap(&self, token_hash: [u8; 32]) -> Result<Option<Owner>, EngineError> {
        let _ = token_hash;
        unimplemented!()
    }

    /// Makes an owner.
    pub async fn create_owner(
        &self,
        caller: &Caller,
        name: AccessName,
    ) -> Result<Owner, EngineError> {
        let _ = (caller, name);
        unimplemented!()
    }

    /// All owners.
    pub fn owners(&self) -> Vec<Owner> {
        unimplemented!()
    }

    /// Issues a token to an owner.
    pub async fn issue_token(
        &self,
        caller: &Caller,
        owner: OwnerId,
        name: AccessName,
        hash: [u8; 32],
        scopes: Vec<Scope>,
    ) -> Result<TokenId, EngineError> {
        let _ = (caller, owner, name, hash, scopes);
        unimplemented!()
    }

    /// Revokes a token.
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        owner: OwnerId,
        token: TokenId,
    ) -> Result<(), EngineError> {
        let _ = (caller, owner, token);
        unimplemented!()
    }

    // --- indexes ------------------------------------------------------------------------------

    /// Defines an index for the caller's owner.
    pub async fn create_index(
        &self,
        caller: &Caller,
        definition: Definition,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, definition);
        unimplemented!()
    }

    /// An index.
    pub async fn index(&self, caller: &Caller, id: IndexId) -> Result<IndexView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// The caller's indexes (every owner's for admins), in the order of their ids.
    pub async fn indexes(
        &self,
        caller: &Caller,
        filter: IndexFilter,
    ) -> Result<IndexPage, EngineError> {
        let _ = (caller, filter);
        unimplemented!()
    }

    /// Replaces an index's definition. With `if_version`, only if it is at that version.
    pub async fn update_index(
        &self,
        caller: &Caller,
        id: IndexId,
        definition: Definition,
        if_version: Option<u64>,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, id, definition, if_version);
        unimplemented!()
    }

    /// Deletes an index.
    pub async fn delete_index(&self, caller: &Caller, id: IndexId) -> Result<(), EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Stops watching an index.
    pub async fn pause_index(
        &self,
        caller: &Caller,
        id: IndexId,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Watches an index again.
    pub async fn resume_index(
        &self,
        caller: &Caller,
        id: IndexId,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Books funds that came in; with `invest`, starts the first construction where prices allow.
    pub async fn deposit(
        &self,
        caller: &Caller,
        id: IndexId,
        funds: Funds,
        invest: bool,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, id, funds, invest);
        unimplemented!()
    }

    /// Books funds that go out.
    pub async fn withdraw(
        &self,
        caller: &Caller,
        id: IndexId,
        funds: Funds,
    ) -> Result<IndexView, EngineError> {
        let _ = (caller, id, funds);
        unimplemented!()
    }

    /// Rebalances by hand, or says what would be done.
    pub async fn rebalance(
        &self,
        caller: &Caller,
        id: IndexId,
        dry_run: bool,
        force: bool,
    ) -> Result<RebalanceAnswer, EngineError> {
        let _ = (caller, id, dry_run, force);
        unimplemented!()
    }

    /// Drift now.
    pub async fn drift(&self, caller: &Caller, id: IndexId) -> Result<DriftView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Rebalances of an index, newest first. The cursor is a version of the index's stream.
    pub async fn rebalances(
        &self,
        caller: &Caller,
        id: IndexId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<RebalanceView>, EngineError> {
        let _ = (caller, id, before, limit);
        unimplemented!()
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
        let _ = (caller, id, wanted, before, limit);
        unimplemented!()
    }

    // --- prices and jobs ----------------------------------------------------------------------

    /// Takes in pushed prices; held ones are named in the answer.
    pub async fn push_prices(
        &self,
        caller: &Caller,
        command: RecordPrices,
    ) -> Result<PricesView, EngineError> {
        let _ = (caller, command);
        unimplemented!()
    }

    /// All prices as a cycle would see them now.
    pub fn prices(&self) -> PricesView {
        unimplemented!()
    }

    /// All jobs.
    pub async fn jobs(&self) -> Result<Vec<Job>, EngineError> {
        unimplemented!()
    }

    /// Changes a job's schedule.
    pub async fn schedule_job(
        &self,
        caller: &Caller,
        name: JobName,
        schedule: Pattern,
        timezone: Timezone,
        enabled: bool,
    ) -> Result<Job, EngineError> {
        let _ = (caller, name, schedule, timezone, enabled);
        unimplemented!()
    }

    /// Runs a job now. With `wait`, until its checks and the rebalances they started have ended.
    pub async fn run_job(
        &self,
        caller: &Caller,
        name: &str,
        wait: bool,
    ) -> Result<RunView, EngineError> {
        let _ = (caller, name, wait);
        unimplemented!()
    }

    /// Runs of a job, newest first.
    pub async fn job_runs(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<RunCompleted>, EngineError> {
        let _ = (name, before, limit);
        unimplemented!()
    }

    // --- webhooks -----------------------------------------------------------------------------

    /// Makes a subscription. Unless `skip_test`, its URL is tried first with a signed test message.
    pub async fn create_webhook(
        &self,
        caller: &Caller,
        target: Target,
        enabled: bool,
        skip_test: bool,
    ) -> Result<WebhookView, EngineError> {
        let _ = (caller, target, enabled, skip_test);
        unimplemented!()
    }

    /// A subscription.
    pub async fn webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// The caller's subscriptions (every owner's for admins), in the order of their ids.
    pub async fn webhooks(
        &self,
        caller: &Caller,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<WebhookView>, EngineError> {
        let _ = (caller, after, limit);
        unimplemented!()
    }

    /// Replaces a target; a new URL is tried first unless `skip_test`. `enabled` switches it.
    pub async fn update_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        target: Target,
        enabled: Option<bool>,
        skip_test: bool,
    ) -> Result<WebhookView, EngineError> {
        let _ = (caller, id, target, enabled, skip_test);
        unimplemented!()
    }

    /// Deletes a subscription.
    pub async fn delete_webhook(&self, caller: &Caller, id: WebhookId) -> Result<(), EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Sends a signed test message and says how it went. Counts for nothing.
    pub async fn test_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<AttemptResult, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// A new secret, shown in the answer; the old one signs too for the overlap.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let _ = (caller, id);
        unimplemented!()
    }

    /// Delivers again; from now on, or from where it stopped.
    pub async fn enable_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        from_now: bool,
    ) -> Result<WebhookView, EngineError> {
        let _ = (caller, id, from_now);
        unimplemented!()
    }

    /// Ended deliveries and failed attempts, newest first.
    pub async fn deliveries(
        &self,
        caller: &Caller,
        id: WebhookId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<DeliveryView>, EngineError> {
        let _ = (caller, id, before, limit);
        unimplemented!()
    }

    /// Sends the event at a position once more, outside the queue, and says how it went.
    pub async fn resend(
        &self,
        caller: &Caller,
        id: WebhookId,
        position: Position,
    ) -> Result<AttemptResult, EngineError> {
        let _ = (caller, id, position);
        unimplemented!()
    }

    // --- audit and operation ------------------------------------------------------------------

    /// Events after a position that the caller may see and whose type passes, oldest first, and
    /// the position up to which the log was looked at.
    pub async fn events(
        &self,
        caller: &Caller,
        after: Position,
        wanted: &(dyn Fn(&str) -> bool + Send + Sync),
        limit: usize,
    ) -> Result<(Vec<LoggedEvent>, Position), EngineError> {
        let _ = (caller, after, wanted, limit);
        unimplemented!()
    }

    /// Follows the position of the last durable event.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Position> {
        unimplemented!()
    }

    /// Figures for health and metrics.
    pub fn status(&self) -> EngineStatus {
        unimplemented!()
    }
}
