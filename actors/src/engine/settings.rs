//! What an engine is built on, and what it can be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::job::{Job, JobCommand, JobName, Pattern, Timezone};
use evenkeel_domain::market::PriceGuard;
use evenkeel_domain::values::{Percent, Span, TextError};
use evenkeel_events::EventLog;
use evenkeel_snapshots::{SnapshotPolicy, SnapshotStore};

use crate::ports::{Clock, Entropy, PersonalKeys, PriceFeed, Venue, WebhookTransport};
use crate::work::Work;

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
    /// Keys of owners' personal fields; they must live as long as the log.
    pub personal: Arc<dyn PersonalKeys>,
}

/// What the engine can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far prices may move and how old they may be.
    pub guard: PriceGuard,
    /// Schedule of the drift monitor, five fields of cron. A change over the API holds until
    /// the process starts with another schedule or time zone than the job has.
    pub drift_schedule: Option<String>,
    /// Its time zone.
    pub drift_timezone: Option<String>,
    /// Whether its schedule runs it.
    pub drift_enabled: Option<bool>,
    /// Schedule of the reconciliation in UTC, besides each start; a change over the API holds as
    /// above.
    pub reconciliation_schedule: Option<String>,
    /// Whether its schedule, and each start, runs it.
    pub reconciliation_enabled: Option<bool>,
    /// When an index is worth a snapshot, besides at an orderly stop.
    pub snapshots: SnapshotPolicy,
    /// Commands from outside in flight at once; more are refused as busy.
    pub commands_in_flight_max: usize,
    /// Orders in flight at one venue at once; more wait their turn.
    pub orders_in_flight_max: usize,
    /// How long an order may stay open at a venue before it is cancelled there.
    pub order_lifetime: Duration,
    /// Indexes per owner.
    pub indexes_per_owner_max: usize,
    /// Subscriptions per owner.
    pub webhooks_per_owner_max: usize,
}

/// Every five minutes.
pub const DRIFT_SCHEDULE: &str = "*/5 * * * *";

/// Once an hour, at a minute when little else happens.
pub const RECONCILIATION_SCHEDULE: &str = "17 * * * *";

impl Default for Settings {
    /// What a fresh start uses: prices may move 50 % and be a day old, drift is checked every
    /// five minutes.
    fn default() -> Self {
        Self {
            guard: PriceGuard {
                max_jump: Percent::FIFTY,
                confirm_after: Span::from_secs(60),
                max_age: Span::from_hours(24),
            },
            drift_schedule: None,
            drift_timezone: None,
            drift_enabled: None,
            reconciliation_schedule: None,
            reconciliation_enabled: None,
            snapshots: SnapshotPolicy::default(),
            commands_in_flight_max: 1_024,
            orders_in_flight_max: 256,
            order_lifetime: Duration::from_mins(1),
            indexes_per_owner_max: 100_000,
            webhooks_per_owner_max: 1_000,
        }
    }
}

impl Settings {
    /// The command that registers a job: what is set wins, then what the job has, then the
    /// default.
    pub(crate) fn job(&self, work: Work, job: Option<&Job>) -> Result<JobCommand, TextError> {
        let (schedule, timezone, enabled, default) = match work {
            Work::DriftMonitor => (
                self.drift_schedule.as_deref(),
                self.drift_timezone.as_deref(),
                self.drift_enabled,
                DRIFT_SCHEDULE,
            ),
            Work::Reconciliation => (
                self.reconciliation_schedule.as_deref(),
                None,
                self.reconciliation_enabled,
                RECONCILIATION_SCHEDULE,
            ),
        };
        let schedule = schedule.or(job.map(|job| job.schedule.as_str()));
        let timezone = timezone.or(job.map(|job| job.timezone.as_str()));
        Ok(JobCommand::Schedule {
            name: JobName::required(work.name())?,
            schedule: Pattern::required(schedule.unwrap_or(default))?,
            timezone: Timezone::required(timezone.unwrap_or("UTC"))?,
            enabled: enabled.or(job.map(|job| job.enabled)).unwrap_or(true),
        })
    }
}
