//! Reading a whole log page by page, one page ahead of whoever folds it.
//!
//! ```text
//! next ─► page n to the caller, who folds it
//!   └──► page n + 1 is read meanwhile, on the thread that the log reads on
//! ```

use std::pin::Pin;
use std::task::Poll;

use crate::envelope::Recorded;
use crate::log::{EventLog, Position, ReadError};

type Page = Result<Vec<Recorded>, ReadError>;

/// A page that was asked for.
enum Ahead<'l> {
    Coming(Pin<Box<dyn Future<Output = Page> + Send + 'l>>),
    Here(Page),
}

/// The pages of a log after a position, up to its end. Holds one page besides the caller's.
pub struct Pages<'l> {
    log: &'l dyn EventLog,
    size: usize,
    ahead: Ahead<'l>,
}

impl<'l> Pages<'l> {
    /// Pages of up to `size` events after a position; 0 is from the beginning.
    pub fn after(log: &'l dyn EventLog, after: Position, size: usize) -> Self {
        Self {
            log,
            size,
            ahead: Ahead::Coming(log.read(after, size)),
        }
    }

    /// The next page; empty at the end of the log.
    pub async fn next(&mut self) -> Page {
        // A log that was read to its end gives nothing more.
        let end = Ahead::Here(Ok(Vec::new()));
        let page = match std::mem::replace(&mut self.ahead, end) {
            Ahead::Coming(page) => page.await?,
            Ahead::Here(page) => page?,
        };
        if let Some(last) = page.last() {
            self.ahead = self.begin(last.position).await;
        }
        Ok(page)
    }

    /// Asks for the page after a position, and lets the asking begin.
    async fn begin(&self, after: Position) -> Ahead<'l> {
        let mut page = self.log.read(after, self.size);
        let begun = std::future::poll_fn(|context| Poll::Ready(page.as_mut().poll(context)));
        match begun.await {
            Poll::Ready(page) => Ahead::Here(page),
            Poll::Pending => Ahead::Coming(page),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;
    use crate::contract_tests::to;
    use crate::{Expected, MemoryLog};

    #[tokio::test]
    async fn every_event_comes_once_and_in_order_whatever_the_pages_size() {
        let log = MemoryLog::new();
        for _ in 0..7 {
            let append = to("a", Expected::Any, &["x", "y", "z"]);
            log.append(vec![append]).await.unwrap();
        }
        for (size, after) in [(1, 0), (4, 0), (21, 0), (100, 5), (5, 21)] {
            let (mut pages, mut positions) = (Pages::after(&log, after, size), Vec::new());
            loop {
                let page = pages.next().await.unwrap();
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= size);
                positions.extend(page.iter().map(|event| event.position));
            }
            assert!(
                positions.into_iter().eq(after + 1..=21),
                "{size} after {after}"
            );
        }
    }
}
