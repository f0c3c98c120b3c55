//! The kill switch: whether orders may be sent, for all indexes and for each one.
//!
//! ```text
//! ACTIVE     everything
//! REDUCING   sells only: nothing new is bought
//! HALTED     no order is sent; what is open stays open, what waits goes on when it is lifted
//! ```
//!
//! Of the switch for all and the one of an index the stricter holds.

use serde::{Deserialize, Serialize};

use crate::plan::Side;
use crate::values::{Text, Timestamp};

/// Why a switch was set, in the operator's words.
pub type SwitchReason = Text<300>;

/// Which orders may be sent; the later, the stricter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum TradingMode {
    /// All.
    #[default]
    Active,
    /// Sells.
    Reducing,
    /// None.
    Halted,
}

impl TradingMode {
    /// Whether an order of a side may be sent.
    pub fn allows(self, side: Side) -> bool {
        match self {
            Self::Active => true,
            Self::Reducing => side == Side::Sell,
            Self::Halted => false,
        }
    }

    /// Whether a buy may still be sent when the switch is lifted: under `REDUCING` what was sold
    /// stays cash, under `HALTED` everything waits.
    pub(crate) fn may_buy_later(self) -> bool {
        self != Self::Reducing
    }

    /// The stricter of two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        self.max(other)
    }
}

/// `trading.mode_set` v1: the switch for all indexes.
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

/// What happened to the switch for all indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TradingEvent {
    /// It was set.
    ModeSet(TradingModeSet),
}

/// The switch for all indexes: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trading {
    /// What holds.
    pub mode: TradingMode,
    /// Why.
    pub reason: SwitchReason,
    /// Since when; none until it is set for the first time.
    pub since: Option<Timestamp>,
}

impl Trading {
    /// The event that sets the switch. Setting what holds already is told too: the reason counts.
    pub fn set(mode: TradingMode, reason: SwitchReason, at: Timestamp) -> TradingEvent {
        TradingEvent::ModeSet(TradingModeSet { mode, reason, at })
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: &TradingEvent) {
        match event {
            TradingEvent::ModeSet(set) => {
                self.mode = set.mode;
                self.reason = set.reason.clone();
                self.since = Some(set.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TradingMode::{Active, Halted, Reducing};

    #[test]
    fn a_mode_allows_sells_longer_than_buys() {
        for (mode, sell, buy) in [
            (Active, true, true),
            (Reducing, true, false),
            (Halted, false, false),
        ] {
            assert_eq!(
                (mode.allows(Side::Sell), mode.allows(Side::Buy)),
                (sell, buy)
            );
        }
    }

    #[test]
    fn the_stricter_switch_holds() {
        for a in [Active, Reducing, Halted] {
            assert_eq!(a.stricter(Active), a);
            assert_eq!(a.stricter(Halted), Halted);
            assert_eq!(Reducing.stricter(a), a.stricter(Reducing));
        }
    }

    #[test]
    fn what_was_set_last_holds() {
        let mut trading = Trading::default();
        assert_eq!(trading.mode, Active);
        for mode in [Halted, Reducing] {
            let at = Timestamp::from_micros(7);
            trading.apply(&Trading::set(mode, SwitchReason::default(), at));
            assert_eq!((trading.mode, trading.since), (mode, Some(at)));
        }
    }
}
