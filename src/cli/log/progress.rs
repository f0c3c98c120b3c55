//! One line on a terminal that tells how far long work has come.

use std::io::{self, IsTerminal as _, Write as _};

/// The line; silent where standard error is no terminal.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    shown: Option<u64>,
    is_terminal: bool,
}

/// Characters of the bar.
const BAR_LEN: u64 = 40;

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        Self {
            what,
            total,
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Written anew when a percent has been added.
    pub(super) fn show(&mut self, done: u64) {
        if !self.is_terminal || self.total == 0 {
            return;
        }
        let percent = (done.min(self.total) * 100) / self.total;
        if self.shown == Some(percent) {
            return;
        }
        self.shown = Some(percent);
        let line = line(self.what, percent, done, self.total);
        // A line that cannot be shown is only a line.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// The line goes when the work is done: what comes next is the result.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = io::stderr().write_all(b"\r\x1b[2K");
        }
    }
}

fn line(what: &str, percent: u64, done: u64, total: u64) -> String {
    let full = percent * BAR_LEN / 100;
    let bar: String = (0..BAR_LEN)
        .map(|at| if at < full { '#' } else { '.' })
        .collect();
    format!("\r{what} [{bar}] {percent:>3} %  {done} of {total} events ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_from_the_left() {
        assert!(line("verify", 0, 0, 8).contains(&format!("[{}]", ".".repeat(40))));
        assert!(line("verify", 50, 4, 8).contains(&format!(
            "[{}{}]",
            "#".repeat(20),
            ".".repeat(20)
        )));
        assert!(line("verify", 100, 8, 8).contains(&format!("[{}] 100 %", "#".repeat(40))));
    }
}
