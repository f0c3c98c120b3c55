//! One round of a plan: what should be traded from where the rounds before it lead.

use rust_decimal::Decimal;

use super::want::{Want, scope, want};
use super::{InstrumentRules, Limits, LineReason, PlannedOrder, Side, Wanted, fund};
use crate::drift::{Basis, DriftError, Line, Locked, Valuation};
use crate::index::{CONSTITUENTS_MAX, Index, Scope};
use crate::values::{Amount, ArithmeticError, Asset, Percent};

/// Most orders that one line is split into: more would take a venue too long to be one trade.
const ORDERS_PER_LINE_MAX: usize = 10;

/// Most orders of a plan: as many as an index may have lines, so that the event stays as small.
const ORDERS_MAX: usize = CONSTITUENTS_MAX;

/// A line and the limits that its orders must meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) line: Line,
    pub(super) limits: Limits,
}

/// What an index holds, at a point of the plan.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) places: Vec<Place>,
    pub(super) cash: Amount,
    min_percent: Percent,
}

impl State {
    /// What the index holds now.
    pub(super) fn new(
        index: &Index,
        valuation: &Valuation,
        rules: &dyn Fn(Asset) -> InstrumentRules,
    ) -> Result<Self, ArithmeticError> {
        let parts = ORDERS_MAX.checked_div(valuation.lines.len());
        let parts = parts.unwrap_or(1).clamp(1, ORDERS_PER_LINE_MAX);
        let risk = &index.definition.risk;
        let places = valuation.lines.iter().map(|line| Place {
            line: *line,
            limits: Limits::new(rules(line.asset), risk).of_parts(parts),
        });
        Self {
            places: places.collect(),
            cash: index.cash,
            min_percent: risk.min_trade_percent,
        }
        .with_minima()
    }

    /// The smallest trade in per cent is one of the value that is there.
    fn with_minima(mut self) -> Result<Self, ArithmeticError> {
        let min = self.total()?.percent(self.min_percent)?;
        for place in &mut self.places {
            place.limits = place.limits.of_share(min);
        }
        Ok(self)
    }

    fn total(&self) -> Result<Amount, ArithmeticError> {
        let mut lines = self.places.iter().map(|place| place.line.value);
        lines.try_fold(self.cash, Amount::add)
    }

    /// The same after trades: per line what is bought, negative where it is sold.
    pub(super) fn after(&self, net: &[Decimal]) -> Result<Self, ArithmeticError> {
        let mut after = self.clone();
        for (place, net) in after.places.iter_mut().zip(net) {
            let (line, limits) = (&mut place.line, &place.limits);
            let (side, quantity) = super::rounds::side_of(*net);
            match side {
                Side::Sell => {
                    line.quantity = line.quantity.sub(quantity)?;
                    let proceeds = limits.proceeds(quantity, line.price)?;
                    after.cash = after.cash.add(proceeds)?;
                }
                Side::Buy => {
                    line.quantity = line.quantity.add(quantity)?;
                    after.cash = after.cash.sub(limits.cost(quantity, line.price)?)?;
                }
            }
            line.value = line.quantity.value_at(line.price)?;
        }
        after.with_minima()
    }

    fn basis(&self, index: &Index) -> Result<Basis, DriftError> {
        let lines = self.places.iter().map(|place| &place.line);
        Basis::new(index, self.total()?, Locked::of(lines)?)
    }
}

/// What may still be sold and bought in this rebalance; none without a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) sells: Option<Amount>,
    pub(super) buys: Option<Amount>,
}

/// What a round found.
#[derive(Debug)]
pub(super) struct Draft {
    /// Line and order.
    pub(super) trades: Vec<(usize, PlannedOrder)>,
    /// Per line why it is not traded, or not in full.
    pub(super) reasons: Vec<Option<LineReason>>,
}

impl Draft {
    fn note(&mut self, line: usize, reason: LineReason) {
        if let Some(place) = self.reasons.get_mut(line) {
            *place = Some(reason);
        }
    }
}

/// A buy with its line.
type LineBuy = (usize, Wanted);

/// Drafts the trades of a round. `net` tells which lines are traded already: for those a
/// shortage of cash that rounding explains is not worth a word.
pub(super) fn draft(
    index: &Index,
    state: &State,
    net: &[Decimal],
    budget: Budget,
) -> Result<Draft, DriftError> {
    let basis = state.basis(index)?;
    let mut draft = Draft {
        trades: Vec::new(),
        reasons: vec![None; state.places.len()],
    };
    let (sells, buys) = sized(index, state, net, &basis, &mut draft);
    let cash = sell(&mut draft, state, sells, budget.sells)?;
    let kept = index.definition.risk.cash_buffer;
    let kept = match scope(index) {
        Scope::Index => kept.add(basis.aim(index.definition.cash_percentage)?)?,
        Scope::Breaching => kept,
    };
    let purse = cash.sub(kept)?.max(Amount::ZERO);
    buy(&mut draft, &buys, purse, net, budget.buys)?;
    Ok(draft)
}

/// The orders that the lines want, largest first, within their limits. What adds to a trade of
/// an earlier round has no minimum of its own.
fn sized(
    index: &Index,
    state: &State,
    net: &[Decimal],
    basis: &Basis,
    draft: &mut Draft,
) -> (Vec<(usize, PlannedOrder)>, Vec<LineBuy>) {
    let (rebalancing, scope) = (&index.definition.rebalancing, scope(index));
    let (mut sells, mut buys) = (Vec::new(), Vec::new());
    for (at, (Place { line, limits }, net)) in state.places.iter().zip(net).enumerate() {
        let limits = if net.is_zero() {
            *limits
        } else {
            limits.of_more()
        };
        let (side, first, most) = match want(line, basis, rebalancing, scope) {
            Err(ArithmeticError) => {
                draft.note(at, LineReason::Arithmetic);
                continue;
            }
            Ok(Want::Nothing(reason)) => {
                draft.note(at, reason);
                continue;
            }
            Ok(Want::Sell(quantity)) => (Side::Sell, quantity, quantity),
            Ok(Want::Buy { first, most }) => (Side::Buy, first, most),
        };
        let sized = match limits.order(line.asset, side, most, line.price) {
            Ok(sized) => sized,
            Err(reason) => {
                draft.note(at, reason);
                continue;
            }
        };
        if sized.trimmed {
            draft.note(at, LineReason::TrimmedToMaxNotional);
        }
        match side {
            Side::Sell => sells.push((at, sized.order)),
            Side::Buy => {
                let first = first.min(sized.order.quantity);
                let order = sized.order;
                buys.push((
                    at,
                    Wanted {
                        order,
                        first,
                        limits,
                    },
                ));
            }
        }
    }
    sells.sort_by(|(_, a), (_, b)| largest_first(a, b));
    buys.sort_by(|(_, a), (_, b)| largest_first(&a.order, &b.order));
    (sells, buys)
}

fn largest_first(a: &PlannedOrder, b: &PlannedOrder) -> std::cmp::Ordering {
    b.notional.cmp(&a.notional).then(a.asset.cmp(&b.asset))
}

/// Adds the sells that the turnover allows; returns the cash after them.
fn sell(
    draft: &mut Draft,
    state: &State,
    sells: Vec<(usize, PlannedOrder)>,
    mut budget: Option<Amount>,
) -> Result<Amount, ArithmeticError> {
    let mut cash = state.cash;
    for (at, order) in sells {
        let Some(place) = state.places.get(at) else {
            continue;
        };
        if let Some(order) = within(draft, at, order, &place.limits, &mut budget)? {
            cash = cash.add(place.limits.proceeds(order.quantity, order.price)?)?;
            draft.trades.push((at, order));
        }
    }
    Ok(cash)
}

/// Adds the buys that the purse and the turnover allow.
fn buy(
    draft: &mut Draft,
    buys: &[LineBuy],
    purse: Amount,
    net: &[Decimal],
    mut budget: Option<Amount>,
) -> Result<(), ArithmeticError> {
    let wanted: Vec<Wanted> = buys.iter().map(|(_, wanted)| *wanted).collect();
    let funded = fund(&wanted, purse)?;
    let mut rounding = Amount::ZERO;
    for wanted in &wanted {
        rounding = rounding.add(wanted.limits.lot_value(wanted.order.price)?)?;
    }
    let is_short = funded.shortfall > rounding;
    for ((at, wanted), order) in buys.iter().zip(funded.orders) {
        let is_new = net.get(*at).is_none_or(Decimal::is_zero);
        let is_whole = order.is_some_and(|order| order.quantity >= wanted.first);
        if wanted.first.is_zero() && order.is_none() {
            draft.note(*at, LineReason::WithinBand);
        } else if !is_whole && (is_short || (order.is_none() && is_new)) {
            draft.note(*at, LineReason::TrimmedToCash);
        }
        if let Some(order) = order
            && let Some(order) = within(draft, *at, order, &wanted.limits, &mut budget)?
        {
            draft.trades.push((*at, order));
        }
    }
    Ok(())
}

/// An order as far as the turnover allows it; takes it off the budget.
fn within(
    draft: &mut Draft,
    line: usize,
    order: PlannedOrder,
    limits: &Limits,
    budget: &mut Option<Amount>,
) -> Result<Option<PlannedOrder>, ArithmeticError> {
    let Some(left) = *budget else {
        return Ok(Some(order));
    };
    let mut allowed = Some(order);
    if order.notional > left {
        draft.note(line, LineReason::TrimmedToTurnover);
        let quantity = limits.at_most(left, order.price)?;
        let smaller = limits.order(order.asset, order.side, quantity, order.price);
        allowed = smaller.ok().map(|sized| sized.order);
    }
    if let Some(order) = allowed {
        *budget = Some(left.sub(order.notional)?);
    }
    Ok(allowed)
}
