//! How an index has done, from the log: its stream and the market's, in the order of positions.

use evenkeel_domain::performance::{Point, Track};
use evenkeel_domain::values::IndexId;
use evenkeel_events::{Direction, Recorded, StreamId, Version};

use super::audit::{read_error, replay_error};
use super::{Caller, Engine, EngineError};
use crate::journal;
use crate::streams;

/// Events read at once of each stream.
const PAGE: usize = 512;

/// Price events that are looked at: a price push a minute for two months, or a day for centuries.
/// What an index did before the first of them is taken in at its end, without prices.
const PRICE_EVENTS_MAX: u64 = 100_000;

/// A stream that is read page by page.
struct Feed {
    stream: StreamId,
    after: Version,
    page: std::vec::IntoIter<Recorded>,
    has_ended: bool,
    next: Option<Recorded>,
}

impl Feed {
    async fn open(engine: &Engine, stream: StreamId, after: Version) -> Result<Self, EngineError> {
        let mut feed = Self {
            stream,
            after,
            page: Vec::new().into_iter(),
            has_ended: false,
            next: None,
        };
        feed.advance(engine).await?;
        Ok(feed)
    }

    /// Gives the next event and reads the one after it.
    async fn advance(&mut self, engine: &Engine) -> Result<Option<Recorded>, EngineError> {
        let given = self.next.take();
        self.next = self.page.next();
        if self.next.is_none() && !self.has_ended {
            let log = &engine.shell().journal.log;
            let page = log.read_stream(&self.stream, self.after, PAGE, Direction::Forward);
            let page = page.await.map_err(read_error)?;
            self.has_ended = page.len() < PAGE;
            self.after = page.last().map_or(self.after, |last| last.version);
            self.page = page.into_iter();
            self.next = self.page.next();
        }
        Ok(given)
    }

    fn position(&self) -> u64 {
        self.next.as_ref().map_or(u64::MAX, |next| next.position)
    }
}

impl Engine {
    /// The last of each day of an index, from its first funds on, or from the first price that is
    /// looked at.
    pub async fn performance(
        &self,
        caller: &Caller,
        id: IndexId,
    ) -> Result<Vec<Point>, EngineError> {
        // It reads much: a place is held as for a command.
        let _place = self.admit()?;
        self.allowed(caller, id)?;
        let last_price = self.shell().journal.log.version(&streams::market());
        let prices_after = last_price.saturating_sub(PRICE_EVENTS_MAX);
        let mut own = Feed::open(self, streams::index(id), 0).await?;
        let mut market = Feed::open(self, streams::market(), prices_after).await?;
        let mut track = Track::default();
        loop {
            let feed = if own.position() < market.position() {
                &mut own
            } else {
                &mut market
            };
            let Some(recorded) = feed.advance(self).await? else {
                return Ok(track.points());
            };
            let event = journal::decode(&recorded).map_err(replay_error)?;
            track.adopt(&event, journal::recorded_at(&recorded));
        }
    }
}
