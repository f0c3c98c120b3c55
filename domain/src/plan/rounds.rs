//! Rounds of drafts until nothing is left to trade.

use rust_decimal::Decimal;

use super::draft::{Budget, Draft, State, draft};
use super::{LineReason, Side};
use crate::drift::DriftError;
use crate::index::Index;
use crate::values::{Amount, ArithmeticError, Quantity};

/// Most rounds of a plan. Each leaves the costs of the one before it to be shared: with costs of
/// 1 % sixteen digits are settled in eight rounds, with 10 % in about twenty.
const ROUNDS_MAX: u32 = 32;

/// What the rounds led to.
#[derive(Debug)]
pub(super) struct Settled {
    /// Per line what is bought, negative where it is sold.
    pub(super) net: Vec<Decimal>,
    /// Per line why it is not traded, or not in full.
    pub(super) reasons: Vec<Option<LineReason>>,
}

/// The side and the quantity of a net trade.
pub(super) fn side_of(net: Decimal) -> (Side, Quantity) {
    let side = if net.is_sign_negative() {
        Side::Sell
    } else {
        Side::Buy
    };
    (side, Quantity::new(net.abs()))
}

/// Drafts rounds from `start` until one has no trades. A round that reached a limit of turnover
/// or of order size is the last one, since what it leaves is for a later rebalance.
pub(super) fn settle(index: &Index, start: &State, total: Amount) -> Result<Settled, DriftError> {
    let mut settled = Settled {
        net: vec![Decimal::ZERO; start.places.len()],
        reasons: vec![None; start.places.len()],
    };
    for _ in 0..ROUNDS_MAX {
        let state = start.after(&settled.net)?;
        let budget = budget(index, start, &settled.net, total)?;
        let round = match draft(index, &state, &settled.net, budget) {
            // Costs may eat all that is shared out: what was found before stands.
            Err(DriftError::NoValue) if settled.net.iter().any(|net| !net.is_zero()) => break,
            round => round?,
        };
        settled.reasons.clone_from(&round.reasons);
        if round.trades.is_empty() || !settled.merge(start, &state, &round)? {
            break;
        }
        if settled.reasons.iter().flatten().copied().any(is_limit) {
            break;
        }
    }
    Ok(settled)
}

fn is_limit(reason: LineReason) -> bool {
    matches!(
        reason,
        LineReason::TrimmedToTurnover | LineReason::TrimmedToMaxNotional
    )
}

impl Settled {
    /// Takes the trades of a round in. False when that cannot be: the sum of the rounds is no
    /// order within the limits, and without it the cash would not suffice.
    fn merge(
        &mut self,
        start: &State,
        state: &State,
        round: &Draft,
    ) -> Result<bool, ArithmeticError> {
        let mut net = self.net.clone();
        for (at, order) in &round.trades {
            let (Some(sum), Some(place)) = (net.get_mut(*at), state.places.get(*at)) else {
                continue;
            };
            let quantity = match order.side {
                Side::Sell => -order.quantity.get(),
                Side::Buy => order.quantity.get(),
            };
            let (side, quantity) = side_of(sum.checked_add(quantity).ok_or(ArithmeticError)?);
            let sized = place
                .limits
                .order(order.asset, side, quantity, place.line.price);
            let (allowed, trimmed) = sized.map_or((Quantity::ZERO, false), |sized| {
                (sized.order.quantity, sized.trimmed)
            });
            if let Some(reason) = self.reasons.get_mut(*at).filter(|_| trimmed) {
                *reason = Some(LineReason::TrimmedToMaxNotional);
            }
            *sum = match side {
                Side::Sell => -allowed.get(),
                Side::Buy => allowed.get(),
            };
        }
        let is_new = net != self.net;
        let is_paid = start.after(&net)?.cash >= Amount::ZERO || start.cash < Amount::ZERO;
        if is_new && is_paid {
            self.net = net;
        }
        Ok(is_new && is_paid)
    }
}

/// What the turnover of one rebalance leaves after the rounds so far.
fn budget(
    index: &Index,
    start: &State,
    net: &[Decimal],
    total: Amount,
) -> Result<Budget, ArithmeticError> {
    let Some(max) = index.definition.risk.max_turnover else {
        return Ok(Budget {
            sells: None,
            buys: None,
        });
    };
    let max = total.percent(max)?;
    let (mut sells, mut buys) = (max, max);
    for (place, net) in start.places.iter().zip(net) {
        let (side, quantity) = side_of(*net);
        let notional = quantity.value_at(place.line.price)?;
        match side {
            Side::Sell => sells = sells.sub(notional)?,
            Side::Buy => buys = buys.sub(notional)?,
        }
    }
    Ok(Budget {
        sells: Some(sells.max(Amount::ZERO)),
        buys: Some(buys.max(Amount::ZERO)),
    })
}
