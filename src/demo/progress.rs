//! One line on a terminal that tells how the demo goes.

use std::io::{self, IsTerminal as _, Write as _};

use evenkeel_actors::engine::EngineStatus;
use evenkeel_domain::values::Timestamp;

/// The line; silent where standard error is no terminal.
pub(super) struct Progress {
    cycles: Option<u64>,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(cycles: Option<u64>) -> Self {
        Self {
            cycles,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    pub(super) fn show(&mut self, cycle: u64, day: Timestamp, status: &EngineStatus) {
        if !self.is_terminal {
            return;
        }
        let of = self
            .cycles
            .map_or(String::new(), |cycles| format!("/{cycles}"));
        let day = day.to_string();
        let line = format!(
            "\r{}  day {cycle}{of}  {} indexes  {} rebalances  {} trades  {} webhooks  {} events ",
            &day[..10.min(day.len())],
            status.indexes,
            status.rebalances_completed,
            status.trades_executed,
            status.deliveries_succeeded,
            status.position
        );
        // A line that cannot be shown is only a line.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    pub(super) fn end(&self) {
        if self.is_terminal {
            let _ = io::stderr().write_all(b"\n");
        }
    }
}
