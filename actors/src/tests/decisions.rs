//! What people decide while a rebalance runs: kill switches, calling off, saying what became of
//! an order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use evenkeel_domain::index::{Constituent, Funds, Index, Method};
use evenkeel_domain::rebalance::{OrderOutcome, Phase, Reason, RebalanceRefusal, RebalanceStatus};
use evenkeel_domain::trading::{SwitchReason, TradingMode};
use evenkeel_domain::values::{IndexId, Percent, RebalanceId};

use crate::Engine;
use crate::books::RebalanceRecord;
use crate::engine::{Caller, EngineError};
use crate::ports::{Venue, VenueAccount};
use crate::testing::{Drive, Fault, World, amount, asset, halves, owner, time_passes};

async fn last(engine: &Engine, caller: &Caller, id: IndexId) -> RebalanceRecord {
    let page = engine.rebalances(caller, id, None, 1).await.unwrap();
    page.items.into_iter().next().unwrap()
}

async fn running(engine: &Engine, caller: &Caller, id: IndexId) -> RebalanceId {
    let view = engine
        .until(caller, id, |index| index.rebalance.is_some())
        .await;
    view.index.rebalance.unwrap().rebalance_id
}

fn has_an_open_order(index: &Index) -> bool {
    index.rebalance.as_ref().is_some_and(|r| r.accepted)
}

fn set_silent(world: &World, silent: bool) {
    world.venue.silent.store(silent, Ordering::SeqCst);
}

fn reason(text: &str) -> Reason {
    Reason::optional(text).unwrap()
}

/// The books and the venue hold the same, and no client order id went out twice.
async fn agrees_with_the_venue(world: &World, engine: &Engine, caller: &Caller, id: IndexId) {
    let index = engine.index(caller, id).await.unwrap().index;
    let truth = world.venue.balances(VenueAccount(id)).await.unwrap();
    let held = index
        .holdings
        .iter()
        .map(|line| (line.asset, line.quantity));
    assert_eq!((index.cash, held.collect()), (truth.cash, truth.holdings));
    let mut sent = world.venue.sent.lock().unwrap().clone();
    let all = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), all, "no client order id was sent twice");
}

/// An index that is halfway through its first construction of 20 orders, each of which takes the
/// venue 10 ms.
async fn halfway(world: &World, engine: &Engine, caller: &Caller) -> IndexId {
    *world.venue.pace.lock().unwrap() = Duration::from_millis(10);
    let mut definition = halves(Method::Drift);
    definition.constituents = (0..20)
        .map(|n| Constituent::new(asset(&format!("A{n}")), "5".parse::<Percent>().unwrap()))
        .collect();
    let prices = definition.constituents.iter();
    let prices = prices.map(|line| (line.asset, "10".parse().unwrap()));
    let command = evenkeel_domain::market::RecordPrices {
        source: evenkeel_domain::market::Source::Push,
        at: engine.prices().as_of,
        prices: prices.collect(),
        confirm: true,
    };
    engine.push_prices(caller, command).await.unwrap();
    let id = engine.create_index(caller, definition).await.unwrap();
    let id = id.index.index_id;
    let cash = Funds::Cash(amount("10000"));
    engine.deposit(caller, id, cash, true).await.unwrap();
    engine
        .until(caller, id, |index| index.holdings.len() >= 10)
        .await;
    id
}

#[tokio::test(start_paused = true)]
async fn once_trading_is_halted_no_order_is_sent_until_it_is_lifted() {
    for whole in [true, false] {
        let world = World::new();
        let (engine, caller) = (world.engine().await, owner(1));
        let id = halfway(&world, &engine, &caller).await;
        let switch = async |mode| {
            let why = SwitchReason::default();
            if whole {
                engine.set_trading(&caller, mode, why).await.unwrap();
            } else {
                let own = engine.set_index_trading(&caller, id, mode, why);
                own.await.unwrap();
            }
        };
        switch(TradingMode::Halted).await;
        let sent = world.venue.sent.lock().unwrap().len();
        assert!(sent < 20, "the rebalance was under way");
        time_passes(Duration::from_mins(1)).await;
        let run = engine.cycle().await;
        assert_eq!(run.summary.skipped, 1, "a running rebalance is skipped");
        assert_eq!(world.venue.sent.lock().unwrap().len(), sent);
        let by_hand = engine.rebalance(&caller, id, false, true).await;
        assert!(by_hand.is_err());
        switch(TradingMode::Active).await;
        let index = engine.at_rest(&caller, id).await.index;
        assert_eq!(index.holdings.len(), 20);
        agrees_with_the_venue(&world, &engine, &caller, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn halted_survives_a_crash_and_so_does_the_order_that_waits() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = halfway(&world, &engine, &caller).await;
    let halt = engine.set_trading(&caller, TradingMode::Halted, SwitchReason::default());
    halt.await.unwrap();
    let sent = world.venue.sent.lock().unwrap().len();
    engine.kill().await;
    let engine = world.engine().await;
    assert_eq!(engine.trading().mode, TradingMode::Halted);
    time_passes(Duration::from_mins(1)).await;
    assert_eq!(world.venue.sent.lock().unwrap().len(), sent);
    let lift = engine.set_trading(&caller, TradingMode::Active, SwitchReason::default());
    lift.await.unwrap();
    let index = engine.at_rest(&caller, id).await.index;
    assert_eq!(index.holdings.len(), 20);
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

#[tokio::test(start_paused = true)]
async fn while_halted_a_rebalance_that_is_due_is_skipped_and_by_hand_refused() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    engine.push("130", "100").await;
    let halt = engine.set_trading(&caller, TradingMode::Halted, SwitchReason::default());
    halt.await.unwrap();
    let run = engine.cycle().await;
    assert_eq!(
        (run.summary.skipped, run.summary.rebalances_started),
        (1, 0)
    );
    let by_hand = engine.rebalance(&caller, id, false, true).await;
    assert_eq!(
        by_hand,
        Err(EngineError::Rebalance(RebalanceRefusal::Halted))
    );
    let lift = engine.set_trading(&caller, TradingMode::Active, SwitchReason::default());
    lift.await.unwrap();
    assert_eq!(engine.cycle().await.summary.rebalances_started, 1);
}

#[tokio::test(start_paused = true)]
async fn while_reducing_only_sells_are_planned_and_sent() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    engine.push("130", "100").await;
    let reduce = engine.set_trading(&caller, TradingMode::Reducing, SwitchReason::default());
    reduce.await.unwrap();
    engine.cycle().await;
    let index = engine.at_rest(&caller, id).await.index;
    assert!(index.cash.is_positive(), "what was sold stays cash");
    let record = last(&engine, &caller, id).await;
    assert_eq!(record.status, RebalanceStatus::Completed);
    assert_eq!(record.trades.len(), 1);
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_that_is_called_off_closes_its_open_order_and_keeps_the_part_that_was_filled() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    world.venue.script.lock().unwrap().push(Fault::Open);
    engine.push("130", "100").await;
    engine.cycle().await;
    let rebalance_id = running(&engine, &caller, id).await;
    engine.until(&caller, id, has_an_open_order).await;
    let cancel = engine.cancel_rebalance(&caller, id, rebalance_id, reason("enough"));
    cancel.await.unwrap();
    engine.at_rest(&caller, id).await;
    let record = last(&engine, &caller, id).await;
    assert_eq!(record.status, RebalanceStatus::Cancelled);
    assert_eq!(record.trades.len(), 1);
    assert!(record.trades[0].quantity < record.trades[0].ordered);
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_stays_open_too_long_is_closed_and_the_rest_is_planned_anew() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    world.venue.script.lock().unwrap().push(Fault::Open);
    engine.push("130", "100").await;
    let began = tokio::time::Instant::now();
    engine.cycle().await;
    engine.at_rest(&caller, id).await;
    assert!(began.elapsed() >= world.settings.order_lifetime);
    let record = last(&engine, &caller, id).await;
    assert_eq!(record.status, RebalanceStatus::Completed);
    let report = engine.drift(&caller, id).await.unwrap().report;
    assert!(report.drift < "0.000001".parse().unwrap(), "{report:?}");
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

/// A rebalance whose first order nobody knows the fate of.
async fn stuck(world: &World, engine: &Engine, caller: &Caller) -> (IndexId, RebalanceId) {
    let id = engine.funded(caller, Method::Drift).await;
    world.venue.script.lock().unwrap().push(Fault::Silence);
    engine.push("130", "100").await;
    engine.cycle().await;
    let is_stuck = |index: &Index| {
        let rebalance = index.rebalance.as_ref();
        rebalance.is_some_and(|r| r.phase == Phase::Stuck)
    };
    let view = engine.until(caller, id, is_stuck).await;
    assert_eq!(engine.status().rebalances_stuck, 1);
    (id, view.index.rebalance.unwrap().rebalance_id)
}

#[tokio::test(start_paused = true)]
async fn a_stuck_rebalance_goes_on_when_an_operator_says_what_became_of_its_order() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let (id, rebalance_id) = stuck(&world, &engine, &caller).await;
    let unfilled = OrderOutcome::Refused(reason("the venue's own books do not have it"));
    let other = engine.resolve_rebalance(&caller, id, rebalance_id, 7, unfilled.clone());
    assert!(other.await.is_err(), "another step");
    set_silent(&world, false);
    let resolve = engine.resolve_rebalance(&caller, id, rebalance_id, 1, unfilled.clone());
    resolve.await.unwrap();
    engine.at_rest(&caller, id).await;
    let record = last(&engine, &caller, id).await;
    assert_eq!(record.status, RebalanceStatus::Completed);
    assert_eq!(engine.status().rebalances_stuck, 0);
    agrees_with_the_venue(&world, &engine, &caller, id).await;
    let late = engine.resolve_rebalance(&caller, id, rebalance_id, 1, unfilled);
    let refusal = RebalanceRefusal::NotThisOne(rebalance_id);
    assert_eq!(late.await, Err(EngineError::Rebalance(refusal)));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_rebalance_that_is_called_off_ends_when_the_venue_speaks_again() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let (id, rebalance_id) = stuck(&world, &engine, &caller).await;
    let cancel = engine.cancel_rebalance(&caller, id, rebalance_id, reason("enough"));
    cancel.await.unwrap();
    time_passes(Duration::from_mins(1)).await;
    let index = engine.index(&caller, id).await.unwrap().index;
    assert!(index.rebalance.is_some(), "nobody knows yet");
    set_silent(&world, false);
    engine.cycle().await;
    engine.at_rest(&caller, id).await;
    let record = last(&engine, &caller, id).await;
    assert_eq!(record.status, RebalanceStatus::Cancelled);
    assert_eq!(record.trades.len(), 0);
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

/// An order that an operator has found unfilled is not sent by a saga that still asks for it.
#[tokio::test(start_paused = true)]
async fn an_order_that_was_resolved_as_not_filled_is_never_sent_afterwards() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let (id, rebalance_id) = stuck(&world, &engine, &caller).await;
    // A check has the saga ask again: it is in the middle of asking when somebody resolves.
    engine.cycle().await;
    time_passes(Duration::from_secs(1)).await;
    let unfilled = OrderOutcome::Refused(reason("the venue's own books do not have it"));
    let resolve = engine.resolve_rebalance(&caller, id, rebalance_id, 1, unfilled);
    resolve.await.unwrap();
    set_silent(&world, false);
    engine.at_rest(&caller, id).await;
    // Whatever the saga had still in its mailbox is done after this.
    time_passes(Duration::from_mins(1)).await;
    let first = evenkeel_domain::rebalance::client_order_id(rebalance_id, 1);
    let sent = world.venue.sent.lock().unwrap().clone();
    let times = sent.iter().filter(|sent| **sent == first).count();
    assert_eq!(
        times, 1,
        "it was sent again after it was resolved: {sent:?}"
    );
    agrees_with_the_venue(&world, &engine, &caller, id).await;
}

/// A venue that takes an order and then says nothing any more: stuck, not asked for ever unseen.
#[tokio::test(start_paused = true)]
async fn a_venue_that_falls_silent_with_an_order_open_leaves_the_rebalance_stuck() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let id = engine.funded(&caller, Method::Drift).await;
    world.venue.script.lock().unwrap().push(Fault::Open);
    engine.push("130", "100").await;
    engine.cycle().await;
    engine.until(&caller, id, has_an_open_order).await;
    set_silent(&world, true);
    time_passes(Duration::from_mins(10)).await;
    let index = engine.index(&caller, id).await.unwrap().index;
    let phase = index.rebalance.map(|rebalance| rebalance.phase);
    assert_eq!(phase, Some(Phase::Stuck));
}

/// Somebody who watches the figure must see a stuck rebalance also after a restart.
#[tokio::test(start_paused = true)]
async fn a_stuck_rebalance_is_counted_after_a_restart_too_and_once() {
    let world = World::new();
    let (engine, caller) = (world.engine().await, owner(1));
    let (id, _) = stuck(&world, &engine, &caller).await;
    engine.kill().await;
    let engine = world.engine().await;
    engine.index(&caller, id).await.unwrap();
    assert_eq!(engine.status().rebalances_stuck, 1, "after the restart");
    set_silent(&world, false);
    engine.cycle().await;
    engine.at_rest(&caller, id).await;
    assert_eq!(engine.status().rebalances_stuck, 0);
}
