//! Crashes and faults: nothing is lost, nothing is done twice.

use evenkeel_domain::index::Method;
use evenkeel_domain::rebalance::RebalanceStatus;

use evenkeel_snapshots::SnapshotPolicy;

use crate::ports::{Venue, VenueAccount};
use crate::testing::{Drive, Fault, World, owner};

/// Runs one rebalance with faults at the venue; the books must agree with it afterwards.
async fn with_faults(script: &[Fault]) -> (RebalanceStatus, usize, usize) {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    world.venue.script.lock().unwrap().extend_from_slice(script);
    engine.push("130", "100").await;
    engine.cycle().await;
    let index = engine.at_rest(&caller, id).await.index;
    let truth = world.venue.balances(VenueAccount(id)).await.unwrap();
    let held: Vec<_> = index
        .holdings
        .iter()
        .map(|line| (line.asset, line.quantity))
        .collect();
    assert_eq!(
        (index.cash, held),
        (truth.cash, truth.holdings),
        "{script:?}"
    );
    let last = engine
        .rebalances(&caller, id, None, 1)
        .await
        .unwrap()
        .items
        .remove(0);
    (last.status, last.trades.len(), last.failures.len())
}

/// What the orders meet, and what comes of it: status, trades executed, trades failed.
type Row<'a> = (&'a [Fault], (RebalanceStatus, usize, usize));

#[tokio::test(start_paused = true)]
async fn faults_at_the_venue_end_as_the_table_says() {
    use RebalanceStatus::{Completed, Failed};
    let table: &[Row] = &[
        (&[], (Completed, 2, 0)),
        (&[Fault::Retryable], (Completed, 2, 0)),
        (&[Fault::FilledUnclear], (Completed, 2, 0)),
        (&[Fault::None, Fault::FilledUnclear], (Completed, 2, 0)),
        (&[Fault::FilledPanic], (Completed, 2, 0)),
        (&[Fault::None, Fault::FilledPanic], (Completed, 2, 0)),
        (&[Fault::None, Fault::Refused], (Completed, 2, 1)),
        (&[Fault::Refused; 3], (Failed, 0, 3)),
        (&[Fault::Retryable; 8], (Completed, 2, 1)),
        (&[Fault::Retryable; 24], (Failed, 0, 3)),
    ];
    for (script, expected) in table {
        assert_eq!(with_faults(script).await, *expected, "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_sent_before_a_crash_is_asked_for_and_not_sent_again() {
    let world = World::new();
    let caller = owner(1);
    let engine = world.engine().await;
    let id = engine.funded(&caller, Method::Drift).await;
    // The venue fills the order and the adapter never comes back with an answer.
    world.venue.script.lock().unwrap().push(Fault::FilledPanic);
    engine.push("130", "100").await;
    engine
        .run_job(&caller, "drift-monitor", false)
        .await
        .unwrap();
    let mut positions = engine.watch();
    while engine
        .index(&caller, id)
        .await
        .unwrap()
        .index
        .rebalance
        .is_none()
    {
        positions.changed().await.unwrap();
    }
    engine.kill().await;

    let engine = world.engine().await;
    let index = engine.at_rest(&caller, id).await.index;

    let truth = world.venue.balances(VenueAccount(id)).await.unwrap();
    let held: Vec<_> = index
        .holdings
        .iter()
        .map(|line| (line.asset, line.quantity))
        .collect();
    assert_eq!((index.cash, held), (truth.cash, truth.holdings));
    let mut sent = world.venue.sent.lock().unwrap().clone();
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all, "no client order id was sent twice");
}

#[tokio::test]
async fn a_restart_changes_nothing_with_and_without_snapshots() {
    for every_events in [1, 1_000_000] {
        let mut world = World::new();
        world.settings.snapshots = SnapshotPolicy { every_events };
        let caller = owner(1);
        let engine = world.engine().await;
        let id = engine.funded(&caller, Method::Drift).await;
        engine.push("130", "100").await;
        engine.cycle().await;
        let before = engine.at_rest(&caller, id).await;
        engine.kill().await;
        let after = world.engine().await.index(&caller, id).await.unwrap();
        assert_eq!(before, after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_index_leaves_the_others_running_and_comes_back_within_five_seconds() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let (hit, other) = (
        engine.funded(&caller, Method::Drift).await,
        engine.funded(&caller, Method::Drift).await,
    );
    let before = engine.index(&caller, hit).await.unwrap();
    engine.inject_panic(hit).unwrap();
    assert!(engine.index(&caller, other).await.is_ok());
    let began = tokio::time::Instant::now();
    let back = loop {
        match engine.index(&caller, hit).await {
            Ok(view) => break view,
            Err(_) => tokio::time::advance(std::time::Duration::from_millis(10)).await,
        }
    };
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    assert_eq!(back, before);
    assert_eq!(engine.status().index_restarts, 1);
    assert_eq!(engine.cycle().await.summary.checked, 2);
}
