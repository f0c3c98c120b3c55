//! Deliveries: retries, failure counts, places in the queue.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use proptest::prelude::*;

use super::*;
use crate::index::Tag;
use crate::testing::T0;
use crate::values::IndexId;

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::optional(text).unwrap()
}

fn filter(types: &[&str]) -> Result<Filter, FilterError> {
    Filter::new(&types.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn target() -> Target {
    Target::new(text("https://example.com/hook"), filter(&["*"]).unwrap())
}

fn create(enabled: bool) -> WebhookCommand {
    WebhookCommand::Create {
        webhook_id: WebhookId::from_u128(1),
        owner: OwnerId::from_u128(2),
        target: target(),
        enabled,
        after: 100,
        secret: None,
    }
}

fn given() -> Option<Webhook> {
    let mut webhook = None;
    when(&mut webhook, create(true));
    webhook
}

#[track_caller]
fn when(webhook: &mut Option<Webhook>, command: WebhookCommand) -> Vec<WebhookEvent> {
    let events = decide(webhook.as_ref(), command, T0).unwrap();
    for event in &events {
        apply(webhook, event);
    }
    events
}

/// An attempt at a position that ends with a status, or without an answer.
fn attempt(position: u64, attempt: u32, status: Option<u16>) -> WebhookCommand {
    asked(position, attempt, status, 999, None)
}

fn asked(
    position: u64,
    attempt: u32,
    status: Option<u16>,
    jitter_permille: u16,
    retry_after: Option<Span>,
) -> WebhookCommand {
    let result = match status {
        Some(status @ 200..=299) => AttemptResult::Success { status },
        _ => AttemptResult::Failure {
            status,
            reason: text("no answer"),
            retry_after,
            answer: Answer::default(),
        },
    };
    WebhookCommand::Report(AttemptReport {
        position,
        attempt,
        result,
        duration_ms: 12,
        jitter_permille,
        low_water: position,
    })
}

fn fail_delivery(webhook: &mut Option<Webhook>, position: u64) -> Vec<WebhookEvent> {
    (1..=3)
        .flat_map(|n| when(webhook, attempt(position, n, None)))
        .collect()
}

fn disabled(webhook: Option<&Webhook>) -> Option<&str> {
    let webhook = webhook.unwrap();
    assert_eq!(webhook.enabled, webhook.disabled_reason.is_none());
    webhook.disabled_reason.as_ref().map(Text::as_str)
}

#[test]
fn a_filter_takes_types_groups_and_everything() {
    for (entries, event_type, passes) in [
        (vec!["*"], "trade.executed", true),
        (vec!["*"], "job.scheduled", false),
        (vec!["trade.*"], "trade.failed", true),
        (vec!["trade.*"], "index.created", false),
        (vec!["drift.detected"], "drift.detected", true),
        (vec!["drift.detected"], "drift.threshold_exceeded", false),
        (vec!["index.*", "trade.executed"], "trade.executed", true),
    ] {
        assert_eq!(
            filter(&entries).unwrap().matches(event_type),
            passes,
            "{entries:?}"
        );
    }
    let filter = filter(&["trade.*", " trade.* ", "*"]).unwrap();
    assert_eq!(filter.entries().collect::<Vec<_>>(), ["trade.*", "*"]);
}

#[test]
fn a_filter_refuses_what_is_no_event_type() {
    for entry in [
        "",
        "trade",
        "trade*",
        "tra.*",
        ".*",
        "**",
        "Trade.*",
        "trade.executed.*",
        "nope",
    ] {
        let refused = filter(&["*", entry]);
        assert!(
            matches!(refused, Err(FilterError::UnknownType { .. })),
            "{entry}"
        );
    }
    assert_eq!(filter(&[]), Err(FilterError::Empty));
    let many = vec!["*"; FILTER_MAX + 1];
    assert_eq!(filter(&many), Err(FilterError::TooMany(FILTER_MAX + 1)));
}

#[test]
fn a_retry_falls_anywhere_in_the_span_of_the_schedule() {
    for (n, jitter, wait_ms) in [
        (1, 0, 0),
        (1, 333, 666),
        (1, 999, 2_000),
        (1, u16::MAX, 2_000),
        (2, 0, 0),
        (2, 333, 1_333),
        (2, 999, 4_000),
    ] {
        let events = when(&mut given(), asked(101, n, Some(503), jitter, None));
        let [WebhookEvent::AttemptFailed(failed)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(
            failed.retry_at,
            T0.plus(Span::from_millis(wait_ms)),
            "{n} {jitter}"
        );
    }
}

#[test]
fn a_schedule_says_how_many_attempts_there_are() {
    let hours = |hours: &[u64]| hours.iter().copied().map(Span::from_hours).collect();
    for spans in [hours(&[]), hours(&[1]), hours(&[24; ATTEMPTS_MAX - 1])] {
        let last = u32::try_from(Vec::len(&spans)).unwrap() + 1;
        let mut webhook = given();
        let retry = Schedule::new(spans).unwrap();
        let target = Target { retry, ..target() };
        when(&mut webhook, WebhookCommand::Update { target });
        for n in 1..last {
            let events = when(&mut webhook, attempt(101, n, None));
            assert!(matches!(
                events.as_slice(),
                [WebhookEvent::AttemptFailed(_)]
            ));
        }
        let events = when(&mut webhook, attempt(101, last, None));
        assert!(
            matches!(events.as_slice(), [WebhookEvent::DeliveryFailed(e)] if e.attempts == last)
        );
    }
    let too_many = Schedule::new(hours(&[1; ATTEMPTS_MAX]));
    assert_eq!(too_many, Err(ScheduleError::TooMany(ATTEMPTS_MAX)));
    for wrong in [Span::ZERO, Span::from_secs(24 * 3_600 + 1)] {
        assert_eq!(Schedule::new(vec![wrong]), Err(ScheduleError::Span(wrong)));
    }
}

#[test]
fn one_that_names_indexes_wants_their_events_alone() {
    let (one, two) = (IndexId::from_u128(1), IndexId::from_u128(2));
    let all = target();
    let named = Target {
        indexes: vec![one],
        ..target()
    };
    let income: Tag = text("income");
    let tagged = Target {
        tags: vec![text("growth"), income.clone()],
        ..named.clone()
    };
    // The second index is the one with the tag.
    let has_tag = |id, tag: &Tag| id == two && *tag == income;
    for (index, for_all, for_named, for_tagged) in [
        (Some(one), true, true, true),
        (Some(two), true, false, true),
        (Some(IndexId::from_u128(3)), true, false, false),
        (None, true, false, false),
    ] {
        for (target, expected) in [(&all, for_all), (&named, for_named), (&tagged, for_tagged)] {
            assert_eq!(target.wants("trade.executed", || index, has_tag), expected);
            assert!(!target.wants("job.scheduled", || index, has_tag));
        }
    }
}

#[test]
fn retry_after_wins_when_it_is_longer_up_to_a_bound() {
    for (asked_for, wait) in [(1, 2), (30, 30), (86_400, 86_400), (86_401, 86_400)] {
        let retry_after = Some(Span::from_secs(asked_for));
        let events = when(&mut given(), asked(101, 1, Some(429), 999, retry_after));
        let [WebhookEvent::AttemptFailed(failed)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(failed.retry_at, T0.plus(Span::from_secs(wait)));
    }
}

#[test]
fn a_failed_attempt_is_remembered_until_the_delivery_ends() {
    let mut webhook = given();
    when(&mut webhook, attempt(101, 1, None));
    when(&mut webhook, attempt(101, 2, Some(500)));
    let retrying = &webhook.as_ref().unwrap().retrying;
    assert_eq!(retrying, &[(101, 2, T0.plus(Span::from_secs(4)))]);
    when(&mut webhook, attempt(101, 3, Some(204)));
    let webhook = webhook.unwrap();
    assert!(webhook.retrying.is_empty());
    assert_eq!((webhook.low_water, webhook.succeeded), (101, 1));
    assert_eq!(webhook.last_triggered_at, Some(T0));
}

#[test]
fn the_third_failure_ends_the_delivery_and_success_resets_the_count() {
    let mut webhook = given();
    let events = fail_delivery(&mut webhook, 101);
    assert!(matches!(events.last(), Some(WebhookEvent::DeliveryFailed(e)) if e.attempts == 3));
    assert_eq!(webhook.as_ref().unwrap().failure_count, 1);
    when(&mut webhook, attempt(102, 1, Some(200)));
    let webhook = webhook.unwrap();
    assert_eq!(
        (webhook.failure_count, webhook.failed, webhook.succeeded),
        (0, 1, 1)
    );
}

#[test]
fn the_tenth_failed_delivery_in_a_row_disables_in_the_same_batch() {
    let mut webhook = given();
    for position in 101..110 {
        fail_delivery(&mut webhook, position);
        assert_eq!(disabled(webhook.as_ref()), None);
    }
    when(&mut webhook, attempt(110, 1, None));
    when(&mut webhook, attempt(110, 2, None));
    let events = when(&mut webhook, attempt(110, 3, None));
    assert!(matches!(
        events.as_slice(),
        [WebhookEvent::DeliveryFailed(_), WebhookEvent::Disabled(_)]
    ));
    assert_eq!(
        disabled(webhook.as_ref()),
        Some("10 deliveries failed in a row")
    );
}

#[test]
fn status_410_ends_the_delivery_and_disables_at_once() {
    let mut webhook = given();
    let events = when(&mut webhook, attempt(101, 1, Some(410)));
    assert!(matches!(
        events.as_slice(),
        [WebhookEvent::DeliveryFailed(_), WebhookEvent::Disabled(_)]
    ));
    assert_eq!(
        disabled(webhook.as_ref()),
        Some("the receiver answered 410 (gone)")
    );
    let refused = decide(webhook.as_ref(), attempt(102, 1, Some(200)), T0);
    assert_eq!(refused, Err(WebhookRefusal::NotOpen));
}

#[test]
fn enabling_starts_over_from_a_position() {
    let mut webhook = given();
    when(&mut webhook, attempt(101, 1, None));
    when(&mut webhook, attempt(103, 1, Some(410)));
    when(&mut webhook, WebhookCommand::Enable { after: 500 });
    assert_eq!(disabled(webhook.as_ref()), None);
    let state = webhook.as_ref().unwrap();
    assert_eq!((state.low_water, state.failure_count), (500, 0));
    assert!(state.retrying.is_empty() && state.ended_ahead.is_empty());
    // What is enabled stays where it is.
    assert!(when(&mut webhook, WebhookCommand::Enable { after: 900 }).is_empty());
}

#[test]
fn deliveries_end_in_any_order_and_each_once() {
    let mut webhook = given();
    let report = |position, low_water| {
        let WebhookCommand::Report(mut report) = attempt(position, 1, Some(200)) else {
            panic!("a report");
        };
        report.low_water = low_water;
        WebhookCommand::Report(report)
    };
    when(&mut webhook, report(105, 100));
    when(&mut webhook, report(103, 100));
    let ended = |webhook: Option<&Webhook>| {
        let webhook = webhook.unwrap();
        (
            webhook.low_water,
            webhook.ended_ahead.iter().copied().collect::<Vec<_>>(),
        )
    };
    assert_eq!(ended(webhook.as_ref()), (100, vec![103, 105]));
    for position in [90, 100, 103, 105] {
        let refused = decide(webhook.as_ref(), report(position, 100), T0);
        assert_eq!(refused, Err(WebhookRefusal::NotOpen), "{position}");
    }
    when(&mut webhook, report(101, 104));
    assert_eq!(ended(webhook.as_ref()), (104, vec![105]));
    when(&mut webhook, WebhookCommand::Checkpoint { low_water: 200 });
    assert_eq!(ended(webhook.as_ref()), (200, vec![]));
    // A place is never given back.
    assert!(when(&mut webhook, WebhookCommand::Checkpoint { low_water: 150 }).is_empty());
    // Nor is one noted beyond a delivery that waits for its retry.
    when(&mut webhook, attempt(250, 1, Some(503)));
    when(&mut webhook, WebhookCommand::Checkpoint { low_water: 300 });
    assert_eq!(ended(webhook.as_ref()), (249, vec![]));
}

#[test]
fn a_rotation_lets_both_secrets_sign_for_a_while() {
    let mut webhook = given();
    let brought = Sealed::new(vec![7]).ok();
    for (secret, overlap, generation, both_until) in [
        (brought.clone(), ROTATION_OVERLAP, 2, ROTATION_OVERLAP),
        (None, Span::ZERO, 3, Span::ZERO),
        (None, Span::from_hours(9_999), 4, ROTATION_OVERLAP_MAX),
    ] {
        let before = webhook.clone().unwrap();
        let rotate = WebhookCommand::RotateSecret {
            secret: secret.clone(),
            overlap,
        };
        when(&mut webhook, rotate);
        let after = webhook.clone().unwrap();
        assert_eq!(after.secret_generation, generation);
        assert_eq!((after.secret, after.secret_before), (secret, before.secret));
        assert_eq!(after.overlap_until, Some(T0.plus(both_until)));
    }
}

#[test]
fn what_has_ended_is_delivered_once_more_on_its_owners_wish() {
    let mut webhook = given();
    when(&mut webhook, attempt(101, 1, Some(200)));
    let redeliver = |positions: &[u64]| WebhookCommand::Redeliver {
        positions: positions.to_vec(),
    };
    // What has not ended comes by itself.
    assert_eq!(when(&mut webhook, redeliver(&[205, 300])), []);
    let events = when(&mut webhook, redeliver(&[101, 7, 101, 300]));
    let [WebhookEvent::RedeliveryRequested(requested)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(requested.positions, [7, 101]);
    assert_eq!(when(&mut webhook, redeliver(&[7])), [], "it is on its way");
    // A failed attempt of it is made again, and it ends once.
    when(&mut webhook, attempt(7, 1, Some(500)));
    let state = webhook.clone().unwrap();
    assert_eq!(state.retrying.len(), 1);
    when(&mut webhook, attempt(7, 2, Some(200)));
    let state = webhook.clone().unwrap();
    assert_eq!(
        (state.again.len(), state.retrying.len(), state.succeeded),
        (1, 0, 2)
    );
    let refused = decide(webhook.as_ref(), attempt(7, 1, Some(200)), T0);
    assert_eq!(refused, Err(WebhookRefusal::NotOpen));
    let many: Vec<u64> = (1..=100).collect();
    when(
        &mut webhook,
        WebhookCommand::Checkpoint { low_water: 2_000 },
    );
    when(&mut webhook, redeliver(&many));
    let more: Vec<u64> = (200..200 + REDELIVERIES_MAX as u64).collect();
    let refused = decide(webhook.as_ref(), redeliver(&more), T0);
    assert_eq!(refused, Err(WebhookRefusal::TooManyRedeliveries));
}

#[test]
fn the_headers_of_an_owner_are_none_of_ours() {
    for (given, name) in [("X-Token", "x-token"), (" authorization ", "authorization")] {
        assert_eq!(HeaderName::new(given).unwrap().as_str(), name);
    }
    for reserved in [
        "Host",
        "webhook-id",
        "WEBHOOK-SIGNATURE",
        "proxy-x",
        "x-webhook-event",
    ] {
        let refused = HeaderName::new(reserved).unwrap_err();
        assert!(
            matches!(refused, HeaderNameError::Reserved(_)),
            "{reserved}"
        );
    }
    for wrong in ["", "a b", "a:b", "ä", "x\r\ny", &"x".repeat(65)] {
        let refused = HeaderName::new(wrong).unwrap_err();
        assert!(matches!(refused, HeaderNameError::Name(_)), "{wrong:?}");
    }
}

#[test]
fn what_is_deleted_is_gone() {
    let mut webhook = given();
    let refused = decide(webhook.as_ref(), create(true), T0);
    assert_eq!(refused, Err(WebhookRefusal::Exists));
    when(&mut webhook, WebhookCommand::Delete);
    for command in [
        WebhookCommand::Update { target: target() },
        WebhookCommand::Enable { after: 1 },
        WebhookCommand::RotateSecret {
            secret: None,
            overlap: ROTATION_OVERLAP,
        },
        WebhookCommand::Delete,
        WebhookCommand::Checkpoint { low_water: 900 },
    ] {
        assert_eq!(
            decide(webhook.as_ref(), command.clone(), T0),
            Err(WebhookRefusal::NotFound)
        );
        assert_eq!(decide(None, command, T0), Err(WebhookRefusal::NotFound));
    }
    let refused = decide(webhook.as_ref(), attempt(101, 1, None), T0);
    assert_eq!(refused, Err(WebhookRefusal::NotOpen));
}

#[test]
fn one_that_is_made_disabled_does_not_deliver() {
    let mut webhook = None;
    when(&mut webhook, create(false));
    assert!(!webhook.as_ref().unwrap().enabled);
    let refused = decide(webhook.as_ref(), attempt(101, 1, None), T0);
    assert_eq!(refused, Err(WebhookRefusal::NotOpen));
}

proptest! {
    #[test]
    fn any_reports_keep_the_state_bounded_and_the_place_rising(
        reports in prop::collection::vec((1..40_u64, 1..5_u32, 0..4_u8, 0..40_u64), 1..80),
    ) {
        let mut webhook = given();
        let mut place = 0;
        for (ahead, n, kind, low_water) in reports {
            let status = [None, Some(200), Some(500), Some(410)][usize::from(kind)];
            let WebhookCommand::Report(mut report) = attempt(100 + ahead, n, status) else {
                panic!("a report");
            };
            report.low_water = 100 + low_water;
            let Ok(events) = decide(webhook.as_ref(), WebhookCommand::Report(report), T0) else {
                when(&mut webhook, WebhookCommand::Enable { after: place });
                continue;
            };
            for event in &events {
                apply(&mut webhook, event);
            }
            let state = webhook.as_ref().unwrap();
            prop_assert!(state.low_water >= place);
            place = state.low_water;
            prop_assert!(state.ended_ahead.iter().all(|ended| *ended > place));
            prop_assert!(state.retrying.iter().all(|(open, ..)| *open > place));
        }
    }
}
