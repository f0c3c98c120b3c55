//! Deliveries: every subscribed event, once where nothing fails, with a bound where it does.

mod mails;
mod window;

use std::collections::HashSet;

use evenkeel_domain::index::{Definition, Method, Tag};
use evenkeel_domain::market::{RecordPrices, Source};
use evenkeel_domain::values::{Span, WebhookId};
use evenkeel_domain::webhook::{
    Channel, ENDED_AHEAD_MAX, Filter, IN_FLIGHT_MAX, RETRY_WAIT_MAX, Reason, Schedule, Target, Url,
    Webhook,
};

use crate::Engine;
use crate::engine::{Caller, DeliveryView, EngineError, WebhookWish};
use crate::testing::{Drive, World, asset, owner};
use crate::webhook::CHECKPOINT_EVERY;

fn target(events: &[&str]) -> Target {
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let url = Url::required("https://example.com/hook").unwrap();
    Target::new(url, Filter::new(&events).unwrap())
}

async fn subscribe(engine: &Engine, caller: &Caller, events: &[&str]) -> WebhookId {
    subscribe_to(engine, caller, target(events)).await
}

async fn subscribe_to(engine: &Engine, caller: &Caller, target: Target) -> WebhookId {
    let view = engine
        .create_webhook(caller, WebhookWish::untested(target))
        .await
        .unwrap();
    let is_mail = view.webhook.target.channel.is_mail();
    assert!(view.secret.is_some() != is_mail, "the secret is shown once");
    view.webhook.webhook_id
}

/// The subscription as soon as it is as expected.
async fn once(
    engine: &Engine,
    caller: &Caller,
    id: WebhookId,
    is_so: impl Fn(&Webhook) -> bool,
) -> Webhook {
    let mut positions = engine.watch();
    loop {
        let webhook = engine.webhook(caller, id).await.unwrap().webhook;
        if is_so(&webhook) {
            return webhook;
        }
        positions.changed().await.unwrap();
    }
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
    let all = world.receiver.wait_for(11).await;
    let mut told: Vec<&str> = all[4..]
        .iter()
        .map(|(_, event_type)| event_type.as_str())
        .filter(|t| !t.starts_with("test"))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "drift.band_breached",
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
    let webhook = once(&engine, &caller, id, |webhook| webhook.succeeded == 1).await;
    assert_eq!((webhook.failure_count, webhook.failed), (0, 0));
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
    let disabled = once(&engine, &caller, id, |webhook| !webhook.enabled).await;
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
    once(&engine, &alice, gone, |webhook| !webhook.enabled).await;
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
async fn what_concerns_all_is_told_to_every_owner() {
    let world = World::new();
    let (engine, alice, bob) = (world.engine().await, owner(1), owner(2));
    subscribe(&engine, &alice, &["price.held", "job.failed"]).await;
    subscribe(&engine, &bob, &["price.*"]).await;
    let index = engine.funded(&bob, Method::None).await;
    let of_an_index = Target {
        indexes: vec![index],
        ..target(&["*"])
    };
    subscribe_to(&engine, &bob, of_an_index).await;
    let jump = RecordPrices {
        source: Source::Push,
        at: engine.prices().as_of,
        prices: vec![(asset("A"), "1000".parse().unwrap())],
        confirm: false,
    };
    engine.push_prices(&alice, jump).await.unwrap();
    engine.pause_index(&bob, index).await.unwrap();
    let all = world.receiver.wait_for(3).await;
    let mut told: Vec<&str> = all.iter().map(|(_, told)| told.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["index.paused", "price.held", "price.held"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_quiet_gets_it_from_the_whole_subscription() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    subscribe(&engine, &caller, &["index.created"]).await;
    world.receiver.answers.lock().unwrap().push(429);
    *world.receiver.retry_after.lock().unwrap() = Some(Span::from_secs(60));
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let halves = crate::testing::halves(Method::None);
        engine.create_index(&caller, halves).await.unwrap();
    }
    let first = world.receiver.wait_for(1).await.len();
    // What was under way together with the first attempt was not held back any more.
    assert!(first <= IN_FLIGHT_MAX);
    world.receiver.wait_for(4).await;
    assert!(began.elapsed() >= std::time::Duration::from_mins(1));
    let (refused, _) = &world.receiver.received.borrow()[0].clone();
    let all = world.receiver.received.borrow().clone();
    assert_eq!(all.iter().filter(|(id, _)| id == refused).count(), 2);
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
    let id = subscribe_to(&engine, &caller, patient).await;
    let index = engine.funded(&caller, Method::Drift).await;
    world.receiver.answers.lock().unwrap().push(503);
    let pairs = ENDED_AHEAD_MAX / 2 + 50;
    for _ in 0..pairs {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    let ended = |webhook: &Webhook| webhook.ended_ahead.len() >= ENDED_AHEAD_MAX;
    once(&engine, &caller, id, ended).await;
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
async fn a_retry_far_behind_the_log_s_end_comes_after_an_orderly_stop() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused"])
    };
    let id = subscribe_to(&engine, &caller, patient).await;
    let index = engine.funded(&caller, Method::None).await;
    world.receiver.answers.lock().unwrap().push(503);
    engine.pause_index(&caller, index).await.unwrap();
    once(&engine, &caller, id, |webhook| !webhook.retrying.is_empty()).await;
    for price in 0..CHECKPOINT_EVERY {
        engine.push(&format!("{}", 100 + price % 2), "100").await;
    }
    // Everything up to here has been looked at when this one comes.
    engine.resume_index(&caller, index).await.unwrap();
    engine.pause_index(&caller, index).await.unwrap();
    world.receiver.wait_for(2).await;
    engine.stop().await;
    let _engine = world.engine().await;
    let all = world.receiver.wait_for(3).await;
    assert_eq!(all[0], all[2]);
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
    let id = subscribe_to(&engine, &caller, patient).await;
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
    subscribe_to(&engine, &caller, of_one).await;
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
    subscribe_to(&engine, &caller, of_income).await;
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
