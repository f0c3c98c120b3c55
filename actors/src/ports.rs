//! The ports: everything outside that the actors need, as traits. Adapters live at the edges.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use evenkeel_domain::index::{Funds, Holding};
use evenkeel_domain::market::Source;
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::{Fill, Order, Reason};
use evenkeel_domain::values::{
    Amount, Asset, IndexId, OwnerId, Price, Quantity, Sealed, Timestamp, TransferId, WebhookId,
};
use evenkeel_domain::webhook::{
    AttemptResult, Header, HeaderName, HeaderValue, Signature, Webhook,
};

/// The time that decisions are made at. A replay's clock shows the replayed time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Randomness for ids and jitter.
pub trait Entropy: Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Prices fetched from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The time that the prices are of.
    pub at: Timestamp,
    /// What the feed knows; it may leave assets out. A zero is passed on as it came.
    pub prices: Vec<(Asset, Price)>,
}

/// Why a fetch gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The feed did not answer, or not in time.
    #[error("the price feed cannot be reached: {0}")]
    Unreachable(String),
    /// The feed answered something that is no price list.
    #[error("the price feed's answer cannot be used: {0}")]
    Unusable(String),
}

/// A feed that is polled once per cycle. The push feed needs none.
#[async_trait]
pub trait PriceFeed: Send + Sync + 'static {
    /// Fetches the prices of all given assets in one go.
    async fn fetch(&self, assets: &[Asset]) -> Result<Fetched, FeedError>;

    /// What kind of feed it is.
    fn source(&self) -> Source;

    /// Whether the feed can ever price an asset; a feed that does not know its universe says yes.
    fn knows(&self, asset: Asset) -> bool {
        let _ = asset;
        true
    }
}

/// The account at a venue that an order or a transfer is for: each index has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VenueAccount(pub IndexId);

/// An order on its way to a venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueOrder {
    /// The account.
    pub account: VenueAccount,
    /// Idempotent: the venue acts on it once, ever.
    pub client_order_id: String,
    /// The order.
    pub order: Order,
    /// When it is sent.
    pub at: Timestamp,
}

/// What a venue says about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VenueReport {
    /// It is closed, filled in whole or in part.
    Filled(Fill),
    /// It is closed without a fill: refused, expired or cancelled.
    Refused(Reason),
    /// It is known and not closed yet; a part of it may be filled already.
    Open,
}

/// Why a call to a venue gave no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// The venue refuses and will go on refusing. It did nothing.
    #[error("the venue refuses: {0}")]
    Refused(Reason),
    /// The call certainly did nothing and may be repeated.
    #[error("the venue could not act, it can be tried again: {0}")]
    Retryable(Reason),
    /// Nobody knows whether the call did anything: ask by client order id.
    #[error("the venue gave no clear answer: {0}")]
    Unknown(Reason),
    /// Too many calls. This one certainly did nothing and may be repeated after the wait.
    #[error("the venue takes no more calls for {} ms", retry_after.as_millis())]
    RateLimited {
        /// What the venue asks to wait before the next call.
        retry_after: Duration,
    },
}

impl VenueError {
    /// The error in a sentence that can be kept.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused(reason) | Self::Retryable(reason) | Self::Unknown(reason) => {
                reason.clone()
            }
            // Digits and a sentence always fit.
            Self::RateLimited { .. } => Reason::optional(&self.to_string()).unwrap_or_default(),
        }
    }
}

/// A deposit or withdrawal that a venue is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VenueTransfer {
    /// The account.
    pub account: VenueAccount,
    /// Idempotent: the venue books it once, ever.
    pub transfer_id: TransferId,
    /// What moves.
    pub funds: Funds,
    /// True when it comes in.
    pub incoming: bool,
}

/// What a venue holds in an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balances {
    /// Cash.
    pub cash: Amount,
    /// Holdings, sorted by asset, none at zero.
    pub holdings: Vec<(Asset, Quantity)>,
}

impl Balances {
    /// The holdings as an index keeps them.
    pub(crate) fn lines(&self) -> Vec<Holding> {
        let lines = self.holdings.iter();
        lines
            .map(|&(asset, quantity)| Holding { asset, quantity })
            .collect()
    }
}

/// A place where orders are carried out. A call that is dropped before it answers counts as
/// [`VenueError::Unknown`]: it may have done what it was to do.
#[async_trait]
pub trait Venue: Send + Sync + 'static {
    /// Sends an order. A known client order id is answered with its report, never acted on
    /// again; a venue that keeps ids unique only among open orders acts again on the id of a
    /// closed one, so whoever does not know whether an order arrived asks by [`find`](Self::find).
    ///
    /// # Errors
    ///
    /// `Refused`: not accepted, and never will be. `Retryable`, `RateLimited`: not accepted, the
    /// same order may be sent again. `Unknown`: it may have been accepted, and may have traded.
    async fn place(&self, order: &VenueOrder) -> Result<VenueReport, VenueError>;

    /// What became of an order; none when the venue never heard of it. Changes nothing.
    ///
    /// # Errors
    ///
    /// Each of them says nothing about the order: ask again, after the wait of `RateLimited`.
    async fn find(
        &self,
        account: VenueAccount,
        client_order_id: &str,
    ) -> Result<Option<VenueReport>, VenueError>;

    /// Closes an order that is open. Ok also when it is closed already or was never heard of, so
    /// it may be repeated. What was filled until then stays filled: [`find`](Self::find) tells
    /// the final state afterwards.
    ///
    /// # Errors
    ///
    /// `Refused`: the venue does not cancel it; it closes by itself. `Retryable`, `RateLimited`:
    /// nothing was done, try again. `Unknown`: it may be closed; cancel again, or ask.
    async fn cancel(&self, account: VenueAccount, client_order_id: &str) -> Result<(), VenueError>;

    /// Books a transfer: a paper venue moves the funds, a real one only has to see them. A known
    /// transfer id is Ok and moves nothing.
    ///
    /// # Errors
    ///
    /// `Refused`: the account does not hold what is to go out. `Retryable`, `RateLimited`: not
    /// booked. `Unknown`: it may be booked. After each the same transfer may be sent again.
    async fn transfer(&self, transfer: &VenueTransfer) -> Result<(), VenueError>;

    /// What the account holds, with everything that was filled until now. Changes nothing.
    ///
    /// # Errors
    ///
    /// Each of them says nothing about the account: ask again, after the wait of `RateLimited`.
    async fn balances(&self, account: VenueAccount) -> Result<Balances, VenueError>;

    /// What the venue demands in an instrument, and what it charges.
    fn rules(&self, asset: Asset) -> InstrumentRules;
}

/// For an index whose venue is gone: with no lot nothing can be planned, so nothing is traded.
pub const NO_RULES: InstrumentRules = InstrumentRules {
    lot_step: Quantity::ZERO,
    ..InstrumentRules::NONE
};

/// A message on its way to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRequest {
    /// The subscription; its secrets are known by id and generation.
    pub webhook_id: WebhookId,
    /// Where to.
    pub url: String,
    /// `webhook-id`: stable over retries and restarts.
    pub message_id: String,
    /// `X-Webhook-Event`.
    pub event_type: String,
    /// The body, the same bytes in every attempt.
    pub body: Bytes,
    /// Which secrets sign: the newest first.
    pub keys: Vec<SigningKey>,
    /// By which schemes.
    pub signature: Signature,
    /// Headers of the owner.
    pub headers: Vec<Header>,
}

/// A secret of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Counts the secrets of a subscription from 1.
    pub generation: u32,
    /// The secret that its owner brought; without one it is derived.
    pub brought: Option<Sealed>,
}

impl SigningKey {
    /// The newest secret of a subscription.
    pub fn newest(webhook: &Webhook) -> Self {
        Self {
            generation: webhook.secret_generation,
            brought: webhook.secret.clone(),
        }
    }
}

/// A secret or a header that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealRefused(pub String);

/// A URL that the address policy forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL is not allowed: {0}")]
pub struct UrlRefused(pub String);

/// Sends signed messages.
#[async_trait]
pub trait WebhookTransport: Send + Sync + 'static {
    /// One attempt, ended within 10 s, at most 64 KiB of the answer read.
    async fn send(&self, request: &WebhookRequest) -> AttemptResult;

    /// Checks a URL by the address policy, names resolved.
    async fn check_url(&self, url: &str) -> Result<(), UrlRefused>;

    /// A secret of a subscription, `whsec_…`; none when it was sealed with another key.
    fn secret(&self, webhook_id: WebhookId, key: &SigningKey) -> Option<String>;

    /// The public key of a subscription's ed25519 signatures, `whpk_…`; none from a transport that
    /// has no such signatures.
    fn public_key(&self, webhook_id: WebhookId, generation: u32) -> Option<String> {
        let _ = (webhook_id, generation);
        None
    }

    /// Whether whoever has a token may end a subscription; a transport that gives out none says no.
    fn may_unsubscribe(&self, webhook_id: WebhookId, token: &str) -> bool {
        let _ = (webhook_id, token);
        false
    }

    /// Checks a secret that an owner brought and seals it; a transport that cannot refuses it.
    fn seal_secret(&self, webhook_id: WebhookId, secret: &str) -> Result<Sealed, SealRefused> {
        let _ = (webhook_id, secret);
        Err(SealRefused(
            "secrets of one's own are not taken here".to_owned(),
        ))
    }

    /// Seals what a header says; a transport that cannot refuses it.
    fn seal_header(
        &self,
        webhook_id: WebhookId,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> Result<Sealed, SealRefused> {
        let _ = (webhook_id, name, value);
        Err(SealRefused("headers are not taken here".to_owned()))
    }
}

/// Which personal text of an owner: what is sealed as one does not open as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonalField {
    /// The owner's name.
    OwnerName,
    /// The name of one of its tokens.
    TokenName,
}

/// A key that cannot be made, used or forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of {owner}'s personal fields: {reason}")]
pub struct KeysError {
    /// Whose key.
    pub owner: OwnerId,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A key per owner for its personal text. Without its key a text is gone.
#[async_trait]
pub trait PersonalKeys: Send + Sync + 'static {
    /// Seals a text. A key that is not there is made, and is durable when this returns.
    async fn seal(
        &self,
        owner: OwnerId,
        field: PersonalField,
        text: &str,
    ) -> Result<Sealed, KeysError>;

    /// Opens a text; none without its key, and when it was not sealed as this field of this owner.
    async fn open(&self, owner: OwnerId, field: PersonalField, sealed: &Sealed) -> Option<String>;

    /// Forgets the key of an owner for ever, durable when this returns. None is as good as one.
    async fn forget(&self, owner: OwnerId) -> Result<(), KeysError>;
}
