//! Trades behind the engine's back, fees in the asset, the list of what was traded, stored bytes.

use super::record::{Closed, Filled, Opened, Refused, Transferred};
use super::*;

#[tokio::test]
async fn a_trade_by_hand_moves_balances_and_is_no_order() {
    let settings = costs("1", "1", "0.1", "0");
    let (venue, log) = furnished(settings, Faults::none()).await;
    let hand = async |side, quantity: &str| {
        let (asset, price) = ("A".parse().unwrap(), "50".parse().unwrap());
        venue
            .trade_by_hand(ACCOUNT, side, asset, quantity.parse().unwrap(), price)
            .await
    };
    hand(Side::Sell, "4").await.unwrap();
    assert_eq!(held(&venue).await, pair("1200", "6"));
    hand(Side::Buy, "1").await.unwrap();
    assert_eq!(held(&venue).await, pair("1150", "7"));
    for (side, quantity) in [(Side::Sell, "7.1"), (Side::Buy, "23.1")] {
        let much = hand(side, quantity).await;
        assert!(matches!(much, Err(VenueError::Refused(_))), "{much:?}");
    }
    let next = opened(&log, settings, Faults::none()).await;
    assert_eq!(held(&next).await, pair("1150", "7"));
    assert_eq!(next.traded().await.unwrap(), []);
}

#[tokio::test]
async fn a_fee_in_the_asset_comes_off_a_buy_and_on_top_of_a_sell() {
    // Side, quantity at 100 with a fee of 1 %, cash and units afterwards.
    let table = [
        (Side::Buy, "2", "800", "11.98"),
        (Side::Sell, "2", "1200", "7.98"),
        // The fee is not there in units, so it is paid in cash.
        (Side::Sell, "10", "1990", "0"),
    ];
    for (side, quantity, cash, units) in table {
        let settings = PaperSettings {
            fee_in: FeeIn::Base,
            ..costs("0", "1", "0.01", "0")
        };
        let (venue, log) = furnished(settings, Faults::none()).await;
        filled(
            venue
                .place(&order("o", side, quantity, "100"))
                .await
                .unwrap(),
        );
        let next = opened(&log, settings, Faults::none()).await;
        for venue in [&venue, &next] {
            assert_eq!(held(venue).await, pair(cash, units), "{side:?} {quantity}");
        }
    }
}

#[tokio::test]
async fn all_that_was_traded_is_listed_with_open_orders_and_without_refused_ones() {
    let open = Slices {
        of: 4,
        filled: 4,
        every: None,
    };
    let faults = Faults::script([Fault::None, Fault::Refuse, Fault::Partial(open)]);
    let (venue, _) = furnished(PaperSettings::default(), faults).await;
    for (id, side) in [
        ("whole", Side::Buy),
        ("refused", Side::Buy),
        ("open", Side::Sell),
    ] {
        venue.place(&order(id, side, "4", "100")).await.unwrap();
    }
    venue.find(ACCOUNT, "open").await.unwrap();
    let traded = venue.traded().await.unwrap();
    let told: Vec<_> = traded
        .iter()
        .map(|order| {
            let quantity = order.fill.quantity.to_string();
            (order.client_order_id.as_str(), order.side, quantity)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("whole", Side::Buy, "4".to_owned()),
            ("open", Side::Sell, "1".to_owned()),
        ]
    );
}

fn traded() -> Traded {
    Traded {
        quantity: "2".parse().unwrap(),
        price: "1.5".parse().unwrap(),
        notional: "3".parse().unwrap(),
        fee: "0.3".parse().unwrap(),
        base_fee: "0.01".parse().unwrap(),
    }
}

/// One record of each kind, and the bytes that it was stored as when it was new.
fn samples() -> Vec<(Record, &'static str)> {
    let (client_order_id, asset) = ("o-1".to_owned(), "A".parse().unwrap());
    let id = || client_order_id.clone();
    vec![
        (
            Record::Transferred(Transferred {
                transfer_id: TransferId::from_u128(7),
                funds: cash("5"),
                incoming: true,
            }),
            "00000000000000000000000000000007000a0001",
        ),
        (
            Record::Filled(Filled {
                client_order_id: id(),
                asset,
                side: Side::Buy,
                fill: traded(),
            }),
            "036f2d3101410104001e01060006010202",
        ),
        (
            Record::Refused(Refused {
                client_order_id: id(),
                reason: reason("no"),
            }),
            "036f2d31026e6f",
        ),
        (
            Record::Opened(Opened {
                client_order_id: id(),
                asset,
                side: Side::Sell,
                quantity: "2".parse().unwrap(),
                price: "1.5".parse().unwrap(),
                slices: 3,
                filled: 2,
                every_ms: Some(1_000),
                at: Timestamp::from_micros(1_000_000),
            }),
            "036f2d3101410004001e01030201fbe803fc80841e00",
        ),
        (
            Record::Sliced(Sliced {
                client_order_id: id(),
                fill: traded(),
            }),
            "036f2d3104001e01060006010202",
        ),
        (
            Record::Closed(Closed {
                client_order_id: id(),
                asset,
                side: Side::Sell,
                fill: Some(traded()),
                ending: Ending::Expired,
            }),
            "036f2d310141000104001e0106000601020201",
        ),
        (
            Record::ByHand(ByHand {
                asset,
                side: Side::Buy,
                fill: traded(),
            }),
            "01410104001e01060006010202",
        ),
    ]
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn stored_bytes_of_every_record_are_what_they_were() {
    for (record, expected) in samples() {
        let (event_type, version, bytes) = record.stored().unwrap();
        let expected = from_hex(expected);
        assert_eq!(
            bytes, expected,
            "{event_type} v{version} is written differently"
        );
        let read = Record::of_stored(event_type, version, &bytes).unwrap();
        assert_eq!(read, record);
    }
}

#[test]
fn a_fill_of_the_first_version_had_its_fee_in_cash() {
    // The second version ends with the fee in the asset, which is nought here.
    let new = samples().swap_remove(1).1;
    let old = from_hex(&new[..new.len() - 4]);
    let Record::Filled(read) = Record::of_stored("paper.filled", 1, &old).unwrap() else {
        panic!("it is a fill")
    };
    let expected = Traded {
        base_fee: Quantity::ZERO,
        ..traded()
    };
    assert_eq!(read.fill, expected);
    assert!(Record::of_stored("paper.filled", 3, &old).is_err());
}
