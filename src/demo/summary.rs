//! The demo's sum, as text or as one JSON object.

use std::fmt;

use serde_json::{Value, json};

/// What a demo did.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Of these, failed.
    pub rebalances_failed: u64,
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
}

impl Summary {
    /// Whether everything is as it should be.
    pub fn is_good(&self) -> bool {
        self.log_verified
            && self.replay_matches
            && self.rebalances_failed == 0
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
                "failed": self.rebalances_failed,
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
            "{} events; log verified: {}; replay matches: {}",
            self.events,
            yes(self.log_verified),
            yes(self.replay_matches)
        )
    }
}
