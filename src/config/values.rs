//! From text to types. A wrong value is noted and reading goes on, so that all are told at once.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use evenkeel_domain::schedule::{Schedule, ScheduleError};
use evenkeel_domain::values::{Amount, Percent, Quantity, Span, Timestamp};
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use lettre::address::Address;
use lettre::message::Mailbox;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::LogFormat;
use super::error::ConfigError;
use super::keys::{self, Key};
use super::layers::Layers;
use crate::hex::unhex;
use crate::venues::{FeeIn, IdRule};
use crate::webhooks::mail::RelayUrl;
use crate::webhooks::secrets::SecretKeeper;
use crate::webhooks::transport::ProxyUrl;

/// The name of the HTTP feed's preset.
const COINGECKO: &str = "coingecko";
/// Longest stop that is waited for.
const STOP_DEADLINE_MAX: Span = Span::from_secs(600);
/// Where the search for a schedule's next time begins: whether it ever comes does not depend on it.
const SCHEDULE_FROM: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriceSource {
    /// Pushed over the API.
    Push,
    /// Replayed from a file.
    Csv(PathBuf),
    /// Fetched over HTTP: a URL, or the name of a preset.
    Http(String),
}

/// How one value is read; the error says what is wrong with it.
pub(super) type Parse<T> = fn(&str) -> Result<T, String>;

/// Reads values and collects what is wrong.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            errors: Vec::new(),
        }
    }

    /// The value of a key; none when it is wrong, which is noted.
    pub(super) fn value<T>(&mut self, key: &'static Key, parse: Parse<T>) -> Option<T> {
        match parse(self.layers.text(key).trim()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(key, problem);
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, key: &'static Key, problem: String) {
        let value = if key.secret {
            "the value".to_owned()
        } else {
            format!("{:?}", self.layers.text(key))
        };
        self.errors.push(ConfigError::Value {
            key: key.name,
            source_of: self.layers.source(key),
            value,
            problem,
            allowed: key.allowed,
        });
    }

    /// A schedule and its time zone, which are checked together.
    pub(super) fn schedule(&mut self) -> Option<(String, String)> {
        let schedule = self.layers.text(&keys::DRIFT_SCHEDULE).trim().to_owned();
        let timezone = self.layers.text(&keys::DRIFT_TIMEZONE).trim().to_owned();
        let Err(error) = Schedule::new(&schedule, &timezone, SCHEDULE_FROM) else {
            return Some((schedule, timezone));
        };
        let key = match error {
            ScheduleError::Syntax { .. } | ScheduleError::Never(_) => &keys::DRIFT_SCHEDULE,
            ScheduleError::Timezone(_) => &keys::DRIFT_TIMEZONE,
        };
        self.refuse(key, error.to_string());
        None
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}

pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// How often heads are signed: not with every commit, and not so seldom that a day could be
/// rewritten unseen.
const HEADS_EVERY_MIN: Span = Span::from_secs(1);
const HEADS_EVERY_MAX: Span = Span::from_hours(24);

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else {
        Ok(text.into())
    }
}

/// A value of a key that may stay empty.
fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    (!text.is_empty()).then(|| read(text)).transpose()
}

pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, String> {
    optional(text, path)
}

pub(super) fn heads_every(text: &str) -> Result<Duration, String> {
    let span: Span = parsed(text)?;
    if (HEADS_EVERY_MIN..=HEADS_EVERY_MAX).contains(&span) {
        Ok(Duration::from_millis(span.as_millis()))
    } else {
        Err(format!(
            "it is not from {HEADS_EVERY_MIN} to {HEADS_EVERY_MAX}"
        ))
    }
}

pub(super) fn prices(text: &str) -> Result<PriceSource, String> {
    match text.split_once(':') {
        None if text == "push" => Ok(PriceSource::Push),
        Some(("csv", file)) => path(file).map(PriceSource::Csv),
        Some(("http", COINGECKO)) => Ok(PriceSource::Http(COINGECKO.to_owned())),
        Some(("http", url)) => http_url(url).map(PriceSource::Http),
        _ => Err("it names no kind of feed".to_owned()),
    }
}

fn http_url(text: &str) -> Result<String, String> {
    let url: Url = parsed(text)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(text.to_owned())
    } else {
        Err("the URL must begin with http:// or https://".to_owned())
    }
}

pub(super) fn boolish(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "f" | "0" => Ok(false),
        _ => Err("it is neither yes nor no".to_owned()),
    }
}

pub(super) fn fee_in(text: &str) -> Result<FeeIn, String> {
    match text {
        "cash" => Ok(FeeIn::Cash),
        "base" => Ok(FeeIn::Base),
        _ => Err("it is neither cash nor base".to_owned()),
    }
}

pub(super) fn client_ids(text: &str) -> Result<IdRule, String> {
    match text {
        "unique" => Ok(IdRule::UniqueForEver),
        "open" => Ok(IdRule::UniqueAmongOpen),
        _ => Err("it is neither unique nor open".to_owned()),
    }
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let networks = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let network = |part: &str| {
        // A single address is a network of one.
        let address = part
            .parse()
            .map(|address: std::net::IpAddr| IpNet::from(address));
        let parsed = part.parse().or(address);
        parsed.map_err(|_| format!("{part:?} is no network"))
    };
    networks.map(network).collect()
}

pub(super) fn share(text: &str) -> Result<Percent, String> {
    let share = Percent::parse_non_negative(text).map_err(|error| error.to_string())?;
    if share < Percent::HUNDRED {
        Ok(share)
    } else {
        Err("it is 100 or more".to_owned())
    }
}

pub(super) fn positive_percent(text: &str) -> Result<Percent, String> {
    let percent: Percent = parsed(text)?;
    if percent.is_positive() {
        Ok(percent)
    } else {
        Err("it is not greater than 0".to_owned())
    }
}

pub(super) fn lot_step(text: &str) -> Result<Quantity, String> {
    let step: Quantity = parsed(text)?;
    if step.is_positive() {
        Ok(step)
    } else {
        Err("it is not greater than 0".to_owned())
    }
}

pub(super) fn amount(text: &str) -> Result<Amount, String> {
    Amount::parse_non_negative(text).map_err(|error| error.to_string())
}

pub(super) fn span(text: &str) -> Result<Span, String> {
    parsed(text)
}

pub(super) fn deadline(text: &str) -> Result<Duration, String> {
    let span: Span = parsed(text)?;
    if span > STOP_DEADLINE_MAX {
        return Err(format!("it is longer than {STOP_DEADLINE_MAX}"));
    }
    Ok(Duration::from_millis(span.as_millis()))
}

pub(super) fn at_least_one<T: FromStr<Err: Display> + PartialOrd + From<u8>>(
    text: &str,
) -> Result<T, String> {
    let number: T = parsed(text)?;
    if number >= T::from(1) {
        Ok(number)
    } else {
        Err("it is 0".to_owned())
    }
}

pub(super) fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.contains("{asset}") {
        Ok(text.to_owned())
    } else {
        Err("it must begin with / and contain {asset}".to_owned())
    }
}

pub(super) fn header(text: &str) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    optional(text, |text| {
        let (name, value) = text.split_once(':').ok_or("it has no colon")?;
        let name: HeaderName = parsed(name.trim())?;
        let mut value: HeaderValue = parsed(value.trim())?;
        value.set_sensitive(true);
        Ok((name, value))
    })
}

pub(super) fn webhook_key(text: &str) -> Result<Option<SecretKeeper>, String> {
    optional(text, |text| {
        let key = unhex(text).ok_or("it is not 64 hexadecimal digits")?;
        Ok(SecretKeeper::from_key(key))
    })
}

pub(super) fn proxy(text: &str) -> Result<Option<ProxyUrl>, String> {
    optional(text, ProxyUrl::new)
}

pub(super) fn relay(text: &str) -> Result<Option<RelayUrl>, String> {
    optional(text, RelayUrl::new)
}

pub(super) fn mailbox(text: &str) -> Result<Option<Mailbox>, String> {
    optional(text, parsed)
}

pub(super) fn domains(text: &str) -> Result<Vec<String>, String> {
    let domains = text.split(',').map(str::trim);
    let domains = domains.filter(|domain| !domain.is_empty());
    let domain = |domain: &str| match Address::new("x", domain) {
        Ok(_) => Ok(domain.to_ascii_lowercase()),
        Err(_) => Err(format!("{domain:?} is no domain")),
    };
    domains.map(domain).collect()
}

pub(super) fn public_url(text: &str) -> Result<Option<Url>, String> {
    optional(text, |text| {
        let url: Url = http_url(text)?.parse().map_err(|_| "it is no URL")?;
        if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
            return Err("it has more than a host and a path".to_owned());
        }
        Ok(url)
    })
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("there is no such format".to_owned()),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    // A word that is no level would count as the name of a module, and silence everything else.
    let level = |part: &str| match part.rsplit_once('=') {
        Some((_, level)) => parsed::<tracing::Level>(level).is_ok() || level == "off",
        None => parsed::<tracing::Level>(part).is_ok() || part == "off",
    };
    if !text.split(',').map(str::trim).all(level) {
        return Err("it names no level".to_owned());
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}
