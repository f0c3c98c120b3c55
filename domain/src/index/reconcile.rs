//! Reconciliation: the venue's balances are the truth, and the books follow them by an event.
//!
//! A difference is what nobody told the engine of: a trade by hand, a fee, a fill that came late.

use super::decide::{require_no_rebalance, require_no_transfer};
use super::{Holding, Index, IndexEvent, IndexReconciled, IndexRefusal, ReconciledHolding};
use crate::values::{Amount, Asset, Quantity, Timestamp};

/// Holdings that one event corrects: the event fits into a frame of the log. What is left is
/// found again by the next run.
pub const RECONCILED_MAX: usize = 250;

/// What follows from what a venue holds for an index that nothing is under way for: no event
/// where the books say the same.
///
/// # Errors
///
/// Refused while a rebalance runs or a transfer is pending: the venue may be ahead of the books
/// then, or behind. Refused for negative balances, which an index cannot have.
pub(super) fn at_rest(
    index: &Index,
    cash: Amount,
    holdings: &[Holding],
    at: Timestamp,
) -> Result<Vec<IndexEvent>, IndexRefusal> {
    require_no_rebalance(index)?;
    require_no_transfer(index)?;
    let reconciled = reconcile(index, cash, holdings, at)?;
    Ok(reconciled.map(IndexEvent::Reconciled).into_iter().collect())
}

/// The event that books what a venue holds; none where the books say the same. The caller knows
/// that nothing is under way: no order is open and no transfer is pending.
///
/// # Errors
///
/// Refused for negative balances, which an index cannot have.
pub fn reconcile(
    index: &Index,
    cash: Amount,
    holdings: &[Holding],
    at: Timestamp,
) -> Result<Option<IndexReconciled>, IndexRefusal> {
    let negative =
        |holding: &Holding| !(holding.quantity.is_positive() || holding.quantity.is_zero());
    if cash < Amount::ZERO || holdings.iter().any(negative) {
        return Err(IndexRefusal::NegativeBalance);
    }
    let differing: Vec<ReconciledHolding> = assets(index, holdings)
        .into_iter()
        .map(|asset| ReconciledHolding {
            asset,
            before: index.quantity(asset),
            after: held(holdings, asset),
        })
        .filter(|line| line.before != line.after)
        .take(RECONCILED_MAX)
        .collect();
    if differing.is_empty() && cash == index.cash {
        return Ok(None);
    }
    Ok(Some(IndexReconciled {
        cash_before: index.cash,
        cash_after: cash,
        holdings: differing,
        at,
    }))
}

/// Every asset that either side holds, sorted.
fn assets(index: &Index, holdings: &[Holding]) -> Vec<Asset> {
    let both = index.holdings.iter().chain(holdings);
    let mut assets: Vec<Asset> = both.map(|holding| holding.asset).collect();
    assets.sort_unstable();
    assets.dedup();
    assets
}

fn held(holdings: &[Holding], asset: Asset) -> Quantity {
    let line = holdings.iter().find(|holding| holding.asset == asset);
    line.map_or(Quantity::ZERO, |holding| holding.quantity)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )]

    use super::super::IndexCommand;
    use crate::drift::{self, Slots};
    use crate::index::{Funds, Status};
    use crate::rebalance::Trigger;
    use crate::testing::*;

    use super::*;

    fn balances(cash: &str, holdings: &[(&str, &str)]) -> IndexCommand {
        let holdings = holdings.iter().map(|(symbol, units)| Holding {
            asset: asset(symbol),
            quantity: units.parse().unwrap(),
        });
        IndexCommand::Reconcile {
            cash: cash.parse().unwrap(),
            holdings: holdings.collect(),
        }
    }

    /// 100 in cash, 4 AAA and 6 BBB, each at 10.
    fn invested() -> World {
        given(definition(&[("AAA", "50"), ("BBB", "50")]))
            .cash("100")
            .holding("AAA", "4")
            .holding("BBB", "6")
            .prices(1, &[("AAA", "10"), ("BBB", "10"), ("CCC", "10")])
    }

    #[test]
    fn the_books_follow_the_venue_and_say_what_changed() {
        // What the venue holds, and the lines of the event as asset, before, after.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
        let table: [Case<'_>; 6] = [
            ("100", &[("AAA", "4"), ("BBB", "6")], &[]),
            ("99", &[("AAA", "4"), ("BBB", "6")], &["cash 100 99"]),
            (
                "80",
                &[("AAA", "6"), ("BBB", "6")],
                &["cash 100 80", "AAA 4 6"],
            ),
            ("140", &[("BBB", "6")], &["cash 100 140", "AAA 4 0"]),
            (
                "90",
                &[("AAA", "4"), ("BBB", "6"), ("CCC", "1")],
                &["cash 100 90", "CCC 0 1"],
            ),
            ("0", &[], &["cash 100 0", "AAA 4 0", "BBB 6 0"]),
        ];
        for (cash, holdings, expected) in table {
            let mut world = invested();
            let events = world.when(balances(cash, holdings));
            let mut told = Vec::new();
            for event in &events {
                let IndexEvent::Reconciled(e) = event else {
                    panic!("{event:?}")
                };
                if e.cash_before != e.cash_after {
                    told.push(format!("cash {} {}", e.cash_before, e.cash_after));
                }
                let line = |l: &ReconciledHolding| format!("{} {} {}", l.asset, l.before, l.after);
                told.extend(e.holdings.iter().map(line));
            }
            assert_eq!(told, expected);
            let state = world.state();
            assert_eq!(state.cash.to_string(), cash);
            let held: Vec<(String, String)> = state
                .holdings
                .iter()
                .map(|h| (h.asset.to_string(), h.quantity.to_string()))
                .collect();
            let venue = holdings
                .iter()
                .map(|(a, q)| ((*a).to_owned(), (*q).to_owned()));
            assert_eq!(held, venue.collect::<Vec<_>>());
            assert_eq!(world.when(balances(cash, holdings)), [], "it is told once");
        }
    }

    #[test]
    fn drift_is_measured_on_what_was_found() {
        let mut world = invested();
        let drift = |world: &World| {
            let headline = drift::headline(world.state(), &world.prices, &mut Slots::default());
            headline.unwrap().drift.to_string()
        };
        assert_eq!(drift(&world), "30");
        // Half in each, no cash: on target.
        world.when(balances("0", &[("AAA", "10"), ("BBB", "10")]));
        assert_eq!(drift(&world), "0");
    }

    #[test]
    fn it_is_refused_while_something_is_under_way_and_for_negative_balances() {
        let elsewhere = || balances("1", &[]);
        let mut world = invested();
        world.deposit_unsettled(Funds::Cash(amount("5")), false);
        let transfer = world.state().transfers[0].transfer_id;
        world.then_refused(elsewhere(), &IndexRefusal::TransferPending(transfer));
        world.settle();
        world.start(Trigger::Manual);
        let running = world.state().rebalance.as_ref().unwrap().rebalance_id;
        world.then_refused(elsewhere(), &IndexRefusal::RebalanceRunning(running));

        for negative in [balances("-1", &[]), balances("1", &[("AAA", "-1")])] {
            invested().then_refused(negative, &IndexRefusal::NegativeBalance);
        }
        let mut deleted = invested();
        deleted.when(IndexCommand::Delete);
        assert_eq!(deleted.state().status, Status::Deleted);
        deleted.then_refused(elsewhere(), &IndexRefusal::NotFound);
    }

    #[test]
    fn one_event_corrects_a_bounded_number_of_holdings_and_the_next_the_rest() {
        let mut world = invested();
        let names: Vec<String> = (0..RECONCILED_MAX + 7).map(|n| format!("D{n}")).collect();
        let mut dust: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        dust.extend([("AAA", "4"), ("BBB", "6")]);
        for expected in [RECONCILED_MAX, 7, 0] {
            let events = world.when(balances("100", &dust));
            let corrected = events.iter().map(|event| match event {
                IndexEvent::Reconciled(e) => e.holdings.len(),
                other => panic!("{other:?}"),
            });
            assert_eq!(corrected.sum::<usize>(), expected);
        }
        assert_eq!(world.state().holdings.len(), RECONCILED_MAX + 9);
    }
}
