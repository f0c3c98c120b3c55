//! What the owner says about an index, and the rules that it must meet.

mod band;
mod constituents;
mod parameters;
mod validate;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::values::{Percent, Text};

pub use band::{Band, Destination};
pub use constituents::{Constituent, Constituents};
pub use parameters::{DriftMeasure, Method, Rebalancing, Risk, Scope};
pub use validate::DefinitionError;

/// Most constituents of one index: a rebalance event of 200 lines stays under 16 KiB.
pub const CONSTITUENTS_MAX: usize = 200;
/// Most tags of one index.
pub const TAGS_MAX: usize = 20;
/// Targets may miss 100 by this many points, then they are normalised.
pub const WEIGHT_TOLERANCE: Percent = Percent::new(Decimal::from_parts(1, 0, 0, false, 2));

/// Name of an index.
pub type Name = Text<100>;
/// Description of an index.
pub type Description = Text<1000>;
/// A tag.
pub type Tag = Text<40>;
/// The venue account that an index trades on.
pub type Account = Text<64>;

/// What the owner says about an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Name.
    pub name: Name,
    /// Description.
    pub description: Description,
    /// Constituents; targets and `cash_percentage` sum to 100.
    pub constituents: Constituents,
    /// Target weight of cash in per cent.
    pub cash_percentage: Percent,
    /// When it is rebalanced.
    pub rebalancing: Rebalancing,
    /// Limits on trades.
    pub risk: Risk,
    /// The venue account.
    pub account: Account,
    /// Tags.
    pub tags: Vec<Tag>,
}
