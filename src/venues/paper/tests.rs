//! Tests of the paper venue.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use std::time::Duration;

use evenkeel_domain::index::Funds;
use evenkeel_domain::plan::Side;
use evenkeel_domain::rebalance::{Fill, Order};
use evenkeel_domain::values::{IndexId, Timestamp, TransferId};
use evenkeel_events::MemoryLog;

use super::*;
use crate::time::ReplayClock;

mod at_every_call;
mod by_hand;
mod over_time;

const ACCOUNT: VenueAccount = VenueAccount(IndexId::from_u128(1));

fn costs(slippage: &str, fee: &str, lot_step: &str, min_notional: &str) -> PaperSettings {
    PaperSettings {
        slippage: slippage.parse().unwrap(),
        fee: fee.parse().unwrap(),
        lot_step: lot_step.parse().unwrap(),
        min_notional: min_notional.parse().unwrap(),
        ..PaperSettings::default()
    }
}

async fn opened(log: &Arc<dyn EventLog>, settings: PaperSettings, faults: Faults) -> PaperVenue {
    let clock = Arc::new(ReplayClock::starting_at(Timestamp::EPOCH));
    let venue = PaperVenue::open(Arc::clone(log), settings, faults, clock).await;
    venue.unwrap()
}

/// A venue with 1,000 in cash and 10 units of A, on a log of its own.
async fn furnished(settings: PaperSettings, faults: Faults) -> (PaperVenue, Arc<dyn EventLog>) {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let venue = opened(&log, settings, faults).await;
    venue.transfer(&moved(1, cash("1000"), true)).await.unwrap();
    let units = Funds::Asset("A".parse().unwrap(), "10".parse().unwrap());
    venue.transfer(&moved(2, units, true)).await.unwrap();
    (venue, log)
}

fn cash(amount: &str) -> Funds {
    Funds::Cash(amount.parse().unwrap())
}

fn moved(id: u128, funds: Funds, incoming: bool) -> VenueTransfer {
    VenueTransfer {
        account: ACCOUNT,
        transfer_id: TransferId::from_u128(id),
        funds,
        incoming,
    }
}

/// An order in A with a wide limit.
fn order(id: &str, side: Side, quantity: &str, price: &str) -> VenueOrder {
    let limit = match side {
        Side::Buy => "1000000",
        Side::Sell => "0.000001",
    };
    VenueOrder {
        account: ACCOUNT,
        client_order_id: id.to_owned(),
        order: Order {
            step: 1,
            asset: "A".parse().unwrap(),
            side,
            quantity: quantity.parse().unwrap(),
            price: price.parse().unwrap(),
            limit: limit.parse().unwrap(),
        },
        at: Timestamp::EPOCH,
    }
}

/// Cash, and units of A.
async fn held(venue: &PaperVenue) -> (String, String) {
    let balances = venue.balances(ACCOUNT).await.unwrap();
    let units = balances.holdings.first();
    (
        balances.cash.to_string(),
        units.map_or_else(|| "0".to_owned(), |(_, quantity)| quantity.to_string()),
    )
}

fn pair(cash: &str, units: &str) -> (String, String) {
    (cash.to_owned(), units.to_owned())
}

fn filled(report: VenueReport) -> Fill {
    match report {
        VenueReport::Filled(fill) => fill,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_is_acted_on_once_ever_also_after_a_restart() {
    let settings = PaperSettings::default();
    let (venue, log) = furnished(settings, Faults::none()).await;
    let buy = order("reb-1", Side::Buy, "2", "100");
    let first = venue.place(&buy).await.unwrap();
    let after = held(&venue).await;
    assert_eq!(after, pair("800", "12"));
    assert_eq!(venue.place(&buy).await.unwrap(), first);
    // The same id with another body is the same order.
    let other = order("reb-1", Side::Sell, "5", "50");
    assert_eq!(venue.place(&other).await.unwrap(), first);

    // More orders than an account keeps in memory push it out to the log.
    for n in 0..20 {
        let id = format!("later-{n}");
        venue
            .place(&order(&id, Side::Buy, "0.1", "10"))
            .await
            .unwrap();
    }
    let after = held(&venue).await;
    for venue in [&venue, &opened(&log, settings, Faults::none()).await] {
        assert_eq!(venue.place(&buy).await.unwrap(), first);
        assert_eq!(
            venue.find(ACCOUNT, "reb-1").await.unwrap(),
            Some(first.clone())
        );
        assert_eq!(venue.find(ACCOUNT, "reb-2").await.unwrap(), None);
        assert_eq!(held(venue).await, after);
    }
}

#[tokio::test]
async fn slippage_and_fee_go_against_the_trader() {
    // Side, price with 1 % slippage, notional of 2 units, fee of 0.5 %, cash afterwards.
    let table = [
        (Side::Buy, "101", "202", "1.01", "796.99"),
        (Side::Sell, "99", "198", "0.99", "1197.01"),
    ];
    for (side, price, notional, fee, cash) in table {
        let (venue, _) = furnished(costs("1", "0.5", "0.01", "0"), Faults::none()).await;
        let fill = venue.place(&order("o", side, "2", "100")).await.unwrap();
        let fill = filled(fill);
        assert_eq!(fill.price.to_string(), price);
        assert_eq!(fill.notional.to_string(), notional);
        assert_eq!(fill.fee.to_string(), fee);
        assert_eq!(held(&venue).await.0, cash);
    }
}

#[tokio::test]
async fn an_order_that_breaks_a_rule_is_refused_and_moves_nothing() {
    let limited = |limit: &str, order: VenueOrder| VenueOrder {
        order: Order {
            limit: limit.parse().unwrap(),
            ..order.order
        },
        ..order
    };
    let table = [
        (order("zero", Side::Buy, "0", "100"), "not above zero"),
        (order("lot", Side::Buy, "1.05", "100"), "lot step"),
        (order("small", Side::Buy, "0.1", "100"), "minimum"),
        (order("cash", Side::Buy, "9.9", "100"), "does not cover"),
        (order("units", Side::Sell, "10.1", "100"), "does not cover"),
        (
            limited("100.5", order("limit", Side::Buy, "1", "100")),
            "limit",
        ),
        (
            limited("99.5", order("floor", Side::Sell, "1", "100")),
            "limit",
        ),
    ];
    let (venue, _) = furnished(costs("1", "1", "0.1", "20"), Faults::none()).await;
    for (order, rule) in table {
        let VenueReport::Refused(reason) = venue.place(&order).await.unwrap() else {
            panic!("{order:?}")
        };
        assert!(reason.as_str().contains(rule), "{reason} for {order:?}");
        // A refusal is a report: it stays, and is no reason to try again.
        let known = venue.find(ACCOUNT, &order.client_order_id).await.unwrap();
        assert_eq!(known, Some(VenueReport::Refused(reason)));
    }
    assert_eq!(held(&venue).await, pair("1000", "10"));
}

#[tokio::test]
async fn cash_is_spent_to_the_last_cent_and_never_beyond() {
    let (venue, _) = furnished(costs("0", "1", "0.1", "0"), Faults::none()).await;
    // 9.9 units at 100 with a fee of 1 % are 999.9.
    filled(
        venue
            .place(&order("most", Side::Buy, "9.9", "100"))
            .await
            .unwrap(),
    );
    assert_eq!(held(&venue).await, pair("0.1", "19.9"));
    let more = venue
        .place(&order("more", Side::Buy, "0.1", "100"))
        .await
        .unwrap();
    assert!(matches!(more, VenueReport::Refused(_)));
    filled(
        venue
            .place(&order("all", Side::Sell, "19.9", "100"))
            .await
            .unwrap(),
    );
    let balances = venue.balances(ACCOUNT).await.unwrap();
    assert_eq!(balances.holdings, [], "nothing is left at zero");
}

#[tokio::test]
async fn each_failure_comes_on_demand_and_leaves_the_books_as_it_says() {
    // The failure, whether the call says that it can be repeated, and whether it was acted on.
    let table = [
        (Fault::ErrorBefore, true, false),
        (Fault::ErrorAfter, false, true),
    ];
    for (fault, repeatable, acted) in table {
        let faults = Faults::script([fault]);
        let (venue, _) = furnished(PaperSettings::default(), faults).await;
        let buy = order("o", Side::Buy, "1", "100");
        let error = venue.place(&buy).await.unwrap_err();
        assert_eq!(
            matches!(error, VenueError::Retryable(_)),
            repeatable,
            "{fault:?}"
        );
        let found = venue.find(ACCOUNT, "o").await.unwrap();
        assert_eq!(found.is_some(), acted, "{fault:?}");
        // Sent again it is done once in all.
        filled(venue.place(&buy).await.unwrap());
        assert_eq!(held(&venue).await, pair("900", "11"), "{fault:?}");
    }
    let (venue, _) = furnished(PaperSettings::default(), Faults::script([Fault::Refuse])).await;
    let refused = venue
        .place(&order("o", Side::Buy, "1", "100"))
        .await
        .unwrap();
    assert!(matches!(refused, VenueReport::Refused(_)));
    assert_eq!(held(&venue).await, pair("1000", "10"));
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_never_answers_has_acted_all_the_same() {
    let faults = Faults::script([Fault::NeverAnswers]);
    let (venue, _) = furnished(PaperSettings::default(), faults).await;
    let buy = order("o", Side::Buy, "1", "100");
    let waited = tokio::time::timeout(Duration::from_hours(1), venue.place(&buy)).await;
    assert!(waited.is_err());
    assert!(venue.find(ACCOUNT, "o").await.unwrap().is_some());
    assert_eq!(held(&venue).await, pair("900", "11"));
}

#[tokio::test]
async fn seeded_failures_are_the_same_in_every_run() {
    let drawn = |seed| {
        let faults = Faults::seeded(seed, 500);
        (0..200)
            .map(|_| faults.next(Call::Place, ACCOUNT))
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
    let failed = drawn(7)
        .iter()
        .filter(|fault| **fault != Fault::None)
        .count();
    assert!((60..140).contains(&failed), "{failed} of 200 at one half");
}

#[tokio::test]
async fn a_transfer_is_booked_once_ever_also_after_a_restart() {
    let settings = PaperSettings::default();
    let (venue, log) = furnished(settings, Faults::none()).await;
    let out = moved(3, cash("400"), false);
    for _ in 0..3 {
        venue.transfer(&out).await.unwrap();
    }
    assert_eq!(held(&venue).await, pair("600", "10"));
    for n in 0..20 {
        venue
            .place(&order(&format!("o-{n}"), Side::Buy, "0.1", "10"))
            .await
            .unwrap();
    }
    let after = held(&venue).await;
    for venue in [&venue, &opened(&log, settings, Faults::none()).await] {
        venue.transfer(&out).await.unwrap();
        venue.transfer(&moved(1, cash("1000"), true)).await.unwrap();
        assert_eq!(held(venue).await, after);
        let much = venue.transfer(&moved(9, cash("601"), false)).await;
        assert!(matches!(much, Err(VenueError::Refused(_))), "{much:?}");
    }
}
