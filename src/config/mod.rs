//! Configuration: flag beats environment beats file beats default.
//!
//! ```text
//! flags ─┐
//! env   ─┼─► layers (text per key, with its source) ─► typed values ─► Config
//! file  ─┤        unknown keys of the file are refused        every wrong value is told at once
//! keys  ─┘
//! ```
//!
//! All keys, their variables and defaults stand in [`keys::KEYS`]. A wrong value is an error at
//! start that names key, source, value and what is allowed.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )
)]

mod error;
pub mod keys;
mod layers;
mod print;
mod sections;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_actors::engine::Settings;
use evenkeel_domain::market::PriceGuard;
use evenkeel_domain::values::{Amount, Percent, Quantity};
use evenkeel_snapshots::SnapshotPolicy;
use ipnet::IpNet;

use crate::venues::{FeeIn, IdRule};
use crate::webhooks::mail::MailSettings;
use crate::webhooks::secrets::SecretKeeper;
use crate::webhooks::transport::ProxyUrl;

pub use error::{ConfigError, ConfigErrors};
pub use layers::{Inputs, Source};
pub use values::PriceSource;

use keys::Key;
use layers::Layers;
use values::Reader;

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where prices come from.
    pub prices: PriceSource,
    /// How long a stop waits for requests in flight.
    pub stop_deadline: Duration,
    /// What the drift monitor's schedule is.
    pub drift_monitor: DriftMonitor,
    /// Where webhooks may go.
    pub webhooks: Webhooks,
    /// How mails are sent; none are without a relay.
    pub mail: Option<MailSettings>,
    /// How the paper venue trades.
    pub paper: Paper,
    /// Which prices are believed.
    pub price_guard: PriceGuard,
    /// How the replay of a file runs.
    pub csv: Csv,
    /// How the HTTP feed is asked and read.
    pub http: Http,
    /// Which heads of the log are signed.
    pub heads: Heads,
    /// How logs are written.
    pub log: Log,
    /// How much is let in.
    pub limits: Limits,
    layers: Layers,
}

/// What the drift monitor's schedule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftMonitor {
    /// Whether the schedule runs it.
    pub enabled: bool,
    /// Five fields of cron.
    pub schedule: String,
    /// IANA time zone.
    pub timezone: String,
}

/// Where webhooks may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Webhooks {
    /// Special networks that are allowed all the same.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http:` is allowed besides `https:`.
    pub allow_http: bool,
    /// The key of their secrets; without one it is a file in the data directory.
    pub key: Option<SecretKeeper>,
    /// What dials receivers; without one we do.
    pub proxy: Option<ProxyUrl>,
}

/// Which heads of the log are signed, and where the statements go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads {
    /// The private key's file; without one no heads are signed.
    pub key: Option<PathBuf>,
    /// What they are appended to.
    pub file: PathBuf,
    /// How often.
    pub every: Duration,
}

/// How the paper venue trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper {
    /// Distance of a fill from the snapshot price, against the trader.
    pub slippage: Percent,
    /// Fee on the notional.
    pub fee: Percent,
    /// Quantities are multiples of this.
    pub lot_step: Quantity,
    /// Smaller orders are refused.
    pub min_notional: Amount,
    /// What the fee is taken in.
    pub fee_in: FeeIn,
    /// What a client order id means that comes again.
    pub ids: IdRule,
}

/// How the replay of a file runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Csv {
    /// Rows per minute of real time.
    pub rows_per_minute: u32,
}

/// How the HTTP feed is asked and read.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// JSON pointer to the price of `{asset}`.
    pub pointer: String,
    /// A header that is sent along, name and value: it may hold a key.
    pub header: Option<(http::HeaderName, http::HeaderValue)>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = self.header.as_ref().map(|(name, _)| name);
        f.debug_struct("Http")
            .field("pointer", &self.pointer)
            .field("header", &header)
            .finish()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// How logs are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or a filter as `info,evenkeel::http=debug`.
    pub level: String,
}

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commands in flight at once.
    pub commands_in_flight: usize,
    /// Orders in flight at one venue at once.
    pub orders_in_flight: usize,
    /// How long an order may stay open at a venue.
    pub order_lifetime: Duration,
    /// Indexes per owner.
    pub indexes_per_owner: usize,
    /// Subscriptions per owner.
    pub webhooks_per_owner: usize,
    /// A snapshot of an index every so many events; 0 takes none.
    pub snapshot_every: u64,
}

impl Config {
    /// Puts the layers together and checks every value.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigErrors> {
        let layers = Layers::gather(inputs)?;
        let mut read = Reader::new(&layers);
        let config = sections::read(&mut read, &layers);
        let errors = read.into_errors();
        // A value that is missing has left an error behind.
        config
            .filter(|_| errors.is_empty())
            .ok_or(ConfigErrors(errors))
    }

    /// What the engine is told. The drift monitor's values only where somebody set them: what
    /// was changed over the API is not undone by a default.
    pub fn settings(&self) -> Settings {
        let drift = &self.drift_monitor;
        let schedule = self.is_set(&keys::DRIFT_SCHEDULE);
        let timezone = self.is_set(&keys::DRIFT_TIMEZONE);
        let enabled = self.is_set(&keys::DRIFT_ENABLED);
        Settings {
            guard: self.price_guard,
            drift_schedule: schedule.then(|| drift.schedule.clone()),
            drift_timezone: timezone.then(|| drift.timezone.clone()),
            drift_enabled: enabled.then_some(drift.enabled),
            snapshots: SnapshotPolicy {
                every_events: self.limits.snapshot_every,
            },
            commands_in_flight_max: self.limits.commands_in_flight,
            orders_in_flight_max: self.limits.orders_in_flight,
            order_lifetime: self.limits.order_lifetime,
            indexes_per_owner_max: self.limits.indexes_per_owner,
            webhooks_per_owner_max: self.limits.webhooks_per_owner,
            ..Settings::default()
        }
    }

    /// Whether somebody set a key, be it to its default.
    pub fn is_set(&self, key: &Key) -> bool {
        self.layers.source(key) != Source::Default
    }

    /// The configuration as TOML with the source of each value, secrets left out.
    pub fn print(&self) -> String {
        print::print(&self.layers)
    }

    /// What is odd but no error.
    pub fn warnings(&self) -> &[String] {
        self.layers.warnings()
    }
}

#[cfg(test)]
mod tests;
