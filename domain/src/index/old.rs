//! Payloads of earlier versions, frozen, and what they are now. Whoever wrote them had no say in
//! what came later: those fields have the values that change nothing.

use serde::{Deserialize, Serialize};

use super::{
    Account, Constituent, Definition, Description, IndexCreated, IndexUpdated, Method, Name,
    Rebalancing, Risk, Tag,
};
use crate::values::{Amount, Asset, IndexId, OwnerId, Percent, Span, Timestamp};

/// `index.created` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCreatedV1 {
    /// The index.
    pub index_id: IndexId,
    /// Its owner.
    pub owner: OwnerId,
    /// Its definition.
    pub definition: DefinitionV1,
    /// When.
    pub at: Timestamp,
}

/// `index.updated` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexUpdatedV1 {
    /// The new definition.
    pub definition: DefinitionV1,
    /// When.
    pub at: Timestamp,
}

/// A definition as both had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionV1 {
    /// Name.
    pub name: Name,
    /// Description.
    pub description: Description,
    /// Assets and targets.
    pub constituents: Vec<ConstituentV1>,
    /// Target weight of cash in per cent.
    pub cash_percentage: Percent,
    /// When it is rebalanced.
    pub rebalancing: RebalancingV1,
    /// Limits on single trades.
    pub risk: RiskV1,
    /// The venue account.
    pub account: Account,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// A constituent without a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstituentV1 {
    /// The asset.
    pub asset: Asset,
    /// Target weight in per cent.
    pub target: Percent,
}

/// When an index was rebalanced: always all of it, to its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalancingV1 {
    /// The method.
    pub method: Method,
    /// Percentage points.
    pub drift_threshold: Percent,
    /// What `DAILY` waits for.
    pub min_interval: Span,
    /// What `HYBRID` waits for.
    pub max_interval: Span,
}

/// Limits on single trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskV1 {
    /// Smaller trades are skipped.
    pub min_trade_notional: Amount,
    /// Larger trades were trimmed.
    pub max_trade_notional: Option<Amount>,
    /// Worst slippage of a fill, per cent.
    pub max_slippage: Percent,
}

impl From<IndexCreatedV1> for IndexCreated {
    fn from(old: IndexCreatedV1) -> Self {
        Self {
            index_id: old.index_id,
            owner: old.owner,
            definition: old.definition.into(),
            at: old.at,
        }
    }
}

impl From<IndexUpdatedV1> for IndexUpdated {
    fn from(old: IndexUpdatedV1) -> Self {
        Self {
            definition: old.definition.into(),
            at: old.at,
        }
    }
}

impl From<DefinitionV1> for Definition {
    fn from(old: DefinitionV1) -> Self {
        let line = |line: ConstituentV1| Constituent::new(line.asset, line.target);
        Self {
            name: old.name,
            description: old.description,
            constituents: old.constituents.into_iter().map(line).collect(),
            cash_percentage: old.cash_percentage,
            rebalancing: Rebalancing {
                method: old.rebalancing.method,
                drift_threshold: old.rebalancing.drift_threshold,
                min_interval: old.rebalancing.min_interval,
                max_interval: old.rebalancing.max_interval,
                ..Rebalancing::default()
            },
            risk: Risk {
                min_trade_notional: old.risk.min_trade_notional,
                max_trade_notional: old.risk.max_trade_notional,
                max_slippage: old.risk.max_slippage,
                ..Risk::default()
            },
            account: old.account,
            tags: old.tags,
        }
    }
}
