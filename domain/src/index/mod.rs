//! An index: what it should hold, what it holds, and what may be done with it.
//!
//! ```text
//! PENDING ─ first deposit ─► ACTIVE ⇄ PAUSED          any of them ─► DELETED
//! ```

mod apply;
mod decide;
mod definition;
mod event;
mod old;
#[cfg(test)]
mod properties;
mod reconcile;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::rebalance::Rebalance;
use crate::trading::TradingMode;
use crate::values::{Amount, Asset, IndexId, OwnerId, Quantity, Timestamp, TransferId};

pub use apply::{apply, apply_rebalance};
pub use decide::{IndexCommand, IndexRefusal, TRANSFERS_MAX, decide};
pub use definition::{
    Account, Band, CONSTITUENTS_MAX, Constituent, Constituents, Definition, DefinitionError,
    Description, Destination, DriftMeasure, Method, Name, Rebalancing, Risk, Scope, TAGS_MAX, Tag,
    WEIGHT_TOLERANCE,
};
pub use event::{
    BREACHES_MAX, BandBreached, BreachedLine, CheckRecovered, CheckSkipped, Deposited,
    DriftDetected, Funds, IndexCreated, IndexDeleted, IndexEvent, IndexPaused, IndexReconciled,
    IndexResumed, IndexUpdated, ReconciledHolding, SkipReason, ThresholdExceeded, TradingModeSet,
    TransferSettled, Withdrawn,
};
pub use old::{ConstituentV1, DefinitionV1, IndexCreatedV1, IndexUpdatedV1, RebalancingV1, RiskV1};
pub use reconcile::{RECONCILED_MAX, reconcile};

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
#[serde(rename_all = "camelCase")]
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
#[serde(rename_all = "camelCase")]
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
    /// Which of its orders may be sent, as far as its own switch is concerned.
    pub mode: TradingMode,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its definition or status changed last.
    pub updated_at: Timestamp,
}

impl Index {
    /// How much of an asset is held.
    pub fn quantity(&self, asset: Asset) -> Quantity {
        self.holdings
            .binary_search_by_key(&asset, |holding| holding.asset)
            .ok()
            .and_then(|at| self.holdings.get(at))
            .map_or(Quantity::ZERO, |holding| holding.quantity)
    }

    /// Holdings that are no constituents: their target is 0.
    pub fn foreign_holdings(&self) -> impl Iterator<Item = &Holding> {
        let constituents = &self.definition.constituents;
        self.holdings
            .iter()
            .filter(|holding| !constituents.iter().any(|c| c.asset == holding.asset))
    }

    /// True while anything is held or on its way.
    pub fn has_funds(&self) -> bool {
        !self.holdings.is_empty() || !self.cash.is_zero() || !self.transfers.is_empty()
    }
}
