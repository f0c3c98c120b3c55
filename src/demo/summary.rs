//! The demo's sum, as text or as one JSON object.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

/// What a demo did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four findings that are independent, not a state"
)]
pub struct Summary {
    /// Replayed trading days.
    pub cycles: u64,
    /// Indexes.
    pub indexes: u64,
    /// Checks of single indexes.
    pub checks: u64,
    /// Rebalances.
    pub rebalances_started: u64,
    /// Of these, completed.
    pub rebalances_completed: u64,
    /// Of these, called off.
    pub rebalances_cancelled: u64,
    /// Of these, failed.
    pub rebalances_failed: u64,
    /// Rebalances of any run that have not ended.
    pub rebalances_running: usize,
    /// Trades executed.
    pub trades_executed: u64,
    /// Trades that came to nothing.
    pub trades_failed: u64,
    /// Webhook deliveries that succeeded.
    pub deliveries_succeeded: u64,
    /// Webhook deliveries that failed.
    pub deliveries_failed: u64,
    /// Whether every subscribed event was delivered.
    pub all_delivered: bool,
    /// Messages whose signature the receiver did not accept.
    pub signatures_refused: u64,
    /// Events in the log.
    pub events: u64,
    /// Whether every stored byte is as it was written.
    pub log_verified: bool,
    /// Whether a replay of the log gives every index as it was.
    pub replay_matches: bool,
    /// Faults that calls to the venue have met, by kind; empty when none were asked for.
    pub faults: BTreeMap<&'static str, u64>,
    /// Whether the venue holds what the log says, and acted on each client order id once.
    pub venue_matches: bool,
    /// How often, in all runs, the books had to follow the venue: nobody trades by hand here.
    pub corrections: u64,
}

impl Summary {
    /// Whether everything is as it should be. With faults a rebalance may fail: what it left is
    /// in the books all the same.
    pub fn is_good(&self) -> bool {
        self.log_verified
            && self.replay_matches
            && (self.rebalances_failed == 0 || !self.faults.is_empty())
            && self.rebalances_running == 0
            && self.venue_matches
            && self.corrections == 0
            && self.all_delivered
            && self.signatures_refused == 0
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "cycles": self.cycles,
            "indexes": self.indexes,
            "checks": self.checks,
            "rebalances": {
                "started": self.rebalances_started,
                "completed": self.rebalances_completed,
                "cancelled": self.rebalances_cancelled,
                "failed": self.rebalances_failed,
                "running": self.rebalances_running,
            },
            "trades": { "executed": self.trades_executed, "failed": self.trades_failed },
            "deliveries": {
                "succeeded": self.deliveries_succeeded,
                "failed": self.deliveries_failed,
                "allDelivered": self.all_delivered,
                "signaturesRefused": self.signatures_refused,
            },
            "events": self.events,
            "logVerified": self.log_verified,
            "replayMatches": self.replay_matches,
            "faults": self.faults,
            "venueMatches": self.venue_matches,
            "corrections": self.corrections,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |yes: bool| if yes { "yes" } else { "NO" };
        writeln!(
            f,
            "{} trading days, {} indexes, {} checks",
            self.cycles, self.indexes, self.checks
        )?;
        writeln!(
            f,
            "rebalances: {} started, {} completed, {} failed",
            self.rebalances_started, self.rebalances_completed, self.rebalances_failed
        )?;
        writeln!(
            f,
            "trades: {} executed, {} failed",
            self.trades_executed, self.trades_failed
        )?;
        writeln!(
            f,
            "webhooks: {} delivered, {} failed; every subscribed event delivered: {}",
            self.deliveries_succeeded,
            self.deliveries_failed,
            yes(self.all_delivered)
        )?;
        writeln!(
            f,
            "{} events; log verified: {}; replay matches: {}; venue matches: {}",
            self.events,
            yes(self.log_verified),
            yes(self.replay_matches),
            yes(self.venue_matches && self.corrections == 0)
        )?;
        if self.faults.is_empty() {
            return Ok(());
        }
        let faults = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"));
        writeln!(f, "faults: {}", faults.collect::<Vec<_>>().join(", "))
    }
}
