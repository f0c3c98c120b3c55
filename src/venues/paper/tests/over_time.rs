//! Orders that stay open: slices, ends, cancelling, and what an id means that comes again.

use evenkeel_domain::values::Span;

use super::*;

fn sliced(of: u32, filled: u32, every: Option<Span>) -> Faults {
    Faults::script([Fault::Partial(Slices { of, filled, every })])
}

/// What asking for the order says, again and again until it is closed.
async fn asked_until_closed(venue: &PaperVenue, id: &str) -> (u32, VenueReport) {
    for asked in 1..20 {
        match venue.find(ACCOUNT, id).await.unwrap().unwrap() {
            VenueReport::Open => {}
            closed => return (asked, closed),
        }
    }
    panic!("the order stays open")
}

#[tokio::test]
async fn an_open_order_is_filled_slice_by_slice_as_it_is_asked_for() {
    // Slices, after how many it expires, asked how often, what is filled of 10, cash afterwards.
    let table = [
        (3, 3, 3, "10", "0"),
        (4, 2, 3, "4", "600"),
        (4, 1, 2, "2", "800"),
        (40, 40, 1, "10", "0"),
    ];
    for (of, filled_after, asked, quantity, cash) in table {
        let settings = costs("0", "0", "1", "0");
        let (venue, log) = furnished(settings, sliced(of, filled_after, None)).await;
        let buy = order("o", Side::Buy, "10", "100");
        assert_eq!(venue.place(&buy).await.unwrap(), VenueReport::Open);
        let (times, report) = asked_until_closed(&venue, "o").await;
        assert_eq!(times, asked, "{of} slices, {filled_after} filled");
        assert_eq!(filled(report.clone()).quantity.to_string(), quantity);
        assert_eq!(held(&venue).await.0, cash);
        // The end is the end, also for the next process.
        let next = opened(&log, settings, Faults::none()).await;
        for venue in [&venue, &next] {
            assert_eq!(venue.place(&buy).await.unwrap(), report);
            assert_eq!(
                venue.find(ACCOUNT, "o").await.unwrap(),
                Some(report.clone())
            );
            assert_eq!(held(venue).await.0, cash);
        }
    }
}

#[tokio::test]
async fn an_order_that_expires_unfilled_is_closed_without_a_fill() {
    let (venue, _) = furnished(PaperSettings::default(), sliced(2, 0, None)).await;
    venue
        .place(&order("o", Side::Sell, "10", "100"))
        .await
        .unwrap();
    let (_, report) = asked_until_closed(&venue, "o").await;
    assert_eq!(
        report,
        VenueReport::Refused(reason("the order has expired"))
    );
    assert_eq!(held(&venue).await, pair("1000", "10"));
}

#[tokio::test]
async fn an_open_order_is_filled_by_the_clock_also_while_nobody_asks() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let clock = Arc::new(ReplayClock::starting_at(Timestamp::EPOCH));
    let faults = sliced(4, 3, Some(Span::from_secs(10)));
    let settings = PaperSettings::default();
    let venue = PaperVenue::open(log, settings, faults, clock.clone());
    let venue = venue.await.unwrap();
    venue.transfer(&moved(1, cash("1000"), true)).await.unwrap();
    venue
        .place(&order("o", Side::Buy, "8", "100"))
        .await
        .unwrap();
    // Seconds, whether it is open, cash.
    let table = [
        (9, true, "1000"),
        (10, true, "800"),
        (39, true, "400"),
        (40, false, "400"),
        (900, false, "400"),
    ];
    for (secs, is_open, cash) in table {
        clock.advance_to(Timestamp::EPOCH.plus(Span::from_secs(secs)));
        assert_eq!(held(&venue).await.0, cash, "after {secs} s");
        let report = venue.find(ACCOUNT, "o").await.unwrap().unwrap();
        assert_eq!(report == VenueReport::Open, is_open, "after {secs} s");
    }
}

#[tokio::test]
async fn a_cancelled_order_keeps_what_was_filled_and_cancelling_is_idempotent() {
    for (asked, expected) in [(0, None), (2, Some("4"))] {
        let settings = costs("0", "0", "1", "0");
        let (venue, log) = furnished(settings, sliced(5, 5, None)).await;
        venue
            .place(&order("o", Side::Buy, "10", "100"))
            .await
            .unwrap();
        for _ in 0..asked {
            venue.find(ACCOUNT, "o").await.unwrap();
        }
        let next = opened(&log, settings, Faults::none()).await;
        for _ in 0..2 {
            next.cancel(ACCOUNT, "o").await.unwrap();
        }
        next.cancel(ACCOUNT, "never heard of").await.unwrap();
        let report = next.find(ACCOUNT, "o").await.unwrap().unwrap();
        match expected {
            Some(quantity) => assert_eq!(filled(report).quantity.to_string(), quantity),
            None => assert_eq!(
                report,
                VenueReport::Refused(reason("the order was cancelled"))
            ),
        }
    }
}

#[tokio::test]
async fn slices_cost_what_the_whole_costs() {
    let settings = costs("1", "0.5", "0.01", "0");
    let (whole, _) = furnished(settings, Faults::none()).await;
    let (parts, _) = furnished(settings, sliced(3, 3, None)).await;
    for side in [Side::Sell, Side::Buy] {
        let id = format!("{side:?}");
        let it = order(&id, side, "7.77", "100");
        let at_once = filled(whole.place(&it).await.unwrap());
        parts.place(&it).await.unwrap();
        let (_, report) = asked_until_closed(&parts, &id).await;
        assert_eq!(filled(report), at_once);
        assert_eq!(held(&parts).await, held(&whole).await);
        parts.faults().push(
            Call::Place,
            [Fault::Partial(Slices {
                of: 3,
                filled: 3,
                every: None,
            })],
        );
    }
}

#[tokio::test]
async fn an_id_that_comes_again_is_the_same_order_or_trades_again_by_the_rule() {
    // The rule, what the second sending costs while the first is closed, orders that traded.
    let table = [
        (IdRule::UniqueForEver, "900", 1),
        (IdRule::UniqueAmongOpen, "800", 2),
    ];
    for (ids, cash, traded) in table {
        let settings = PaperSettings {
            ids,
            ..PaperSettings::default()
        };
        let (venue, log) = furnished(settings, Faults::none()).await;
        let buy = order("o", Side::Buy, "1", "100");
        for _ in 0..2 {
            filled(venue.place(&buy).await.unwrap());
        }
        assert_eq!(held(&venue).await.0, cash, "{ids:?}");
        assert_eq!(venue.traded().await.unwrap().len(), traded);

        // While it is open it is the same order under both rules, also when it arrives twice.
        let twice = sliced(2, 2, Some(Span::from_hours(1)));
        let next = opened(&log, settings, twice).await;
        let open = order("open", Side::Buy, "1", "100");
        for _ in 0..3 {
            assert_eq!(next.place(&open).await.unwrap(), VenueReport::Open);
        }
        next.faults().push(Call::Place, [Fault::AnswersTwice]);
        filled(
            next.place(&order("two", Side::Buy, "1", "1"))
                .await
                .unwrap(),
        );
        let ids: Vec<String> = next
            .traded()
            .await
            .unwrap()
            .into_iter()
            .map(|order| order.client_order_id)
            .collect();
        assert_eq!(ids.iter().filter(|id| *id == "two").count(), 1, "{ids:?}");
    }
}
