//! Every scenario, struck in every way at every boundary that it crosses. The boundaries are
//! counted in a run without a strike, and the scenarios together go through every transition
//! that the table of phases allows: both are checked, so that neither can be forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::index::{Index, IndexEvent, Method};
use evenkeel_domain::rebalance::phase::{self, Phase, Step};
use evenkeel_domain::rebalance::{Reason, RebalanceEvent};
use evenkeel_domain::values::{IndexId, Percent, RebalanceId, Span};

use super::probe::{Boundary, Strike};
use super::stage::Stage;
use super::truth::{Manner, Reuse, Weather};
use crate::Engine;
use crate::engine::Caller;
use crate::testing::{Drive, halves, owner, time_passes};

/// What somebody does on the way, once.
#[derive(Clone, Copy)]
struct Act {
    when: fn(&Index) -> bool,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Cancel,
    Approve,
    /// Nothing, until the time for an approval has passed.
    Wait,
}

/// A rebalance of one sell and one buy, and what it meets.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    /// How the orders are filled, by step; those beyond are filled at once.
    manners: &'static [Manner],
    act: Option<Act>,
    /// The plan waits for approval.
    approval: bool,
}

fn in_phase(index: &Index, phase: Phase) -> bool {
    index.rebalance.as_ref().is_some_and(|r| r.phase == phase)
}

const fn plain(name: &'static str, manners: &'static [Manner]) -> Scenario {
    Scenario {
        name,
        manners,
        act: None,
        approval: false,
    }
}

const fn called_off(
    name: &'static str,
    manners: &'static [Manner],
    when: fn(&Index) -> bool,
) -> Scenario {
    Scenario {
        name,
        manners,
        act: Some(Act {
            when,
            what: What::Cancel,
        }),
        approval: false,
    }
}

const fn planned(name: &'static str, what: What) -> Scenario {
    Scenario {
        name,
        manners: &[],
        act: Some(Act {
            when: |index| in_phase(index, Phase::Planned),
            what,
        }),
        approval: true,
    }
}

use Manner::{Fill, OpenThenFill, OpenThenHalf, OpenThenNothing, Reject, Silent, SilentThenOpen};

/// Longer than any errand asks.
const FOR_LONG: u32 = 1_000;

static SCENARIOS: [Scenario; 20] = [
    planned("approved", What::Approve),
    planned("called off before it was approved", What::Cancel),
    planned("never approved", What::Wait),
    plain("all is filled at once", &[]),
    plain(
        "both stay open for a while",
        &[OpenThenFill(3), OpenThenFill(3)],
    ),
    plain(
        "both are filled in part",
        &[OpenThenHalf(3), OpenThenHalf(3)],
    ),
    plain("the sell expires", &[OpenThenNothing(2)]),
    plain("the buy is refused", &[Fill, Reject]),
    plain("everything is refused", &[Reject; 8]),
    plain("the sell stays open too long", &[OpenThenFill(FOR_LONG)]),
    plain("nobody knows about the sell for a while", &[Silent(12)]),
    plain(
        "nobody knows about the buy for a while",
        &[Fill, Silent(12)],
    ),
    plain("the lost sell turns out to be open", &[SilentThenOpen(12)]),
    plain(
        "the lost buy turns out to be open",
        &[Fill, SilentThenOpen(12)],
    ),
    called_off(
        "called off while selling",
        &[OpenThenHalf(FOR_LONG)],
        |index| in_phase(index, Phase::Selling),
    ),
    called_off(
        "called off while buying",
        &[Fill, OpenThenHalf(FOR_LONG)],
        |index| in_phase(index, Phase::Buying),
    ),
    called_off("called off while lost", &[Silent(20)], |index| {
        in_phase(index, Phase::Stuck)
    }),
    called_off(
        "called off while a lost buy",
        &[Fill, Silent(20)],
        |index| in_phase(index, Phase::Stuck),
    ),
    called_off("called off at the end", &[], |index| {
        in_phase(index, Phase::Reconciling)
    }),
    called_off("called off after it failed", &[Reject], |index| {
        in_phase(index, Phase::Reconciling)
    }),
];

/// The manners of a scenario from when it begins; every call takes time, so that others see what
/// is under way.
struct Script {
    scenario: Scenario,
    begun: AtomicBool,
}

impl Weather for Script {
    fn manner(&self, client_order_id: &str) -> Manner {
        let step = client_order_id.rsplit_once('-');
        let step: usize = step.and_then(|(_, step)| step.parse().ok()).unwrap();
        let manners = self.scenario.manners;
        if self.begun.load(Ordering::SeqCst) {
            manners.get(step - 1).copied().unwrap_or(Fill)
        } else {
            Fill
        }
    }

    fn strike(&self, _: Boundary, _: &str, _: u32) -> Option<Strike> {
        None
    }

    fn latency(&self, _: Boundary, _: &str, _: u32) -> (Duration, Duration) {
        (Duration::from_millis(5), Duration::from_millis(5))
    }
}

fn ends(event: &Event) -> bool {
    matches!(
        event,
        Event::Rebalance(
            RebalanceEvent::Completed(_) | RebalanceEvent::Failed(_) | RebalanceEvent::Cancelled(_)
        )
    )
}

/// What somebody does, once.
async fn act(stage: &Stage, engine: &Engine, caller: &Caller, index: &Index, act: Act) -> bool {
    let Some(id) = index.rebalance.as_ref().map(|r| r.rebalance_id) else {
        return false;
    };
    if !(act.when)(index) {
        return false;
    }
    let done = match act.what {
        What::Cancel => cancel(engine, caller, index.index_id, id).await,
        What::Approve => {
            let approved = engine.approve_rebalance(caller, index.index_id, id);
            approved.await.map(|_| ())
        }
        What::Wait => {
            // Once more for the next plan, if a strike has it found only after that has begun.
            stage.world.clock.advance(Span::from_hours(2));
            return false;
        }
    };
    done.is_ok()
}

async fn cancel(
    engine: &Engine,
    caller: &Caller,
    id: IndexId,
    rebalance_id: RebalanceId,
) -> Result<(), crate::EngineError> {
    let reason = Reason::optional("enough").unwrap();
    let cancelled = engine.cancel_rebalance(caller, id, rebalance_id, reason);
    cancelled.await.map(|_| ())
}

/// Cycles until the rebalance that the scenario is about has ended.
async fn to_the_end(
    stage: &Stage,
    engine: &Engine,
    caller: &Caller,
    id: IndexId,
    todo: &mut Option<Act>,
) {
    let mut positions = engine.watch();
    loop {
        let ended = stage.events(id).await.iter().filter(|e| ends(e)).count();
        if let Ok(view) = engine.index(caller, id).await {
            if ended >= 2 && view.index.rebalance.is_none() {
                return;
            }
            if let Some(wanted) = *todo
                && act(stage, engine, caller, &view.index, wanted).await
            {
                *todo = None;
            }
        }
        tokio::select! {
            biased;
            changed = positions.changed() => changed.unwrap(),
            () = time_passes(Duration::from_secs(5)) => {
                // An engine that is being restarted refuses; the next round asks again.
                let _ = engine.run_job(caller, "drift-monitor", false).await;
            }
        }
    }
}

/// Lives through a scenario with a strike; gives the boundaries crossed and the transitions.
async fn live(
    scenario: Scenario,
    strike: Option<(usize, Strike)>,
    reuse: Reuse,
) -> (Vec<Boundary>, Vec<(Phase, Step)>) {
    let script = Arc::new(Script {
        scenario,
        begun: AtomicBool::new(false),
    });
    let stage = Stage::new(script.clone(), reuse, Percent::ZERO);
    let caller = owner(1);
    let mut engine = stage.engine().await;
    let id = engine.funded(&caller, Method::Drift).await;
    if scenario.approval {
        let mut definition = halves(Method::Drift);
        definition.rebalancing.approval = Some(Span::from_hours(1));
        let update = engine.update_index(&caller, id, definition, None);
        update.await.unwrap();
    }
    engine.push("130", "100").await;
    script.begun.store(true, Ordering::SeqCst);
    stage.probe.arm(strike);
    let mut crashes = stage.probe.crashes();
    let mut todo = scenario.act;
    let begin = engine.run_job(&caller, "drift-monitor", false);
    begin.await.unwrap();
    loop {
        let ended = tokio::select! {
            biased;
            () = to_the_end(&stage, &engine, &caller, id, &mut todo) => true,
            died = crashes.changed() => {
                died.unwrap();
                false
            }
        };
        if ended {
            break;
        }
        engine.kill().await;
        engine = stage.engine().await;
    }
    stage.agrees(&engine, &caller, id).await;
    let corrected = |event: &IndexEvent| matches!(event, IndexEvent::Reconciled(_));
    assert!(
        !stage.has(id, corrected).await,
        "nothing had to be corrected"
    );
    engine.stop().await;
    (stage.probe.seen(), stage.transitions(id).await)
}

#[tokio::test(start_paused = true)]
async fn whatever_strikes_wherever_the_books_agree_with_the_venue_and_nothing_is_sent_twice() {
    let (mut runs, mut seen) = (0, BTreeSet::new());
    for scenario in SCENARIOS {
        for reuse in [Reuse::Never, Reuse::WhenClosed] {
            let (boundaries, transitions) = live(scenario, None, reuse).await;
            let words = transitions.iter().map(|step| format!("{step:?}"));
            seen.extend(words);
            for (at, boundary) in boundaries.into_iter().enumerate() {
                for strike in Strike::ALL.into_iter().filter(|s| s.fits(boundary)) {
                    let what = format!("{}, {strike:?} at {at} {boundary:?}", scenario.name);
                    // Shown when it fails: which one it was.
                    println!("{what} {reuse:?}");
                    let lived = live(scenario, Some((at, strike)), reuse);
                    let lived = tokio::time::timeout(Duration::from_hours(24), lived);
                    assert!(lived.await.is_ok(), "{what} {reuse:?}: it never ends");
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 1_000, "{runs} runs");
    for phase in Phase::ALL
        .into_iter()
        .filter(|phase| *phase != Phase::Planned)
    {
        for step in Step::ALL {
            let legal = phase::next(phase, step).is_ok();
            let word = format!("{:?}", (phase, step));
            assert_eq!(seen.contains(&word), legal, "{word}");
        }
    }
}
