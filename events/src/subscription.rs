//! Following the log: everything after a position, then what comes, in order, without a gap.
//!
//! ```text
//! next_page ─► behind the head? ─ yes ─► read a page ─► the caller
//!                  │ no
//!                  └─► wait until the watch moves, or the log is closed
//! ```
//! The reader pulls: a slow one is merely behind, and costs nobody memory. There is no switch
//! from catching up to live, hence no gap at it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::envelope::Recorded;
use crate::log::{EventLog, Position, ReadError};

/// A place in the log that moves forward as pages are taken.
pub struct Subscription {
    log: Arc<dyn EventLog>,
    after: Position,
    watch: watch::Receiver<Position>,
}

impl Subscription {
    /// Follows the log from the event after `after`; 0 is from the beginning.
    pub fn new(log: Arc<dyn EventLog>, after: Position) -> Self {
        let watch = log.watch();
        Self { log, after, watch }
    }

    /// The position of the last event that was handed out.
    pub fn position(&self) -> Position {
        self.after
    }

    /// The next 1 to `max` events, waiting for them if need be; empty when the log was closed.
    ///
    /// Cancel-safe: the place moves only when a page is handed out.
    pub async fn next_page(&mut self, max: usize) -> Result<Vec<Recorded>, ReadError> {
        loop {
            // Looked at before reading: a close during the read shows as an error below.
            let closed = self.watch.has_changed().is_err();
            if self.after < *self.watch.borrow_and_update() {
                return match self.log.read(self.after, max.max(1)).await {
                    Ok(page) => Ok(self.advance(page)),
                    Err(ReadError::Store(_)) if closed || self.watch.has_changed().is_err() => {
                        Ok(Vec::new())
                    }
                    Err(error) => Err(error),
                };
            }
            if self.watch.changed().await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    fn advance(&mut self, page: Vec<Recorded>) -> Vec<Recorded> {
        if let Some(last) = page.last() {
            self.after = last.position;
        }
        page
    }
}
