//! The window of a subscription: how many attempts are under way, at which rate, how it ends, and
//! what is let into it again.

use std::collections::HashSet;

use evenkeel_domain::index::Method;
use evenkeel_domain::values::Timestamp;
use evenkeel_domain::webhook::{IN_FLIGHT_MAX, RETRY_WAIT_MAX, Schedule, Target, Webhook};

use super::{once, subscribe, subscribe_to, target};
use crate::engine::Redelivery;
use crate::testing::{Drive, World, owner, time_passes};

#[tokio::test(start_paused = true)]
async fn deliveries_that_wait_for_their_retry_hold_up_nothing_else() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    subscribe_to(&engine, &caller, patient).await;
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
async fn what_failed_and_what_lies_in_a_range_comes_again_over_a_restart() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let untried = Target {
        retry: Schedule::new(Vec::new()).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    let id = subscribe_to(&engine, &caller, untried).await;
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
        let ended = |hook: &Webhook| hook.succeeded + hook.failed > turn as u64;
        once(&engine, &caller, id, ended).await;
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
    once(&engine, &caller, id, |hook| hook.again.is_empty()).await;
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
    subscribe_to(&engine, &caller, slow).await;
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
async fn one_attempt_is_under_way_until_one_succeeds_and_after_one_that_failed() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let index = engine.funded(&caller, Method::Drift).await;
    let patient = Target {
        retry: Schedule::new(vec![RETRY_WAIT_MAX]).unwrap(),
        ..target(&["index.paused", "index.resumed"])
    };
    subscribe_to(&engine, &caller, patient).await;
    // A moment in which nothing can run any more: the clock only moves when all is idle.
    let at_rest = async || {
        time_passes(std::time::Duration::from_millis(1)).await;
        world.receiver.received.borrow().len()
    };
    let turn_about = async || {
        for _ in 0..IN_FLIGHT_MAX {
            engine.pause_index(&caller, index).await.unwrap();
            engine.resume_index(&caller, index).await.unwrap();
        }
    };
    world.receiver.holds.send_replace(true);
    turn_about().await;
    assert_eq!(at_rest().await, 1, "nobody knows yet whether it answers");
    world.receiver.holds.send_replace(false);
    let answered = 2 * IN_FLIGHT_MAX;
    world.receiver.wait_for(answered).await;
    at_rest().await;
    world.receiver.holds.send_replace(true);
    turn_about().await;
    assert_eq!(at_rest().await, answered + IN_FLIGHT_MAX);
    world.receiver.holds.send_replace(false);
    world.receiver.wait_for(2 * answered).await;
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
