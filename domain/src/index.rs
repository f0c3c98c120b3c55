//! An index: what it should hold, what it holds, and what may be done with it.

use serde::{Deserialize, Serialize};

use crate::market::PriceProblem;
use crate::rebalance::{Rebalance, RebalanceEvent};
use crate::values::{
    Amount, ArithmeticError, Asset, IndexId, OwnerId, Percent, Quantity, RebalanceId, Span, Text,
    Timestamp, TransferId,
};

/// Most constituents of one index: a rebalance event of 200 lines stays under 16 KiB.
pub const CONSTITUENTS_MAX: usize = 200;
/// Most tags of one index.
pub const TAGS_MAX: usize = 20;
/// Targets may miss 100 by this many points, then they are normalised.
pub const WEIGHT_TOLERANCE: Percent =
    Percent::new(rust_decimal::Decimal::from_parts(1, 0, 0, false, 2));

/// Name of an index.
pub type Name = Text<100>;
/// Description of an index.
pub type Description = Text<1000>;
/// A tag.
pub type Tag = Text<40>;
/// The venue account that an index trades on.
pub type Account = Text<64>;

/// When an index is rebalanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Only by hand.
    None,
    /// Whenever drift exceeds the threshold.
    Drift,
    /// At most once per `min_interval`, when drift exceeds the threshold.
    Daily,
    /// On drift at once, and at least every `max_interval` when a trade clears the minimum.
    Hybrid,
}

/// When an index is rebalanced, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalancing {
    /// The method.
    pub method: Method,
    /// Percentage points; exceeded when drift is strictly greater.
    pub drift_threshold: Percent,
    /// `DAILY` waits this long after a rebalance.
    pub min_interval: Span,
    /// `HYBRID` waits at most this long after a rebalance.
    pub max_interval: Span,
}

/// Limits on single trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    /// Smaller trades are skipped.
    pub min_trade_notional: Amount,
    /// Larger trades are trimmed.
    pub max_trade_notional: Option<Amount>,
    /// A fill further than this from the decision price is refused, in per cent.
    pub max_slippage: Percent,
}

/// An asset and its share of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constituent {
    /// The asset.
    pub asset: Asset,
    /// Target weight in per cent of the total value with cash.
    #[serde(rename = "percentage")]
    pub target: Percent,
}

/// What the owner says about an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Name.
    pub name: Name,
    /// Description.
    pub description: Description,
    /// Constituents; targets and `cash_percentage` sum to 100.
    pub constituents: Vec<Constituent>,
    /// Target weight of cash in per cent.
    pub cash_percentage: Percent,
    /// When it is rebalanced.
    pub rebalancing: Rebalancing,
    /// Limits on single trades.
    pub risk: Risk,
    /// The venue account.
    pub account: Account,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// A definition that does not hold together. Each names the field and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Targets do not sum to 100.
    #[error(
        "the percentages of the constituents and of cash sum to {sum}, they must sum to 100 (± 0.01)"
    )]
    WeightsSum {
        /// The sum found.
        sum: Percent,
    },
    /// No constituent.
    #[error("an index needs at least one constituent")]
    NoConstituents,
    /// Too many constituents.
    #[error("an index has at most {CONSTITUENTS_MAX} constituents, found {0}")]
    TooManyConstituents(usize),
    /// An asset twice.
    #[error("asset {0} stands more than once among the constituents")]
    DuplicateAsset(Asset),
    /// A target of zero or less.
    #[error("the percentage of {0} must be greater than 0")]
    TargetNotPositive(Asset),
    /// Cash below 0 or at 100 and above.
    #[error("cashPercentage must be from 0 to below 100, got {0}")]
    CashTarget(Percent),
    /// A threshold outside 0 to 100.
    #[error("driftThreshold must be from 0 to 100 percentage points, got {0}")]
    Threshold(Percent),
    /// An interval of zero.
    #[error("{0} must be longer than 0")]
    Interval(&'static str),
    /// A negative or contradictory limit.
    #[error("{field} must {rule}, got {found}")]
    Limit {
        /// The field's name on the wire.
        field: &'static str,
        /// The rule.
        rule: &'static str,
        /// The value found.
        found: String,
    },
    /// Too many tags.
    #[error("an index has at most {TAGS_MAX} tags, found {0}")]
    TooManyTags(usize),
}

impl Definition {
    /// Checks the definition and normalises targets that miss 100 within the tolerance.
    pub fn validated(self) -> Result<Self, DefinitionError> {
        unimplemented!()
    }
}

/// Where an index is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// No funds yet.
    Pending,
    /// Watched and rebalanced.
    Active,
    /// Measured by nobody, traded by nobody.
    Paused,
    /// Gone; its stream stays.
    Deleted,
}

/// Cash or a quantity of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Funds {
    /// Money.
    Cash(Amount),
    /// Units of an asset.
    Asset(Asset, Quantity),
}

/// Why a check traded nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SkipReason {
    /// An asset has no usable price.
    Price(Asset, PriceProblem),
    /// A rebalance is still running.
    RebalanceRunning(RebalanceId),
    /// A deposit or withdrawal has not reached the venue yet.
    TransferPending(TransferId),
    /// Numbers that do not fit into 28 digits.
    Arithmetic,
    /// The index could not be rehydrated or did not answer.
    Unavailable,
}

/// What happened to an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexEvent {
    /// It was defined.
    Created(IndexCreated),
    /// Its definition was replaced.
    Updated(IndexUpdated),
    /// It was paused.
    Paused(IndexPaused),
    /// It was resumed.
    Resumed(IndexResumed),
    /// It was deleted.
    Deleted(IndexDeleted),
    /// Funds came in: booked here, and an intent towards the venue.
    Deposited(Deposited),
    /// Funds went out: booked here, and an intent towards the venue.
    Withdrawn(Withdrawn),
    /// The venue knows of the deposit or withdrawal.
    TransferSettled(TransferSettled),
    /// A check found drift above the notice level.
    DriftDetected(DriftDetected),
    /// A check found drift above the threshold.
    ThresholdExceeded(ThresholdExceeded),
    /// A check traded nothing, and why; repeated only when the reason changes.
    CheckSkipped(CheckSkipped),
}

/// `index.created` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexCreated {
    /// The index.
    pub index_id: IndexId,
    /// Its owner.
    pub owner: OwnerId,
    /// Its definition.
    pub definition: Definition,
    /// When.
    pub at: Timestamp,
}

/// `index.updated` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexUpdated {
    /// The new definition.
    pub definition: Definition,
    /// When.
    pub at: Timestamp,
}

/// `index.paused` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexPaused {
    /// When.
    pub at: Timestamp,
}

/// `index.resumed` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexResumed {
    /// When.
    pub at: Timestamp,
}

/// `index.deleted` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexDeleted {
    /// When.
    pub at: Timestamp,
}

/// `index.deposited` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposited {
    /// The transfer, idempotent at the venue.
    pub transfer_id: TransferId,
    /// What came in.
    pub funds: Funds,
    /// Whether the first construction, or a rebalance, shall follow.
    pub invest: bool,
    /// When.
    pub at: Timestamp,
}

/// `index.withdrawn` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdrawn {
    /// The transfer, idempotent at the venue.
    pub transfer_id: TransferId,
    /// What went out.
    pub funds: Funds,
    /// When.
    pub at: Timestamp,
}

/// `index.transfer_settled` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferSettled {
    /// The transfer.
    pub transfer_id: TransferId,
    /// When.
    pub at: Timestamp,
}

/// `drift.detected` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftDetected {
    /// Largest absolute drift, percentage points.
    pub drift: Percent,
    /// The asset that has it.
    pub asset: Asset,
    /// The index threshold, percentage points.
    pub threshold: Percent,
    /// Value with cash.
    pub total_value: Amount,
    /// The price snapshot that was looked at.
    pub prices_seq: u64,
    /// When.
    pub at: Timestamp,
}

/// `drift.threshold_exceeded` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdExceeded {
    /// Largest absolute drift, percentage points.
    pub drift: Percent,
    /// The asset that has it.
    pub asset: Asset,
    /// The index threshold, percentage points.
    pub threshold: Percent,
    /// Value with cash.
    pub total_value: Amount,
    /// When.
    pub at: Timestamp,
}

/// `index.check_skipped` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckSkipped {
    /// Why.
    pub reason: SkipReason,
    /// When.
    pub at: Timestamp,
}

/// What an owner may ask of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexCommand {
    /// Define it; the definition has been validated.
    Create {
        /// Its id, made by the caller.
        index_id: IndexId,
        /// Its owner.
        owner: OwnerId,
        /// Its definition.
        definition: Definition,
    },
    /// Replace the definition; it has been validated.
    Update {
        /// The new definition.
        definition: Definition,
    },
    /// Stop watching.
    Pause,
    /// Watch again.
    Resume,
    /// Delete; refused while a rebalance runs.
    Delete,
    /// Book funds that came in.
    Deposit {
        /// The transfer, made by the caller.
        transfer_id: TransferId,
        /// What came in.
        funds: Funds,
        /// Whether to invest it.
        invest: bool,
    },
    /// Book funds that go out.
    Withdraw {
        /// The transfer, made by the caller.
        transfer_id: TransferId,
        /// What goes out.
        funds: Funds,
    },
    /// The venue knows of a transfer.
    SettleTransfer {
        /// The transfer.
        transfer_id: TransferId,
    },
}

/// Why a command was refused. Nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexRefusal {
    /// There is no such index.
    #[error("there is no such index")]
    NotFound,
    /// The id is taken.
    #[error("the index exists already")]
    Exists,
    /// The definition does not hold together.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The status does not allow it.
    #[error("the index is {status:?}, {action} is not possible")]
    Status {
        /// The status.
        status: Status,
        /// What was asked.
        action: &'static str,
    },
    /// A rebalance is running.
    #[error("rebalance {0} is running; try again when it has ended")]
    RebalanceRunning(RebalanceId),
    /// A transfer is on its way to the venue.
    #[error("transfer {0} has not reached the venue yet; try again shortly")]
    TransferPending(TransferId),
    /// An amount of zero or less.
    #[error("the amount must be greater than 0")]
    NotPositive,
    /// More cash than there is.
    #[error("{asked} of cash was asked for, {available} is there")]
    InsufficientCash {
        /// What was asked for.
        asked: Amount,
        /// What is there.
        available: Amount,
    },
    /// More of an asset than there is.
    #[error("{asked} of {asset} was asked for, {available} is there")]
    InsufficientHolding {
        /// The asset.
        asset: Asset,
        /// What was asked for.
        asked: Quantity,
        /// What is there.
        available: Quantity,
    },
    /// The account cannot change while the index has holdings or cash.
    #[error("the account cannot change while the index has funds")]
    AccountInUse,
    /// Too many transfers on their way.
    #[error("{0} transfers have not reached the venue yet; try again when they have")]
    TooManyTransfers(usize),
    /// A number that does not fit.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// A quantity of an asset that the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The asset.
    pub asset: Asset,
    /// Its quantity, above zero.
    pub quantity: Quantity,
}

/// A transfer that has been booked and that the venue may not know of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTransfer {
    /// The transfer.
    pub transfer_id: TransferId,
    /// What moves.
    pub funds: Funds,
    /// True when it comes in.
    pub incoming: bool,
}

/// An index: the fold of its stream. Serialisable for snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The index.
    pub index_id: IndexId,
    /// Its owner.
    pub owner: OwnerId,
    /// Its definition.
    pub definition: Definition,
    /// Where it is in its life.
    pub status: Status,
    /// Holdings, sorted by asset, none at zero.
    pub holdings: Vec<Holding>,
    /// Cash, never negative.
    pub cash: Amount,
    /// When the last rebalance that traded was completed.
    pub last_rebalanced_at: Option<Timestamp>,
    /// A deposit asked to be invested and no rebalance has started since.
    pub investment_due: bool,
    /// Transfers that the venue may not know of yet.
    pub transfers: Vec<PendingTransfer>,
    /// The rebalance that runs.
    pub rebalance: Option<Box<Rebalance>>,
    /// The snapshot that the last `drift.detected` looked at, until holdings or targets change.
    pub noticed_seq: Option<u64>,
    /// The reason of the last skipped check, until a check goes through.
    pub skipped: Option<SkipReason>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its definition or status changed last.
    pub updated_at: Timestamp,
}

/// Which events a command leads to.
pub fn decide(
    index: Option<&Index>,
    command: IndexCommand,
    now: Timestamp,
) -> Result<Vec<IndexEvent>, IndexRefusal> {
    let _ = (index, command, now);
    unimplemented!()
}

/// Adopts an event of the index. Total: an event before the first `Created` changes nothing.
pub fn apply(index: &mut Option<Index>, event: &IndexEvent) {
    let _ = (index, event);
    unimplemented!()
}

/// Adopts an event of a rebalance: the saga's state, and holdings and cash for a trade.
pub fn apply_rebalance(index: &mut Option<Index>, event: &RebalanceEvent) {
    let _ = (index, event);
    unimplemented!()
}
