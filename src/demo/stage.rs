//! The demo's stage: opens everything, plays day after day, and draws the sum.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_actors::engine::{EngineError, Settings};
use evenkeel_domain::values::{Span, Timestamp};

use super::books::{self, Booked};
use super::progress::Progress;
use super::summary::Summary;
use super::venue;
use crate::admin::{self, AdminError};
use crate::audit::{AuditError, verify_data};
use crate::engine::{Builder, DataDirectory, Engine, OpenError};
use crate::feeds::csv::{CsvFeed, Pacing};
use crate::time::ReplayClock;
use crate::webhooks::policy::AddressPolicy;
use crate::webhooks::receiver::Receiver;

/// The day before the first replayed one: the replay begins in 2008, a year with much drift.
const BEGINS_AFTER: Timestamp = Timestamp::from_micros(1_199_221_200_000_000);

/// The schedule of the demo's drift monitor: at the close, 21:00 UTC, of every day.
const SCHEDULE: &str = "0 21 * * *";

/// A day without prices is no trading day; prices older than a long weekend are stale.
const MAX_AGE: Span = Span::from_hours(24 * 5);

/// Longest wait for a cycle, its rebalances, or the last deliveries, in real time.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// Between cycles when nobody said how many: slow enough to watch.
const PAUSE: Duration = Duration::from_millis(250);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The bundled prices.
    #[error(transparent)]
    Prices(#[from] crate::feeds::csv::CsvError),
    /// The engine did not open or close.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The local receiver.
    #[error("the local webhook receiver: {0}")]
    Receiver(std::io::Error),
    /// Something did not come to an end.
    #[error("{0} did not end within {WAIT_MAX:?}")]
    Stalled(&'static str),
    /// The admin token.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The log cannot be verified.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The paper venue's books.
    #[error("the paper venue: {0}")]
    Venue(String),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(String),
}

/// A demo that is set up and runs.
pub struct Demo {
    engine: Engine,
    data: DataDirectory,
    feed: Arc<CsvFeed>,
    clock: Arc<ReplayClock>,
    receiver: Receiver,
    booked: Booked,
    admin_token: Option<String>,
    cycles: u64,
}

impl Demo {
    /// Opens the engine on the configured `builder`, then books the sample indexes and
    /// subscriptions, those that a run before has not booked already.
    pub async fn open(
        builder: Builder,
        settings: Settings,
        data: PathBuf,
    ) -> Result<Self, DemoError> {
        let data = DataDirectory::new(data);
        let feed = Arc::new(CsvFeed::from_bytes(
            "the bundled prices",
            super::PRICES,
            Pacing::Manual,
        )?);
        let earlier = books::earlier(&data).await?;
        let receiver = books::receiver(&earlier)
            .await
            .map_err(DemoError::Receiver)?;
        let begins_after = earlier.day.unwrap_or(BEGINS_AFTER);
        let clock = Arc::new(ReplayClock::starting_at(begins_after));
        let settings = Settings {
            drift_schedule: Some(SCHEDULE.to_owned()),
            drift_timezone: Some("UTC".to_owned()),
            drift_enabled: Some(true),
            guard: evenkeel_domain::market::PriceGuard {
                max_age: MAX_AGE,
                ..settings.guard
            },
            ..settings
        };
        let loopback = AddressPolicy {
            allow_http: true,
            allow_networks: vec![books::LOOPBACK],
        };
        feed.seek(begins_after);
        let engine = builder
            .data(data.path())
            .settings(settings)
            .clock(clock.clone())
            .feed(feed.clone())
            .webhook_policy(loopback)
            .open()
            .await?;
        let admin_token = admin::first_token(&engine, &data).await?;
        let booked = books::book(&engine, &receiver).await?;
        Ok(Self {
            engine,
            data,
            feed,
            clock,
            receiver,
            booked,
            admin_token,
            cycles: 0,
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The admin token: just made, or read from where the first start wrote it.
    pub fn admin_token(&self) -> Option<String> {
        let written = || std::fs::read_to_string(self.data.admin_token()).ok();
        let token = self.admin_token.clone().or_else(written)?;
        Some(token.trim().to_owned())
    }

    /// Plays the next trading day; false when there is none left.
    pub async fn cycle(&mut self) -> Result<bool, DemoError> {
        let before = self.engine.status().cycles;
        let Some(close) = self.day() else {
            return Ok(false);
        };
        self.clock.advance_to(close);
        self.engine.clock_moved();
        self.until("a cycle", |engine| {
            let status = engine.status();
            let ended = status.rebalances_completed
                + status.rebalances_cancelled
                + status.rebalances_failed
                + status.rebalances_stuck;
            status.cycles > before && ended >= status.rebalances_started
        })
        .await?;
        self.cycles += 1;
        Ok(true)
    }

    /// The close of the next day: the first call shows the row that the feed stands on.
    fn day(&self) -> Option<Timestamp> {
        if self.cycles == 0 {
            return Some(self.feed.now_at());
        }
        self.feed.advance()
    }

    /// Waits until something holds; looks again whenever the log grows.
    async fn until(
        &self,
        what: &'static str,
        holds: impl Fn(&Engine) -> bool,
    ) -> Result<(), DemoError> {
        let mut positions = self.engine.watch();
        let waited = tokio::time::timeout(WAIT_MAX, async {
            while !holds(&self.engine) {
                // The counters follow the append by a moment: the pause bounds that moment.
                let _ = tokio::time::timeout(Duration::from_millis(5), positions.changed()).await;
            }
        });
        waited.await.map_err(|_| DemoError::Stalled(what))
    }

    /// Plays so many days, or until `stop` resolves, and shows how it goes.
    pub async fn play(
        &mut self,
        cycles: Option<u64>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), DemoError> {
        let mut progress = Progress::new(cycles);
        tokio::pin!(stop);
        while cycles.is_none_or(|cycles| self.cycles < cycles) {
            let pause = async {
                if cycles.is_none() {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                played = async { pause.await; self.cycle().await } => {
                    if !played? {
                        break;
                    }
                }
            }
            progress.show(self.cycles, self.clock_now(), &self.engine.status());
        }
        progress.end();
        Ok(())
    }

    fn clock_now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// Waits for the last deliveries, closes everything, verifies the log, replays it and
    /// compares every index with what it was when the engine stopped.
    pub async fn end(self) -> Result<Summary, DemoError> {
        let live = books::settled(&self.engine, &self.booked).await?;
        let truth = venue::look(&self.engine, &live).await?;
        let expected = books::subscribed_events(&self.engine, &self.booked).await?;
        let delivered =
            books::wait_for_deliveries(&self.engine, &self.booked, &expected, WAIT_MAX).await?;
        let status = self.engine.status();
        let received = self.receiver.tally();
        self.engine.close().await?;
        self.receiver.stop().await;
        let verdict = verify_data(&self.data)?;
        let replay_matches = live
            .iter()
            .all(|index| verdict.books.indexes.get(&index.index_id) == Some(index));
        Ok(Summary {
            cycles: self.cycles,
            indexes: status.indexes,
            checks: status.checks,
            rebalances_started: status.rebalances_started,
            rebalances_completed: status.rebalances_completed,
            rebalances_cancelled: status.rebalances_cancelled,
            rebalances_failed: status.rebalances_failed,
            rebalances_running: live
                .iter()
                .filter(|index| index.rebalance.is_some())
                .count(),
            trades_executed: status.trades_executed,
            trades_failed: status.trades_failed,
            deliveries_succeeded: status.deliveries_succeeded,
            deliveries_failed: status.deliveries_failed,
            all_delivered: delivered,
            signatures_refused: received.refused,
            events: verdict.log.head.position,
            log_verified: verdict.is_clean(),
            replay_matches,
            faults: truth.faults,
            venue_matches: truth.matches,
            corrections: truth.corrections,
        })
    }
}
