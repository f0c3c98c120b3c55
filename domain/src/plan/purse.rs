//! A plan that is being carried out: what its buys may cost by now.

use super::Wanted;
use super::want::scope;
use crate::drift::{self, Basis, DriftError, Locked};
use crate::index::{Index, Scope};
use crate::market::PriceSnapshot;
use crate::values::{Amount, ArithmeticError, Asset, Price};

/// The cash for the buys that are left: all but the buffer and the cash target, as it will be
/// when these buys have been made at their expected costs.
pub(crate) fn purse(
    index: &Index,
    prices: &[(Asset, Price)],
    buys: &[Wanted],
) -> Result<Amount, ArithmeticError> {
    let buffer = index.definition.risk.cash_buffer;
    let kept = match scope(index) {
        Scope::Breaching => buffer,
        Scope::Index => {
            let costs = buys.iter().try_fold(Amount::ZERO, |sum, buy| {
                sum.add(buy.limits.loss(buy.first, buy.order.price)?)
            })?;
            let target = index.definition.cash_percentage;
            let basis = shared(index, prices, |now| now.sub(costs))?;
            buffer.add(basis.map_or(Ok(Amount::ZERO), |basis| basis.aim(target))?)?
        }
    };
    Ok(index.cash.sub(kept)?.max(Amount::ZERO))
}

/// What the targets of a plan share out that was made when the index was worth `total`; none
/// when that is nothing. Locked lines have the value that they have now.
pub(crate) fn basis(
    index: &Index,
    prices: &[(Asset, Price)],
    total: Amount,
) -> Result<Option<Basis>, ArithmeticError> {
    shared(index, prices, |_| Ok(total))
}

fn shared(
    index: &Index,
    prices: &[(Asset, Price)],
    total: impl Fn(Amount) -> Result<Amount, ArithmeticError>,
) -> Result<Option<Basis>, ArithmeticError> {
    let entries = prices.iter().map(|(asset, price)| (*asset, Ok(*price)));
    let prices = PriceSnapshot::new(0, 0, entries.collect());
    let basis = || -> Result<Basis, DriftError> {
        let valuation = drift::value(index, &prices)?;
        let locked = Locked::of(&valuation.lines)?;
        Basis::new(index, total(valuation.total)?, locked)
    };
    match basis() {
        Ok(basis) => Ok(Some(basis)),
        Err(DriftError::NoValue) => Ok(None),
        Err(DriftError::Price(..) | DriftError::Arithmetic(_)) => Err(ArithmeticError),
    }
}
