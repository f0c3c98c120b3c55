//! Deliveries: every subscribed event, once where nothing fails, with a bound where it does.

use std::collections::HashSet;

use evenkeel_domain::index::{Definition, Method, Tag};
use evenkeel_domain::values::{Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    ENDED_AHEAD_MAX, Filter, IN_FLIGHT_MAX, RETRY_WAIT_MAX, Reason, Schedule, Target, Url, Webhook,
};

use crate::Engine;
use crate::engine::{Caller, DeliveryView, EngineError, Redelivery, WebhookWish};
use crate::testing::{Drive, World, owner, time_passes};

fn target(events: &[&str]) -> Target {
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let url = Url::required("https://example.com/hook").unwrap();
    Target::new(url, Filter::new(&events).unwrap())
}

async fn subscribe(engine: &Engine, caller: &Caller, events: &[&str]) -> WebhookId {
    let view = engine
        .create_webhook(caller, WebhookWish::untested(target(events)))
        .await
        .unwrap();
    assert!(view.secret.is_some(), "the secret is shown once");
    view.webhook.webhook_id
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_is_told_in_all_its_events_to_its_owner_alone() {
    let world = World::new();
    let (engine, alice, bob) = (world.engine().await, owner(1), owner(2));
    subscribe(&engine, &alice, &["drift.*", "rebalance.*", "trade.*"]).await;
    engine.funded(&bob, Method::Drift).await;
    engine.funded(&alice, Method::Drift).await;
    let construction = world.receiver.wait_for(4).await;
    assert_eq!(construction.len(), 4);
    engine.push("130", "100").await;
    engine.cycle().await;
    let all = world.receiver.wait_for(10).await;
    let mut told: Vec<&str> = all[4..]
        .iter()
        .map(|(_, event_type)| event_type.as_str())
        .filter(|t| !t.starts_with("test"))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "drift.detected",
            "drift.threshold_exceeded",
            "rebalance.completed",
            "rebalance.started",
            "trade.executed",
            "trade.executed"
        ]
    );
    assert_eq!(
        all.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(),
        all.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_repeated_with_the_same_id() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = subscribe(&engine, &caller, &["index.created"]).await;
    world.receiver.answers.lock().unwrap().extend([500, 503]);
    engine
        .create_index(&caller, crate::testing::halves(Method::None))
        .await
        .unwrap();
    let all = world.receiver.wait_for(3).await;
    assert_eq!(
        all.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(),
        1
    );
    let mut positions = engine.watch();
    loop {
        let webhook = engine.webhook(&caller, id).await.unwrap().webhook;
        if webhook.succeeded == 1 {
            assert_eq!((webhook.failure_count, webhook.failed), (0, 0));
            break;
        }
        positions.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn ten_failed_deliveries_disable_and_enabling_resumes_where_it_stopped() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = subscribe(&engine, &caller, &["index.created"]).await;
    world.receiver.answers.lock().unwrap().extend([500; 36]);
    for _ in 0..12 {
        engine
            .create_index(&caller, crate::testing::halves(Method::None))
            .await
            .unwrap();
    }
    let mut positions = engine.watch();
    let disabled = loop {
        let webhook = engine.webhook(&caller, id).await.unwrap().webhook;
        if !webhook.enabled {
            break webhook;
        }
        positions.changed().await.unwrap();
    };
    assert_eq!((disabled.failure_count, disabled.failed), (10, 10));
    assert!(disabled.disabled_reason.is_some());
    let before = world.receiver.received.borrow().len();
    world.receiver.answers.lock().unwrap().clear();
    engine.enable_webhook(&caller, id, false).await.unwrap();
    let all = world.receiver.wait_for(before + 2).await;
    assert!(
        all.len() <= before + 4,
        "what had not ended goes out, nothing else"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_disabled_is_told_to_the_owners_other_subscriptions_and_never_to_itself() {
    let world = World::new();
    let (engine, alice, bob) = (world.engine().await, owner(1), owner(2));
    let gone = subscribe(&engine, &alice, &["*"]).await;
    world.receiver.answers.lock().unwrap().push(410);
    engine
        .create_index(&alice, crate::testing::halves(Method::None))
        .await
        .unwrap();
    let mut positions = engine.watch();
    while engine.webhook(&alice, gone).await.unwrap().webhook.enabled {
        positions.changed().await.unwrap();
    }
    // Given subscriptions that look at the log from before that event on.
    engine.enable_webhook(&alice, gone, false).await.unwrap();
    let other = subscribe(&engine, &alice, &["webhook.disabled"]).await;
    let foreign = subscribe(&engine, &bob, &["webhook.*"]).await;
    let reason = Reason::required("it moves").unwrap();
    engine.disable_webhook(&alice, gone, reason).await.unwrap();
    // When the disabled one is enabled again, it has both events before it.
    engine.enable_webhook(&alice, gone, false).await.unwrap();
    engine
        .create_index(&alice, crate::testing::halves(Method::None))
        .await
        .unwrap();
    let all = world.receiver.wait_for(3).await;
    let of = |id: WebhookId| {
        let own = format!("msg_{:032x}_", id.as_u128());
        let own = all.iter().filter(move |(id, _)| id.starts_with(&own));
        own.map(|(_, event_type)| event_type.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(gone), ["index.created", "index.created"]);
    assert_eq!(of(other), ["webhook.disabled"]);
    assert!(of(foreign).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_put_off_for_a_day_holds_up_what_is_far_behind_it_over_a_restart() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let day = Schedule::new(vec![RETRY_WAIT_MAX; 2]).unwrap();
    let patient = Target {
        retry: day,
        ..target(&["index.paused", "index.resumed"])
    };
    let id = engine
        .create_webhook(&caller, WebhookWish::untested(patient))
        .await
        .unwrap()
        .webhook
        .webhook_id;
    let index = engine.funded(&caller, Method::Drift).await;
    world.receiver.answers.lock().unwrap().push(503);
    let pairs = ENDED_AHEAD_MAX / 2 + 50;
    for _ in 0..pairs {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    let mut positions = engine.watch();
    let ended = |webhook: &Webhook| webhook.ended_ahead.len() >= ENDED_AHEAD_MAX;
    while !ended(&engine.webhook(&caller, id).await.unwrap().webhook) {
        positions.changed().await.unwrap();
    }
    engine.kill().await;
    let _engine = world.engine().await;
    let all = world.receiver.wait_for(2 * pairs + 1).await;
    let (put_off, _) = &all[0];
    let again = all.iter().rposition(|(id, _)| id == put_off).unwrap();
    assert!(again > 0, "it came again");
    // What was under way at the kill came twice.
    assert!(again <= ENDED_AHEAD_MAX + 2 * IN_FLIGHT_MAX, "{again}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_wait_for_their_retry_hold_up_nothing_else() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    engine
        .create_webhook(&caller, WebhookWish::untested(patient))
        .await
        .unwrap();
    // More than a window full are not taken, then everything is.
    let refused = 3 * IN_FLIGHT_MAX;
    world
        .receiver
        .answers
        .lock()
        .unwrap()
        .extend(vec![503; refused]);
    for _ in 0..2 * IN_FLIGHT_MAX {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    let all = world.receiver.wait_for(4 * IN_FLIGHT_MAX + refused).await;
    let first: HashSet<_> = all[..4 * IN_FLIGHT_MAX].iter().collect();
    assert_eq!(
        first.len(),
        4 * IN_FLIGHT_MAX,
        "each came before any came twice"
    );
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 4 * IN_FLIGHT_MAX, "the rest are retries");
}

#[tokio::test(start_paused = true)]
async fn a_retry_from_before_it_was_disabled_comes_no_more() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused"])
    };
    let made = engine
        .create_webhook(&caller, WebhookWish::untested(patient))
        .await;
    let id = made.unwrap().webhook.webhook_id;
    world.receiver.answers.lock().unwrap().extend([503, 503]);
    engine.pause_index(&caller, index).await.unwrap();
    let waiting = async |attempts| {
        let mut positions = engine.watch();
        loop {
            let page = engine
                .deliveries(&caller, id, None, None, 10)
                .await
                .unwrap();
            if let (true, Some(DeliveryView::Retrying(newest))) =
                (page.items.len() == attempts, page.items.first())
            {
                return newest.retry_at.since(newest.at);
            }
            positions.changed().await.unwrap();
        }
    };
    let first = waiting(1).await;
    let off = engine.disable_webhook(&caller, id, Reason::default()).await;
    off.unwrap();
    engine.enable_webhook(&caller, id, false).await.unwrap();
    let second = waiting(2).await;
    assert!(first < second, "the first would come too soon");
    let began = tokio::time::Instant::now();
    world.receiver.wait_for(3).await;
    assert!(began.elapsed().as_millis() >= u128::from(second.as_millis()));
}

#[tokio::test(start_paused = true)]
async fn one_that_names_indexes_is_told_of_them_alone() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let one = engine.funded(&caller, Method::Drift).await;
    let two = engine.funded(&caller, Method::Drift).await;
    let of_one = Target {
        indexes: vec![one],
        ..target(&["*"])
    };
    engine
        .create_webhook(&caller, WebhookWish::untested(of_one))
        .await
        .unwrap();
    engine.pause_index(&caller, two).await.unwrap();
    engine.pause_index(&caller, one).await.unwrap();
    engine.resume_index(&caller, two).await.unwrap();
    engine.resume_index(&caller, one).await.unwrap();
    let all = world.receiver.wait_for(2).await;
    let mut told: Vec<&str> = all.iter().map(|(_, told)| told.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["index.paused", "index.resumed"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_names_a_tag_is_told_of_the_indexes_that_have_it_now() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let one = engine.funded(&caller, Method::Drift).await;
    let two = engine.funded(&caller, Method::Drift).await;
    let of_income = Target {
        tags: vec![Tag::required("income").unwrap()],
        ..target(&["index.paused", "index.updated"])
    };
    let made = engine.create_webhook(&caller, WebhookWish::untested(of_income));
    made.await.unwrap();
    engine.pause_index(&caller, two).await.unwrap();
    let tagged = Definition {
        tags: vec![Tag::required("income").unwrap()],
        ..engine.index(&caller, one).await.unwrap().index.definition
    };
    engine
        .update_index(&caller, one, tagged, None)
        .await
        .unwrap();
    engine.pause_index(&caller, one).await.unwrap();
    let all = world.receiver.wait_for(2).await;
    let mut told: Vec<&str> = all.iter().map(|(_, told)| told.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["index.paused", "index.updated"]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_and_what_lies_in_a_range_comes_again_over_a_restart() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let once = Target {
        retry: Schedule::new(Vec::new()).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    let made = engine.create_webhook(&caller, WebhookWish::untested(once));
    let id = made.await.unwrap().webhook.webhook_id;
    world
        .receiver
        .answers
        .lock()
        .unwrap()
        .extend([503, 200, 503]);
    let mut told = Vec::new();
    for turn in 0..3 {
        if turn == 1 {
            engine.resume_index(&caller, index).await.unwrap();
        } else {
            engine.pause_index(&caller, index).await.unwrap();
        }
        told = world.receiver.wait_for(turn + 1).await;
        let mut positions = engine.watch();
        let ended = async || {
            let hook = engine.webhook(&caller, id).await.unwrap().webhook;
            hook.succeeded + hook.failed
        };
        while ended().await <= turn as u64 {
            positions.changed().await.unwrap();
        }
    }
    // The two that failed come again; a kill on the way makes no difference.
    world.receiver.holds.send_replace(true);
    let since = Redelivery::FailedSince(Timestamp::from_micros(0));
    let answer = engine.redeliver(&caller, id, since).await.unwrap();
    assert_eq!((answer.requested, answer.next), (2, None));
    world.receiver.wait_for(4).await;
    engine.kill().await;
    world.receiver.holds.send_replace(false);
    let engine = world.engine().await;
    let all = world.receiver.wait_for(6).await;
    let again: HashSet<_> = all[4..].iter().map(|(id, _)| id).collect();
    assert_eq!(again, HashSet::from([&told[0].0, &told[2].0]));
    let mut positions = engine.watch();
    while !engine
        .webhook(&caller, id)
        .await
        .unwrap()
        .webhook
        .again
        .is_empty()
    {
        positions.changed().await.unwrap();
    }
    // Nothing has failed since: what counts is the last outcome of each.
    let answer = engine.redeliver(&caller, id, since).await.unwrap();
    assert_eq!(answer.requested, 0);
    let all_of_it = Redelivery::Range {
        from: 1,
        to: u64::MAX,
    };
    let answer = engine.redeliver(&caller, id, all_of_it).await.unwrap();
    assert_eq!((answer.requested, answer.next), (3, None));
    let all = world.receiver.wait_for(9).await;
    let distinct: HashSet<_> = all[6..].iter().collect();
    assert_eq!(distinct.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn attempts_keep_to_the_rate_of_their_subscription() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let slow = Target {
        rate_per_second: Some(2),
        ..target(&["index.paused", "index.resumed"])
    };
    let made = engine.create_webhook(&caller, WebhookWish::untested(slow));
    made.await.unwrap();
    let began = tokio::time::Instant::now();
    for _ in 0..5 {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    for (count, least_ms) in [(1, 0), (2, 500), (10, 4_500)] {
        world.receiver.wait_for(count).await;
        let taken = began.elapsed().as_millis();
        assert!(
            (least_ms..least_ms + 100).contains(&taken),
            "{count}: {taken} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_had_not_ended_before_a_crash_goes_out_after_it() {
    let world = World::new();
    let caller = owner(1);
    let engine = world.engine().await;
    subscribe(&engine, &caller, &["index.created"]).await;
    world.receiver.answers.lock().unwrap().push(500);
    engine
        .create_index(&caller, crate::testing::halves(Method::None))
        .await
        .unwrap();
    let first = world.receiver.wait_for(1).await;
    engine.kill().await;
    let _engine = world.engine().await;
    let all = world.receiver.wait_for(2).await;
    assert_eq!(all[0], first[0]);
    assert_eq!(all[1].0, first[0].0, "the same message");
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_lets_what_is_under_way_end_so_that_nothing_comes_twice() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let id = subscribe(&engine, &caller, &["index.paused", "index.resumed"]).await;
    world.receiver.holds.send_replace(true);
    engine.pause_index(&caller, index).await.unwrap();
    let under_way = world.receiver.wait_for(1).await;
    tokio::join!(engine.stop(), async {
        tokio::task::yield_now().await;
        world.receiver.holds.send_replace(false);
    });
    let engine = world.engine().await;
    let webhook = engine.webhook(&caller, id).await.unwrap().webhook;
    assert_eq!(webhook.succeeded, 1);
    engine.resume_index(&caller, index).await.unwrap();
    let all = world.receiver.wait_for(2).await;
    assert_ne!(all[1].0, under_way[0].0);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_waits_five_seconds_for_a_receiver_that_hangs_and_sends_again_later() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    subscribe(&engine, &caller, &["index.paused"]).await;
    world.receiver.holds.send_replace(true);
    engine.pause_index(&caller, index).await.unwrap();
    world.receiver.wait_for(1).await;
    let began = tokio::time::Instant::now();
    engine.stop().await;
    assert_eq!(began.elapsed().as_secs(), 5);
    world.receiver.holds.send_replace(false);
    let _engine = world.engine().await;
    let all = world.receiver.wait_for(2).await;
    assert_eq!(all[1].0, all[0].0, "the same message");
}

#[tokio::test(start_paused = true)]
async fn one_whose_last_attempt_failed_has_one_attempt_under_way_until_one_succeeds() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    let made = engine
        .create_webhook(&caller, WebhookWish::untested(patient))
        .await;
    made.unwrap();
    // A moment in which nothing can run any more: the clock only moves when all is idle.
    let at_rest = async || {
        time_passes(std::time::Duration::from_millis(1)).await;
        world.receiver.received.borrow().len()
    };
    world.receiver.holds.send_replace(true);
    for _ in 0..IN_FLIGHT_MAX {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    assert_eq!(at_rest().await, IN_FLIGHT_MAX, "nothing failed yet");
    world.receiver.holds.send_replace(false);
    world.receiver.wait_for(2 * IN_FLIGHT_MAX).await;
    at_rest().await;
    world.receiver.answers.lock().unwrap().push(503);
    engine.pause_index(&caller, index).await.unwrap();
    let failed = at_rest().await;
    world.receiver.holds.send_replace(true);
    for _ in 0..IN_FLIGHT_MAX {
        engine.resume_index(&caller, index).await.unwrap();
        engine.pause_index(&caller, index).await.unwrap();
    }
    assert_eq!(at_rest().await, failed + 1);
    world.receiver.holds.send_replace(false);
    world.receiver.wait_for(failed + 2 * IN_FLIGHT_MAX).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_take_the_test_is_refused() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    world.receiver.answers.lock().unwrap().push(404);
    let refused = engine
        .create_webhook(
            &caller,
            WebhookWish {
                skip_test: false,
                ..WebhookWish::untested(target(&["*"]))
            },
        )
        .await
        .unwrap_err();
    assert!(
        matches!(refused, EngineError::WebhookTest(_)),
        "{refused:?}"
    );
    let forbidden = Target {
        url: Url::required("http://example.com").unwrap(),
        ..target(&["*"])
    };
    let refused = engine
        .create_webhook(&caller, WebhookWish::untested(forbidden))
        .await
        .unwrap_err();
    assert!(matches!(refused, EngineError::Url(_)), "{refused:?}");
    assert!(engine.webhooks(&caller, None, 10).await.unwrap().is_empty());
}
