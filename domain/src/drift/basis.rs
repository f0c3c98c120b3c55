//! What the targets share out, and how far a line may stray from its part.

use rust_decimal::Decimal;

use super::{DUST, DriftError, Line};
use crate::index::{Constituent, DriftMeasure, Index, Rebalancing};
use crate::values::{Amount, ArithmeticError, Percent};

/// One per cent: what is shared out times this is what a target's points are multiplied with.
const ONE_PERCENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// What is locked of an index.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Locked {
    value: Amount,
    /// Sum of the targets.
    target: Percent,
}

impl Locked {
    /// Counts a line in if it is locked.
    #[inline]
    pub(crate) fn count(
        &mut self,
        constituent: Option<Constituent>,
        value: Amount,
    ) -> Result<(), ArithmeticError> {
        if let Some(constituent) = constituent.filter(|constituent| constituent.locked) {
            self.value = self.value.add(value)?;
            self.target = self.target.add(constituent.target)?;
        }
        Ok(())
    }

    /// All lines of a valuation.
    pub(crate) fn of<'a>(
        lines: impl IntoIterator<Item = &'a Line>,
    ) -> Result<Self, ArithmeticError> {
        let mut locked = Self::default();
        for line in lines.into_iter().filter(|line| line.locked) {
            locked.value = locked.value.add(line.value)?;
            locked.target = locked.target.add(line.target)?;
        }
        Ok(locked)
    }
}

/// What the targets of an index share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The value with cash, without the buffer and the locked lines; above zero.
    pub(crate) shared: Amount,
    /// What a target is multiplied with to give money: one per cent of what is shared out, or
    /// all of it where lines are locked.
    factor: Decimal,
    /// Sum of the targets that share, where lines are locked. What is rarely a number of 28
    /// digits comes last.
    unlocked: Option<Decimal>,
}

impl Basis {
    /// The basis of an index that is worth `total` with cash.
    #[inline]
    pub(crate) fn new(index: &Index, total: Amount, locked: Locked) -> Result<Self, DriftError> {
        let buffer = index.definition.risk.cash_buffer;
        let shared = total.sub(buffer)?.sub(locked.value)?;
        if !shared.is_positive() {
            return Err(DriftError::NoValue);
        }
        let (factor, unlocked) = if locked.target.is_zero() {
            let point = shared.get().checked_mul(ONE_PERCENT);
            (point.ok_or(ArithmeticError)?, None)
        } else {
            let unlocked = Percent::HUNDRED.sub(locked.target)?;
            (shared.get(), Some(unlocked.get()))
        };
        Ok(Self {
            shared,
            factor,
            unlocked,
        })
    }

    /// What a line, or cash, with a target should be worth.
    #[inline]
    pub(crate) fn aim(&self, target: Percent) -> Result<Amount, ArithmeticError> {
        let aim = target.get().checked_mul(self.factor);
        let aim = match self.unlocked {
            None => aim,
            Some(unlocked) => aim.and_then(|aim| aim.checked_div(unlocked)),
        };
        aim.map(Amount::new).ok_or(ArithmeticError)
    }

    /// What a value has beyond what it should be worth.
    #[inline]
    pub(crate) fn excess(&self, value: Amount, target: Percent) -> Result<Amount, ArithmeticError> {
        value.sub(self.aim(target)?)
    }

    /// How far a line may stray to either side before it is traded for its own sake: its band,
    /// or the threshold of the index where it has none. `TURNOVER` has no figure per line, so
    /// its threshold counts as points. A holding without a target may not stray at all.
    pub(crate) fn width(
        &self,
        line: &Line,
        rebalancing: &Rebalancing,
    ) -> Result<Amount, ArithmeticError> {
        let aim = self.aim(line.target)?;
        if let Some(band) = line.band {
            return band.width(aim, self.shared);
        }
        match rebalancing.measure {
            _ if line.target.is_zero() => Ok(Amount::ZERO),
            DriftMeasure::Absolute | DriftMeasure::Turnover => {
                self.shared.percent(rebalancing.drift_threshold)
            }
            DriftMeasure::Relative => aim.percent(rebalancing.drift_threshold),
        }
    }

    /// Whether a distance lies outside a width by more than what rounding to lots may leave.
    pub(crate) fn is_beyond(
        &self,
        distance: Amount,
        width: Amount,
    ) -> Result<bool, ArithmeticError> {
        Ok(distance.sub(width)? > self.shared.percent(DUST)?)
    }
}
