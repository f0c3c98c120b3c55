//! Mails: what gathers goes out as one, what is urgent at once.

use std::time::Duration;

use evenkeel_domain::access::Scope;
use evenkeel_domain::trading::TradingMode;
use evenkeel_domain::values::Text;
use evenkeel_domain::webhook::{DIGEST_WINDOW, OPEN_MAX};
use tokio::time::Instant;

use super::*;

/// A mail subscription that gathers for the default window.
fn mails(events: &[&str]) -> Target {
    Target {
        url: Url::required("mailto:ops@example.com").unwrap(),
        channel: Channel::Email {
            digest: DIGEST_WINDOW,
        },
        retry: Schedule::of_mails(),
        ..target(events)
    }
}

const WINDOW: Duration = Duration::from_millis(DIGEST_WINDOW.as_millis());

#[tokio::test(start_paused = true)]
async fn what_gathers_goes_out_as_one_when_its_window_ends() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = subscribe_to(&engine, &caller, mails(&["index.*"])).await;
    let began = Instant::now();
    for _ in 0..3 {
        let halves = crate::testing::halves(Method::None);
        engine.create_index(&caller, halves).await.unwrap();
    }
    let webhook = once(&engine, &caller, id, |webhook| webhook.succeeded == 3).await;
    assert!(began.elapsed() >= WINDOW);
    assert_eq!(webhook.ended_ahead.len(), 0);
    let all = world.receiver.received.borrow().clone();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].1, "digest");
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_waits_for_no_others() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    subscribe_to(&engine, &caller, mails(&["index.*", "trading.*"])).await;
    let halves = crate::testing::halves(Method::None);
    engine.create_index(&caller, halves).await.unwrap();
    let began = Instant::now();
    halt(&engine).await;
    let all = world.receiver.wait_for(1).await;
    assert!(began.elapsed() < WINDOW);
    assert_eq!(all[0].1, "trading.mode_set");
    let all = world.receiver.wait_for(2).await;
    // A mail of one event is that event.
    assert_eq!(all[1].1, "index.created");
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_failed_comes_again_with_what_has_gathered_since() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = subscribe_to(&engine, &caller, mails(&["index.created"])).await;
    let create = || engine.create_index(&caller, crate::testing::halves(Method::None));
    world.receiver.answers.lock().unwrap().push(451);
    create().await.unwrap();
    create().await.unwrap();
    let retrying = |webhook: &Webhook| webhook.retrying.len() == 2;
    let webhook = once(&engine, &caller, id, retrying).await;
    let [(_, _, one), (_, _, other)] = webhook.retrying[..] else {
        panic!("two are retried");
    };
    assert_eq!(one, other);
    create().await.unwrap();
    let webhook = once(&engine, &caller, id, |webhook| webhook.succeeded == 3).await;
    assert_eq!(webhook.failure_count, 0);
    let all = world.receiver.received.borrow().clone();
    assert_eq!(all.len(), 2, "{all:?}");
    // Mail servers drop an id that they have seen, and this one has more in it.
    assert_ne!(all[0].0, all[1].0);
}

#[tokio::test(start_paused = true)]
async fn what_gathers_survives_a_restart_and_its_window_does_not_begin_anew() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    subscribe_to(&engine, &caller, mails(&["index.created"])).await;
    for _ in 0..2 {
        let halves = crate::testing::halves(Method::None);
        engine.create_index(&caller, halves).await.unwrap();
    }
    engine.stop().await;
    assert!(world.receiver.received.borrow().is_empty());
    world.clock.advance(DIGEST_WINDOW);
    let began = Instant::now();
    let _engine = world.engine().await;
    world.receiver.wait_for(1).await;
    assert!(began.elapsed() < WINDOW);
}

#[tokio::test(start_paused = true)]
async fn more_than_fits_into_one_mail_does_not_wait() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = subscribe_to(&engine, &caller, mails(&["index.paused", "index.resumed"])).await;
    let index = engine.funded(&caller, Method::None).await;
    let began = Instant::now();
    for _ in 0..OPEN_MAX / 2 {
        engine.pause_index(&caller, index).await.unwrap();
        engine.resume_index(&caller, index).await.unwrap();
    }
    engine.pause_index(&caller, index).await.unwrap();
    world.receiver.wait_for(1).await;
    assert!(began.elapsed() < WINDOW);
    let all = OPEN_MAX as u64 + 1;
    once(&engine, &caller, id, |webhook| webhook.succeeded == all).await;
    assert_eq!(world.receiver.received.borrow().len(), 2);
}

/// The kill switch for all: told to every owner, and urgent.
async fn halt(engine: &Engine) {
    let mut admin = owner(9);
    admin.scopes.push(Scope::Admin);
    let reason = Text::required("a look").unwrap();
    engine
        .set_trading(&admin, TradingMode::Halted, reason)
        .await
        .unwrap();
}
