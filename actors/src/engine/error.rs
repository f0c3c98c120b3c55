//! Why the engine did not do what it was asked.

use evenkeel_domain::access::AccessRefusal;
use evenkeel_domain::drift::DriftError;
use evenkeel_domain::index::{DefinitionError, IndexRefusal};
use evenkeel_domain::job::JobRefusal;
use evenkeel_domain::rebalance::RebalanceRefusal;
use evenkeel_domain::values::Asset;
use evenkeel_domain::webhook::WebhookRefusal;

use crate::ports::{KeysError, SealRefused, UrlRefused};

/// Why the engine did not do what it was asked. Nothing happened unless a variant says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Not there, or another owner's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A rule of indexes.
    #[error(transparent)]
    Index(#[from] IndexRefusal),
    /// A rule of rebalances.
    #[error(transparent)]
    Rebalance(#[from] RebalanceRefusal),
    /// A definition that does not hold together.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// Drift cannot be measured.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// A rule of webhooks.
    #[error(transparent)]
    Webhook(#[from] WebhookRefusal),
    /// A rule of jobs.
    #[error(transparent)]
    Job(#[from] JobRefusal),
    /// A rule of owners and tokens.
    #[error(transparent)]
    Access(#[from] AccessRefusal),
    /// An owner that cannot be erased yet.
    #[error("the owner still has {indexes} indexes and {webhooks} webhooks; delete them first")]
    OwnerInUse {
        /// Indexes that are not deleted.
        indexes: usize,
        /// Webhooks.
        webhooks: usize,
    },
    /// An owner without whom nobody could administer.
    #[error("the owner has the only admin tokens; issue one to another owner first")]
    LastAdmin,
    /// A key of personal fields. An erasure stands in the log all the same: asking once more, or
    /// the next start, forgets the key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// No venue has this account.
    #[error("there is no account {found:?}; known are: {known}")]
    UnknownAccount {
        /// What was given.
        found: String,
        /// What there is, with commas.
        known: String,
    },
    /// The feed can never price this asset.
    #[error("asset {0} is unknown to the price feed")]
    UnknownAsset(Asset),
    /// The URL is forbidden.
    #[error(transparent)]
    Url(#[from] UrlRefused),
    /// A secret or a header cannot be kept.
    #[error(transparent)]
    Seal(#[from] SealRefused),
    /// The URL did not take the test message.
    #[error("the webhook's test delivery failed: {0}")]
    WebhookTest(String),
    /// A limit on how many.
    #[error("at most {max} {what} are allowed; delete one first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The resource was changed meanwhile.
    #[error("it is at version {actual}, not {expected}; load it and try again")]
    VersionMismatch {
        /// What the caller expected.
        expected: u64,
        /// What it is at.
        actual: u64,
    },
    /// Prices cannot be pushed to an engine that polls a feed.
    #[error("prices come from a feed here; pushing them is switched off")]
    NotPushFeed,
    /// Too much at once.
    #[error("too many commands are in flight; try again shortly")]
    Busy,
    /// The actor is restarting, or did not answer in time. Whether a command took effect is told
    /// by loading the resource.
    #[error("{0} is not available right now; try again shortly")]
    Unavailable(&'static str),
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
    /// The log failed.
    #[error("the log failed: {0}")]
    Log(String),
    /// A setting the engine cannot start with.
    #[error("{key}: {problem}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}
