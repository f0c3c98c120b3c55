//! What one line wants: how far it is off, and how much of that is to be traded.

use super::LineReason;
use crate::drift::{Basis, Line};
use crate::index::{Index, Rebalancing, Scope};
use crate::values::{ArithmeticError, Quantity};

/// What a line wants, before rounding to lots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing, and why if it is off target.
    Nothing(LineReason),
    /// To sell.
    Sell(Quantity),
    /// To buy.
    Buy {
        /// To its destination, from what sells and cash pay for.
        first: Quantity,
        /// To its target, from cash that nothing else needs.
        most: Quantity,
    },
}

/// The scope that holds now: money that is to be invested is offered to every line.
pub(super) fn scope(index: &Index) -> Scope {
    if index.investment_due {
        Scope::Index
    } else {
        index.definition.rebalancing.scope
    }
}

/// What a line wants. A holding without a target is always sold as a whole.
pub(super) fn want(
    line: &Line,
    basis: &Basis,
    rebalancing: &Rebalancing,
    scope: Scope,
) -> Result<Want, ArithmeticError> {
    if line.locked {
        return Ok(Want::Nothing(LineReason::Locked));
    }
    let excess = basis.excess(line.value, line.target)?;
    if excess.is_zero() {
        return Ok(Want::Nothing(LineReason::OnTarget));
    }
    if line.target.is_zero() {
        return Ok(Want::Sell(line.quantity));
    }
    let distance = excess.abs();
    let width = basis.width(line, rebalancing)?;
    let leave = rebalancing.destination.distance(width)?;
    let is_traded = match scope {
        Scope::Index => distance > leave,
        Scope::Breaching => distance > leave && basis.is_beyond(distance, width)?,
    };
    let first = if is_traded {
        distance.sub(leave)?.quantity_at(line.price)?
    } else {
        Quantity::ZERO
    };
    let is_above = excess.is_positive();
    Ok(match scope {
        Scope::Index | Scope::Breaching if is_above && is_traded => {
            Want::Sell(first.min(line.quantity))
        }
        Scope::Index if !is_above => Want::Buy {
            first,
            most: distance.quantity_at(line.price)?,
        },
        Scope::Breaching if is_traded => Want::Buy { first, most: first },
        Scope::Index | Scope::Breaching => Want::Nothing(LineReason::WithinBand),
    })
}
