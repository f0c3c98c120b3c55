//! Each fault at each call: what the caller hears, and what was done all the same.

use super::*;

const WAIT: Duration = Duration::from_secs(3);

/// Longer than any wait here, shorter than for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every fault that any call can meet.
const FAULTS: [Fault; 7] = [
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Refuse,
    Fault::NeverAnswers,
    Fault::AnswersTwice,
    Fault::RateLimited(WAIT),
    Fault::Slow(WAIT),
];

/// What a caller hears: a word, so that a table can name it.
fn heard<T>(answer: &Result<Result<T, VenueError>, tokio::time::error::Elapsed>) -> &'static str {
    match answer {
        Ok(Ok(_)) => "answer",
        Ok(Err(VenueError::Refused(_))) => "refused",
        Ok(Err(VenueError::Retryable(_))) => "retryable",
        Ok(Err(VenueError::Unknown(_))) => "unknown",
        Ok(Err(VenueError::RateLimited { retry_after })) => {
            assert_eq!(*retry_after, WAIT);
            "rate limited"
        }
        Err(_) => "nothing",
    }
}

/// Makes a call on a venue that has an open order `open`; tells what was heard.
async fn call(venue: &PaperVenue, call: Call) -> &'static str {
    let wait = PATIENCE;
    match call {
        Call::Place => {
            let buy = order("new", Side::Buy, "1", "100");
            heard(&tokio::time::timeout(wait, venue.place(&buy)).await)
        }
        Call::Find => heard(&tokio::time::timeout(wait, venue.find(ACCOUNT, "open")).await),
        Call::Cancel => heard(&tokio::time::timeout(wait, venue.cancel(ACCOUNT, "open")).await),
        Call::Transfer => {
            let more = moved(7, cash("5"), true);
            heard(&tokio::time::timeout(wait, venue.transfer(&more)).await)
        }
        Call::Balances => heard(&tokio::time::timeout(wait, venue.balances(ACCOUNT)).await),
    }
}

/// Whether the call did what it was to do.
async fn was_done(venue: &PaperVenue, call: Call) -> bool {
    let cash = held(venue).await.0;
    match call {
        Call::Place => cash == "900",
        Call::Transfer => cash == "1005",
        Call::Cancel => {
            let found = venue.find(ACCOUNT, "open").await.unwrap();
            found == Some(VenueReport::Refused(reason("the order was cancelled")))
        }
        Call::Find | Call::Balances => cash == "1000",
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_call_says_what_it_did() {
    let calls = [
        Call::Place,
        Call::Find,
        Call::Cancel,
        Call::Transfer,
        Call::Balances,
    ];
    for of in calls {
        let reads = matches!(of, Call::Find | Call::Balances);
        for fault in FAULTS {
            let (hears, done) = match fault {
                Fault::ErrorBefore => ("retryable", false),
                Fault::ErrorAfter => ("unknown", true),
                Fault::Refuse if of == Call::Place => ("answer", false),
                Fault::Refuse => ("refused", false),
                Fault::NeverAnswers => ("nothing", true),
                Fault::RateLimited(_) => ("rate limited", false),
                _ => ("answer", true),
            };
            let stays_open = Slices {
                of: 2,
                filled: 2,
                every: Some(evenkeel_domain::values::Span::from_hours(24)),
            };
            let faults = Faults::script([Fault::Partial(stays_open)]);
            let (venue, _) = furnished(PaperSettings::default(), faults).await;
            let open = venue.place(&order("open", Side::Buy, "1", "100")).await;
            assert_eq!(open, Ok(VenueReport::Open));
            venue.faults().push(of, [fault]);
            assert_eq!(call(&venue, of).await, hears, "{fault:?} at {of:?}");
            let expected = done || reads;
            assert_eq!(was_done(&venue, of).await, expected, "{fault:?} at {of:?}");
            // The next call meets none, and does it once in all.
            if fault != Fault::Refuse || of != Call::Place {
                assert_eq!(call(&venue, of).await, "answer", "after {fault:?}");
                assert!(was_done(&venue, of).await, "{fault:?} at {of:?}");
            }
            assert_eq!(venue.faults().met()[fault.name()], 1);
        }
    }
}

#[test]
fn what_an_account_meets_does_not_depend_on_the_others() {
    let of = |n| VenueAccount(IndexId::from_u128(n));
    let alone = Faults::seeded(7, 500);
    let alone: Vec<Fault> = (0..50).map(|_| alone.next(Call::Find, of(1))).collect();
    let among = Faults::seeded(7, 500);
    let among = (0..50).map(|_| {
        among.next(Call::Find, of(2));
        among.next(Call::Place, of(1));
        among.next(Call::Find, of(1))
    });
    assert_eq!(among.collect::<Vec<_>>(), alone);
}

#[test]
fn a_seed_draws_every_kind_of_failure_and_refuses_orders_only() {
    let faults = Faults::seeded(3, 1_000);
    let at = |call| -> std::collections::BTreeSet<&str> {
        (0..2_000)
            .map(|_| faults.next(call, ACCOUNT).name())
            .collect()
    };
    let everywhere = [
        "answersTwice",
        "errorAfter",
        "errorBefore",
        "neverAnswers",
        "rateLimited",
        "slow",
    ];
    for call in [Call::Find, Call::Cancel, Call::Transfer, Call::Balances] {
        assert!(at(call).into_iter().eq(everywhere), "{call:?}");
    }
    let of_orders = ["expiresInPart", "filledInSlices", "refuse"];
    let mut expected: Vec<&str> = everywhere.into_iter().chain(of_orders).collect();
    expected.sort_unstable();
    assert!(at(Call::Place).into_iter().eq(expected));
    assert_eq!(faults.met().values().sum::<u64>(), 10_000);
}
