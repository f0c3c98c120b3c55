//! What an owner says about a subscription.

use serde::{Deserialize, Serialize};

use super::{Description, Filter, Header, URGENT_EVENT_TYPES, Url};
use crate::index::Tag;
use crate::values::{IndexId, Span};

/// Most attempts per delivery.
pub const ATTEMPTS_MAX: usize = 16;
/// Longest span before a retry: with [`ATTEMPTS_MAX`] a delivery is open for two weeks at most.
pub const RETRY_WAIT_MAX: Span = Span::from_hours(24);
/// Most indexes that one subscription names.
pub const INDEXES_MAX: usize = 100;
/// Most tags that one subscription names.
pub const TAGS_MAX: usize = 20;
/// How long mails gather events where nothing else is asked for.
pub const DIGEST_WINDOW: Span = Span::from_secs(15 * 60);
/// Longest time that mails gather events.
pub const DIGEST_WINDOW_MAX: Span = Span::from_hours(24);
/// Highest limit on attempts per second: more than a window lets through to a receiver that
/// answers within 8 ms.
pub const RATE_MAX: u16 = 1_000;

/// What an owner says about a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Where deliveries go.
    pub url: Url,
    /// Which events.
    pub events: Filter,
    /// Of which indexes, at most [`INDEXES_MAX`]; see [`Target::wants`].
    pub indexes: Vec<IndexId>,
    /// Of indexes with one of which tags, at most [`TAGS_MAX`].
    pub tags: Vec<Tag>,
    /// Description.
    pub description: Description,
    /// When a failed attempt is made again.
    pub retry: Schedule,
    /// Headers besides our own.
    pub headers: Vec<Header>,
    /// Most attempts per second; as many as the window lets through when none is given.
    pub rate_per_second: Option<u16>,
    /// How deliveries are signed.
    pub signature: Signature,
    /// What form deliveries have.
    pub channel: Channel,
}

/// How deliveries are signed (Standard Webhooks 1.0.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signature {
    /// By HMAC-SHA256 with the secret.
    #[default]
    V1,
    /// By ed25519 as well: who verifies needs the public key alone.
    V1a,
}

/// What form deliveries have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// The event as it is.
    #[default]
    Webhook,
    /// A sentence, for an incoming webhook of Slack.
    Slack,
    /// A sentence, for a webhook of Discord.
    Discord,
    /// A mail to the address of a `mailto:` URL.
    Email {
        /// How long events gather for one mail; zero for a mail each.
        digest: Span,
    },
}

impl Channel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Email { .. } => "email",
        }
    }

    /// Whether it sends mails, which are not signed and have no headers.
    pub fn is_mail(self) -> bool {
        matches!(self, Self::Email { .. })
    }

    /// How long its events gather; none where each goes out by itself.
    pub fn digest(self) -> Option<Span> {
        match self {
            Self::Email { digest } => Some(digest).filter(|digest| *digest > Span::ZERO),
            Self::Webhook | Self::Slack | Self::Discord => None,
        }
    }
}

impl Target {
    /// One that says no more than where and what.
    pub fn new(url: Url, events: Filter) -> Self {
        Self {
            url,
            events,
            indexes: Vec::new(),
            tags: Vec::new(),
            description: Description::default(),
            retry: Schedule::default(),
            headers: Vec::new(),
            rate_per_second: None,
            signature: Signature::default(),
            channel: Channel::default(),
        }
    }

    /// Most attempts per second: its own limit, or what its channel's service takes from one
    /// webhook (Slack: one; Discord: five in two seconds).
    pub fn rate(&self) -> Option<u16> {
        self.rate_per_second.or(match self.channel {
            Channel::Webhook | Channel::Email { .. } => None,
            Channel::Slack => Some(1),
            Channel::Discord => Some(2),
        })
    }

    /// How long an event of a type waits for others to go out with; none for one that goes out at
    /// once.
    pub fn gathers(&self, event_type: &str) -> Option<Span> {
        let is_urgent = URGENT_EVENT_TYPES.contains(&event_type);
        self.channel.digest().filter(|_| !is_urgent)
    }

    /// Whether an event is for it: one of a type that it wants, and of an index that it names or
    /// that has one of its tags. Without indexes and tags it wants every event of its owner.
    /// `index` tells which index an event is of, if it is of one, and `has_tag` whether that has a
    /// tag; they are asked only where they matter.
    pub fn wants(
        &self,
        event_type: &str,
        index: impl FnOnce() -> Option<IndexId>,
        has_tag: impl Fn(IndexId, &Tag) -> bool,
    ) -> bool {
        if !self.events.matches(event_type) {
            return false;
        }
        if self.indexes.is_empty() && self.tags.is_empty() {
            return true;
        }
        let named = |id| self.indexes.contains(&id);
        let tagged = |id| self.tags.iter().any(|tag| has_tag(id, tag));
        index().is_some_and(|id| named(id) || tagged(id))
    }
}

/// When a failed attempt is made again: the span in which each next attempt falls. Without a span
/// there is one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Vec<Span>);

/// A schedule outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too many attempts.
    #[error(
        "a delivery has at most {ATTEMPTS_MAX} attempts, so a schedule has at most {most} spans, found {found}",
        most = ATTEMPTS_MAX - 1,
        found = .0
    )]
    TooMany(usize),
    /// Zero, or longer than [`RETRY_WAIT_MAX`].
    #[error("the span before a retry is above zero and at most {RETRY_WAIT_MAX}, found {0}")]
    Span(Span),
}

impl Schedule {
    /// A schedule of the spans before the second attempt, the third, and so on.
    pub fn new(spans: Vec<Span>) -> Result<Self, ScheduleError> {
        if spans.len() >= ATTEMPTS_MAX {
            return Err(ScheduleError::TooMany(spans.len()));
        }
        let outside = |span: &&Span| **span == Span::ZERO || **span > RETRY_WAIT_MAX;
        match spans.iter().find(outside) {
            Some(span) => Err(ScheduleError::Span(*span)),
            None => Ok(Self(spans)),
        }
    }

    /// The span in which the attempt after `attempt` falls; none when that was the last one.
    pub fn after(&self, attempt: u32) -> Option<Span> {
        let at = usize::try_from(attempt).ok()?.checked_sub(1)?;
        self.0.get(at).copied()
    }

    /// Of mails, whose servers put strangers off for minutes and are down for hours: six attempts
    /// within nine hours.
    pub fn of_mails() -> Self {
        let minutes = [1, 5, 30, 120, 360];
        Self(
            minutes
                .map(|minutes| Span::from_secs(60 * minutes))
                .to_vec(),
        )
    }

    /// The spans.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }
}

impl Default for Schedule {
    /// Three attempts: the second within 2 s, the third within 4 s after that.
    fn default() -> Self {
        Self(vec![Span::from_secs(2), Span::from_secs(4)])
    }
}
