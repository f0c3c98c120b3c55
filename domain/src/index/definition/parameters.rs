//! When an index is rebalanced, how far, and within which limits.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Destination;
use crate::values::{Amount, Percent, Span};

/// When an index is rebalanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Only by hand.
    None,
    /// Whenever an index drifted too far.
    Drift,
    /// At most once per `min_interval`, when an index drifted too far.
    Daily,
    /// On drift at once, and at least every `max_interval` when a trade clears the minimum.
    Hybrid,
}

/// Which figure is held against the threshold of an index, and is its drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DriftMeasure {
    /// The largest distance of a line from its target, percentage points.
    #[default]
    Absolute,
    /// The largest distance of a line from its target in per cent of the target; a holding
    /// without a target is off by 100 %.
    Relative,
    /// Half the sum of all distances, cash included: the share that must change hands.
    Turnover,
}

/// Which lines a rebalance trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scope {
    /// Every line that is off its destination.
    #[default]
    Index,
    /// Only lines outside their band, or outside the threshold where they have none; cash
    /// takes up the difference.
    Breaching,
}

/// When an index is rebalanced and how far, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalancing {
    /// The method.
    pub method: Method,
    /// In the unit of the measure; exceeded when drift is strictly greater.
    pub drift_threshold: Percent,
    /// `DAILY` waits this long after a rebalance.
    pub min_interval: Span,
    /// `HYBRID` waits at most this long after a rebalance.
    pub max_interval: Span,
    /// What is held against the threshold.
    #[serde(rename = "driftMeasure")]
    pub measure: DriftMeasure,
    /// Which lines are traded.
    pub scope: Scope,
    /// Where trades end.
    pub destination: Destination,
    /// No rebalance begins by itself sooner than this after the last one ended.
    pub cooldown: Span,
    /// A planned rebalance waits this long for approval, then it is dropped; none needs none.
    pub approval: Option<Span>,
}

impl Default for Rebalancing {
    /// What an index has whose owner says nothing else.
    fn default() -> Self {
        Self {
            method: Method::Drift,
            drift_threshold: Percent::whole(5),
            min_interval: Span::from_hours(24),
            max_interval: Span::from_hours(24),
            measure: DriftMeasure::Absolute,
            scope: Scope::Index,
            destination: Destination::Target,
            cooldown: Span::ZERO,
            approval: None,
        }
    }
}

/// Limits on trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    /// Smaller trades are skipped.
    pub min_trade_notional: Amount,
    /// Larger trades are split into several orders.
    pub max_trade_notional: Option<Amount>,
    /// A fill further than this from the decision price is refused, in per cent.
    pub max_slippage: Percent,
    /// Smaller trades are skipped, in per cent of the value with cash.
    pub min_trade_percent: Percent,
    /// Most that one rebalance may buy, and most that it may sell, in per cent of the value
    /// with cash.
    pub max_turnover: Option<Percent>,
    /// Cash that is kept back: the targets share out what is left.
    pub cash_buffer: Amount,
}

impl Default for Risk {
    /// What an index has whose owner says nothing else.
    fn default() -> Self {
        Self {
            min_trade_notional: Amount::new(Decimal::ONE),
            max_trade_notional: None,
            max_slippage: Percent::whole(1),
            min_trade_percent: Percent::ZERO,
            max_turnover: None,
            cash_buffer: Amount::ZERO,
        }
    }
}
