//! What somebody did at the venue by hand is found, booked as an event, and drift is measured on it.

use std::sync::atomic::Ordering;

use evenkeel_domain::Event;
use evenkeel_domain::index::{Funds, IndexEvent, IndexReconciled, Method};
use evenkeel_domain::job::{CycleSummary, RECONCILIATION};
use evenkeel_domain::values::{IndexId, Quantity, Span};
use evenkeel_domain::webhook::{Filter, Target, Url};

use crate::Engine;
use crate::engine::WebhookWish;
use crate::ports::VenueAccount;
use crate::testing::{Drive, World, amount, asset, owner};

/// A world in which each start and each hour reconciles.
fn reconciling() -> World {
    let mut world = World::new();
    world.settings.reconciliation_enabled = Some(true);
    world
}

/// Sells 10 of 50 A at 100, behind the engine's back.
fn sell_by_hand(world: &World, id: IndexId) {
    world.venue.by_hand(VenueAccount(id), |held| {
        held.cash = held.cash.add(amount("1000")).unwrap();
        let ten: Quantity = "10".parse().unwrap();
        let line = held.holdings.iter_mut().find(|line| line.0 == asset("A"));
        let units = &mut line.unwrap().1;
        *units = units.sub(ten).unwrap();
    });
}

/// The corrections in an index's stream.
async fn corrections(engine: &Engine, id: IndexId) -> Vec<IndexReconciled> {
    let wanted = |event_type: &str| event_type == "index.reconciled";
    let (page, _) = engine.events(&owner(1), 0, &wanted, 100).await.unwrap();
    page.into_iter()
        .filter(|logged| logged.stream == id.to_string())
        .map(|logged| match logged.event {
            Event::Index(IndexEvent::Reconciled(found)) => found,
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn run(engine: &Engine) -> CycleSummary {
    let run = engine.run_job(&owner(1), RECONCILIATION, true).await;
    run.unwrap().summary
}

fn counts(summary: CycleSummary) -> [u32; 4] {
    let CycleSummary {
        checked,
        drifted,
        skipped,
        failed,
        ..
    } = summary;
    [checked, drifted, skipped, failed]
}

/// Waits until the reconciliation has run so many times.
async fn has_run(engine: &Engine, times: u64) {
    let mut positions = engine.watch();
    loop {
        let jobs = engine.jobs().await.unwrap();
        let job = jobs.iter().find(|job| job.name.as_str() == RECONCILIATION);
        if job.unwrap().runs >= times {
            return;
        }
        positions.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_trade_by_hand_is_found_by_a_run_booked_and_measured() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    let url = Url::required("https://up.example/").unwrap();
    let target = Target::new(url, Filter::new(&["index.reconciled".to_owned()]).unwrap());
    engine
        .create_webhook(&caller, WebhookWish::untested(target))
        .await
        .unwrap();
    assert_eq!(counts(run(&engine).await), [1, 0, 0, 0]);
    sell_by_hand(&world, id);

    assert_eq!(counts(run(&engine).await), [1, 1, 0, 0]);

    let found = corrections(&engine, id).await;
    let [found] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (found.cash_before, found.cash_after),
        (amount("0"), amount("1000"))
    );
    let lines: Vec<_> = found
        .holdings
        .iter()
        .map(|line| format!("{} {} {}", line.asset, line.before, line.after))
        .collect();
    assert_eq!(lines, ["A 50 40"]);
    let index = engine.index(&caller, id).await.unwrap().index;
    assert_eq!(index.quantity(asset("A")).to_string(), "40");
    let drift = engine.drift(&caller, id).await.unwrap();
    assert_eq!(drift.report.drift.to_string(), "10");
    assert_eq!(counts(run(&engine).await), [1, 0, 0, 0], "it is told once");
    let told = world.receiver.wait_for(1).await;
    assert_eq!(told[0].1, "index.reconciled", "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trade_by_hand_is_found_at_the_next_start_and_by_the_schedule() {
    let world = reconciling();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    engine.stop().await;
    sell_by_hand(&world, id);

    let engine = world.engine().await;
    has_run(&engine, 2).await;
    assert_eq!(corrections(&engine, id).await.len(), 1);
    let index = engine.index(&caller, id).await.unwrap().index;
    assert_eq!(index.quantity(asset("A")).to_string(), "40");

    sell_by_hand(&world, id);
    world.clock.advance(Span::from_hours(1));
    engine.clock_moved();
    has_run(&engine, 3).await;
    assert_eq!(corrections(&engine, id).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_venue_said_before_the_index_moved_is_left_aside() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    let asked_before = *world.venue.asked.borrow();
    let told = world.venue.held_back.lock().await;
    let going = tokio::spawn({
        let engine = engine.clone();
        async move { run(&engine).await }
    });
    let mut asked = world.venue.asked.subscribe();
    asked.wait_for(|times| *times > asked_before).await.unwrap();

    engine
        .deposit(&caller, id, Funds::Cash(amount("5")), false)
        .await
        .unwrap();
    drop(told);

    assert_eq!(counts(going.await.unwrap()), [0, 0, 1, 0]);
    assert_eq!(corrections(&engine, id).await, []);
    assert_eq!(counts(run(&engine).await), [1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_does_not_answer_fails_its_account_and_books_nothing() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    // An index without funds is not asked about.
    let definition = crate::testing::halves(Method::Drift);
    engine.create_index(&caller, definition).await.unwrap();
    sell_by_hand(&world, id);
    world.venue.mute.store(true, Ordering::SeqCst);

    assert_eq!(counts(run(&engine).await), [0, 0, 0, 1]);
    assert_eq!(corrections(&engine, id).await, []);

    world.venue.mute.store(false, Ordering::SeqCst);
    assert_eq!(counts(run(&engine).await), [1, 1, 0, 0]);
}
