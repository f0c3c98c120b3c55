//! What happens to an index. Each struct is a stored layout: add a version, never edit one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Definition;
use crate::market::PriceProblem;
use crate::trading::{SwitchReason, TradingMode};
use crate::values::{
    Amount, Asset, IndexId, OwnerId, Percent, Quantity, RebalanceId, Timestamp, TransferId,
};

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
    /// The kill switch forbids every order.
    TradingHalted,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Price(asset, problem) => write!(f, "{asset} cannot be valued: {problem}"),
            Self::RebalanceRunning(id) => write!(f, "rebalance {id} is running"),
            Self::TransferPending(id) => write!(f, "transfer {id} has not reached the venue yet"),
            Self::Arithmetic => f.write_str("a number does not fit into 28 digits"),
            Self::Unavailable => f.write_str("the index did not answer"),
            Self::TradingHalted => f.write_str("the kill switch is set to HALTED"),
        }
    }
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
    /// The lines that the same check found outside their bands.
    BandBreached(BandBreached),
    /// A check traded nothing, and why; repeated only when the reason changes.
    CheckSkipped(CheckSkipped),
    /// A check went through again after a skipped one, and found nothing else to tell.
    CheckRecovered(CheckRecovered),
    /// Its own kill switch was set.
    TradingModeSet(TradingModeSet),
    /// The venue holds something else than the books said: the venue is right.
    Reconciled(IndexReconciled),
}

/// `index.created` v2.
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

/// `index.updated` v2.
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

/// Most lines that one [`BandBreached`] tells: keeps it below 4 KiB.
pub const BREACHES_MAX: usize = 50;

/// `drift.band_breached` v1: the lines outside their own bands, or outside the index threshold
/// where they have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BandBreached {
    /// The lines, furthest off first, at most [`BREACHES_MAX`].
    pub lines: Vec<BreachedLine>,
    /// How many there are.
    pub count: u32,
    /// When.
    pub at: Timestamp,
}

/// A line outside its band. Part of `drift.band_breached` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreachedLine {
    /// The asset.
    pub asset: Asset,
    /// Its target weight, per cent.
    pub target: Percent,
    /// Its weight now, per cent.
    pub current: Percent,
    /// Current minus target, percentage points.
    pub drift: Percent,
}

/// `index.check_skipped` v2; v1 had fewer reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckSkipped {
    /// Why.
    pub reason: SkipReason,
    /// When.
    pub at: Timestamp,
}

/// `index.check_recovered` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRecovered {
    /// When.
    pub at: Timestamp,
}

/// `index.trading_mode_set` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradingModeSet {
    /// What holds from now on.
    pub mode: TradingMode,
    /// Why.
    pub reason: SwitchReason,
    /// When.
    pub at: Timestamp,
}

/// `index.reconciled` v1: the books follow what the venue holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexReconciled {
    /// Cash that the books said.
    pub cash_before: Amount,
    /// Cash that the venue holds.
    pub cash_after: Amount,
    /// Where holdings differed, sorted by asset.
    pub holdings: Vec<ReconciledHolding>,
    /// When.
    pub at: Timestamp,
}

/// A holding that differed. Part of `index.reconciled` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconciledHolding {
    /// The asset.
    pub asset: Asset,
    /// Units that the books said.
    pub before: Quantity,
    /// Units that the venue holds.
    pub after: Quantity,
}
