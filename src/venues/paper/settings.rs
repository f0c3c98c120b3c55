//! How the paper venue trades.

use evenkeel_domain::values::{Amount, Percent, Quantity};

/// What a fee is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeeIn {
    /// Cash: on top of a buy, out of a sell.
    #[default]
    Cash,
    /// The asset: out of what a buy delivers, on top of what a sell takes. A sell whose account
    /// does not hold the fee as well pays it in cash.
    Base,
}

/// What the same client order id means when it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdRule {
    /// The same order, for ever: it is answered with its report.
    #[default]
    UniqueForEver,
    /// The same order only while that one is open. After that it trades again, so whoever does
    /// not know whether an order arrived has to ask first.
    UniqueAmongOpen,
}

/// How the paper venue trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaperSettings {
    /// Distance of a fill from the decision price, against the trader, in per cent.
    pub slippage: Percent,
    /// Fee in per cent of what is traded.
    pub fee: Percent,
    /// What the fee is taken in.
    pub fee_in: FeeIn,
    /// Quantities are multiples of this.
    pub lot_step: Quantity,
    /// Smaller orders are refused.
    pub min_notional: Amount,
    /// What a client order id means that comes again.
    pub ids: IdRule,
}

impl Default for PaperSettings {
    /// No costs, lots fine enough not to matter, ids unique for ever.
    fn default() -> Self {
        Self {
            slippage: Percent::ZERO,
            fee: Percent::ZERO,
            fee_in: FeeIn::Cash,
            lot_step: Quantity::FINEST,
            min_notional: Amount::ZERO,
            ids: IdRule::UniqueForEver,
        }
    }
}
