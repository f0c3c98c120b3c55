//! One cycle of checks: the prices it works on, and how many indexes have not answered yet.
//!
//! Each check carries a ticket. However it ends (answered, actor gone, message dropped) the
//! ticket is counted, so a cycle always ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_domain::job::CycleSummary;
use evenkeel_domain::market::PriceSnapshot;
use evenkeel_domain::values::{EventKey, RunId, Timestamp};
use tokio::sync::watch;

/// How far a cycle has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Checks are out.
    Checking,
    /// All checks have ended.
    Checked,
    /// The rebalances that they started have ended too.
    Settled,
}

/// A cycle.
#[derive(Debug)]
pub(crate) struct Cycle {
    pub(crate) run_id: RunId,
    pub(crate) prices: Arc<PriceSnapshot>,
    pub(crate) now: Timestamp,
    checks_open: AtomicU32,
    rebalances_open: AtomicU32,
    checked: AtomicU32,
    drifted: AtomicU32,
    exceeded: AtomicU32,
    started: AtomicU32,
    skipped: AtomicU32,
    failed: AtomicU32,
    phase: watch::Sender<Phase>,
}

impl Cycle {
    pub(crate) fn new(run_id: RunId, prices: Arc<PriceSnapshot>, now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            run_id,
            prices,
            now,
            // The one more is the opener's: the cycle cannot end while tickets are given out.
            checks_open: AtomicU32::new(1),
            rebalances_open: AtomicU32::new(0),
            checked: AtomicU32::new(0),
            drifted: AtomicU32::new(0),
            exceeded: AtomicU32::new(0),
            started: AtomicU32::new(0),
            skipped: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            phase: watch::Sender::new(Phase::Checking),
        })
    }

    pub(crate) fn correlation(&self) -> EventKey {
        EventKey::from_u128(self.run_id.as_u128())
    }

    pub(crate) fn ticket(self: &Arc<Self>) -> CheckTicket {
        self.checks_open.fetch_add(1, Ordering::Relaxed);
        CheckTicket {
            cycle: Arc::clone(self),
            answered: false,
        }
    }

    /// An index that has no actor to ask now.
    pub(crate) fn unavailable(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// All tickets are given out.
    pub(crate) fn all_sent(&self) {
        self.close_check();
    }

    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn summary(&self) -> CycleSummary {
        CycleSummary {
            checked: self.checked.load(Ordering::Relaxed),
            drifted: self.drifted.load(Ordering::Relaxed),
            exceeded: self.exceeded.load(Ordering::Relaxed),
            rebalances_started: self.started.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn close_check(&self) {
        if self.checks_open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.phase.send_replace(Phase::Checked);
            self.settle();
        }
    }

    fn settle(&self) {
        let checks_ended = self.checks_open.load(Ordering::Acquire) == 0;
        if checks_ended && self.rebalances_open.load(Ordering::Acquire) == 0 {
            self.phase.send_replace(Phase::Settled);
        }
    }
}

/// What a check found, for the summary.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent counters of one check, not a state"
)]
pub(crate) struct CheckNote {
    pub(crate) watched: bool,
    pub(crate) drifted: bool,
    pub(crate) exceeded: bool,
    pub(crate) skipped: bool,
}

/// One index's place in a cycle.
#[derive(Debug)]
pub(crate) struct CheckTicket {
    pub(crate) cycle: Arc<Cycle>,
    answered: bool,
}

impl CheckTicket {
    /// The check has ended.
    pub(crate) fn answer(mut self, note: CheckNote) {
        self.answered = true;
        let count = |counter: &AtomicU32, yes: bool| {
            if yes {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        count(&self.cycle.checked, note.watched);
        count(&self.cycle.drifted, note.drifted);
        count(&self.cycle.exceeded, note.exceeded);
        count(&self.cycle.skipped, note.skipped);
    }

    /// The check led to a rebalance, which the cycle may wait for.
    pub(crate) fn rebalance(&self) -> RebalanceTicket {
        self.cycle.started.fetch_add(1, Ordering::Relaxed);
        self.cycle.rebalances_open.fetch_add(1, Ordering::AcqRel);
        RebalanceTicket {
            cycle: Arc::clone(&self.cycle),
        }
    }
}

impl Drop for CheckTicket {
    fn drop(&mut self) {
        if !self.answered {
            self.cycle.unavailable();
        }
        self.cycle.close_check();
    }
}

/// A rebalance that a cycle started; dropped when it has ended.
#[derive(Debug)]
pub(crate) struct RebalanceTicket {
    cycle: Arc<Cycle>,
}

impl Drop for RebalanceTicket {
    fn drop(&mut self) {
        self.cycle.rebalances_open.fetch_sub(1, Ordering::AcqRel);
        self.cycle.settle();
    }
}
