//! The figures that a check needs, without allocating: the hot path of a cycle.

use rust_decimal::Decimal;

use super::basis::{Basis, Locked};
use super::{DriftError, Slots, per_cent, quote};
use crate::index::{Constituent, DriftMeasure, Index};
use crate::market::PriceSnapshot;
use crate::values::{Amount, ArithmeticError, Asset, Percent};

/// Lines whose values a headline keeps between its two passes: more than most indexes have, and
/// small enough to clear for each.
const VALUES_KEPT: usize = 32;

/// A line outside its own band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// Its asset.
    pub asset: Asset,
    /// How far it is from its target, percentage points.
    pub drift: Percent,
    /// How wide its band is to either side, percentage points.
    pub width: Percent,
}

/// The figures that a check needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// Value of all holdings and cash.
    pub total_value: Amount,
    /// Drift by the measure of the index: points, or per cent of a target.
    pub drift: Percent,
    /// The asset that has it, or the largest part of it.
    pub worst: Asset,
    /// Largest distance of a line from what it should be worth.
    pub largest: Amount,
    /// The first line outside its own band.
    pub outside: Option<Outside>,
}

/// The headline of the drift that [`super::report`] tells in full. Locked lines do not count.
pub fn headline(
    index: &Index,
    prices: &PriceSnapshot,
    slots: &mut Slots,
) -> Result<Headline, DriftError> {
    slots.refresh(index, prices);
    let slots = &*slots;
    let constituents = &index.definition.constituents;
    let value = |line: usize| -> Result<Amount, DriftError> {
        let (quantity, price) = quote(slots, index, prices, line)?;
        Ok(quantity.value_at(price)?)
    };
    let mut values = [Amount::ZERO; VALUES_KEPT];
    let (mut total, mut locked) = (index.cash, Locked::default());
    for line in 0..slots.len() {
        let value = value(line)?;
        total = total.add(value)?;
        locked.count(constituents.get(line), value)?;
        if let Some(kept) = values.get_mut(line) {
            *kept = value;
        }
    }
    let mut scan = Scan::new(index, Basis::new(index, total, locked)?)?;
    for line in 0..slots.len() {
        let value = values
            .get(line)
            .map_or_else(|| value(line), |kept| Ok(*kept))?;
        scan.look(line, constituents.get(line), value)?;
    }
    let worst = scan.worst().and_then(|line| slots.target(index, line));
    let (worst, _) = worst.ok_or(DriftError::NoValue)?;
    Ok(Headline {
        total_value: total,
        drift: scan.drift()?,
        worst,
        largest: scan.largest,
        outside: scan.outside,
    })
}

/// One look at each line.
pub(super) struct Scan {
    basis: Basis,
    measure: DriftMeasure,
    /// Largest distance of a line, and of which.
    largest: Amount,
    /// The line that is worst by the measure, and by how much where it is relative.
    worst: usize,
    relative: Percent,
    /// Sum of the distances, cash included.
    sum: Amount,
    outside: Option<Outside>,
    seen: bool,
}

impl Scan {
    pub(super) fn new(index: &Index, basis: Basis) -> Result<Self, ArithmeticError> {
        let definition = &index.definition;
        let cash = index.cash.sub(definition.risk.cash_buffer)?;
        Ok(Self {
            basis,
            measure: definition.rebalancing.measure,
            largest: Amount::ZERO,
            worst: 0,
            relative: Percent::ZERO,
            sum: basis.excess(cash, definition.cash_percentage)?.abs(),
            outside: None,
            seen: false,
        })
    }

    #[inline]
    pub(super) fn look(
        &mut self,
        line: usize,
        constituent: Option<Constituent>,
        value: Amount,
    ) -> Result<(), ArithmeticError> {
        if constituent.is_some_and(|constituent| constituent.locked) {
            return Ok(());
        }
        let target = constituent.map_or(Percent::ZERO, |constituent| constituent.target);
        let distance = self.basis.excess(value, target)?.abs();
        let further = !self.seen || distance > self.largest;
        match self.measure {
            DriftMeasure::Absolute => self.rank(further, line),
            DriftMeasure::Turnover => {
                self.sum = self.sum.add(distance)?;
                self.rank(further, line);
            }
            DriftMeasure::Relative => {
                let relative = relative(&self.basis, distance, target)?;
                self.rank(!self.seen || relative > self.relative, line);
                self.relative = self.relative.max(relative);
            }
        }
        self.largest = self.largest.max(distance);
        self.seen = true;
        if let Some(constituent) = constituent
            && self.outside.is_none()
        {
            self.outside = outside(&self.basis, constituent, distance)?;
        }
        Ok(())
    }

    #[inline]
    fn rank(&mut self, worse: bool, line: usize) {
        if worse {
            self.worst = line;
        }
    }

    /// The worst line; none where nothing counts.
    pub(super) fn worst(&self) -> Option<usize> {
        self.seen.then_some(self.worst)
    }

    pub(super) fn is_any_outside(&self) -> bool {
        self.outside.is_some()
    }

    /// Drift by the measure.
    pub(super) fn drift(&self) -> Result<Percent, ArithmeticError> {
        match self.measure {
            DriftMeasure::Absolute => per_cent(self.largest.get(), self.basis.shared),
            DriftMeasure::Relative => Ok(self.relative),
            DriftMeasure::Turnover => turnover(self.sum, &self.basis),
        }
    }
}

/// Half of all distances in per cent of what is shared out.
pub(super) fn turnover(sum: Amount, basis: &Basis) -> Result<Percent, ArithmeticError> {
    let half = sum.get().checked_div(Decimal::TWO).ok_or(ArithmeticError)?;
    per_cent(half, basis.shared)
}

/// A distance in per cent of the target. What has no target is off by all that it is.
pub(super) fn relative(
    basis: &Basis,
    distance: Amount,
    target: Percent,
) -> Result<Percent, ArithmeticError> {
    match (target.is_zero(), distance.is_zero()) {
        (true, true) => Ok(Percent::ZERO),
        (true, false) => Ok(Percent::HUNDRED),
        (false, _) => per_cent(distance.get(), basis.aim(target)?),
    }
}

/// The line as one outside its own band, if it is.
fn outside(
    basis: &Basis,
    constituent: Constituent,
    distance: Amount,
) -> Result<Option<Outside>, ArithmeticError> {
    let Some(band) = constituent.band else {
        return Ok(None);
    };
    let width = band.width(basis.aim(constituent.target)?, basis.shared)?;
    if !basis.is_beyond(distance, width)? {
        return Ok(None);
    }
    Ok(Some(Outside {
        asset: constituent.asset,
        drift: per_cent(distance.get(), basis.shared)?,
        width: per_cent(width.get(), basis.shared)?,
    }))
}
