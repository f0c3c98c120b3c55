//! Counters since the start, shared by all actors; read for health and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter or gauge.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) indexes_down: Count,
    pub(crate) index_restarts: Count,
    pub(crate) cycles: Count,
    pub(crate) last_cycle_us: Count,
    pub(crate) ticks_coalesced: Count,
    pub(crate) checks: Count,
    pub(crate) rebalances_started: Count,
    pub(crate) rebalances_completed: Count,
    pub(crate) rebalances_failed: Count,
    pub(crate) rebalances_cancelled: Count,
    pub(crate) rebalances_stuck: Count,
    pub(crate) trades_executed: Count,
    pub(crate) trades_failed: Count,
    pub(crate) deliveries_succeeded: Count,
    pub(crate) deliveries_failed: Count,
}
