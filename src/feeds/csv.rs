//! The CSV feed: a table of prices, replayed row by row.
//!
//! ```text
//! Date,AAPL,MSFT          a day means its close in New York's winter, 21:00 UTC;
//! 2008-01-02,5.914,35.22  a time may stand instead (RFC 3339); an empty cell is no price
//! ```

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use evenkeel_actors::ports::{Clock, FeedError, Fetched, PriceFeed};
use evenkeel_domain::market::Source;
use evenkeel_domain::values::{Asset, Price, Timestamp};
use flate2::read::GzDecoder;

/// Largest table in bytes, unpacked: a thousand assets over thirty years stay below it.
const TABLE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What a gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// When a trading day closes.
const CLOSE: &str = "T21:00:00Z";

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file cannot be read.
    #[error("the price file {name} cannot be read: {source}")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("the price file {0} has more than {TABLE_MAX_BYTES} bytes unpacked")]
    TooLarge(String),
    /// A line or a cell is not what it should be.
    #[error("{name}, line {line}: {problem}")]
    Line {
        /// Which file.
        name: String,
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// There is no row.
    #[error("the price file {0} has no row of prices")]
    Empty(String),
}

/// How the replay moves from row to row.
pub enum Pacing {
    /// Its owner moves it, by [`CsvFeed::advance`].
    Manual,
    /// So many rows a minute of a clock's time, from the first fetch on.
    Rows {
        /// Rows per minute.
        per_minute: u32,
        /// The clock.
        clock: Arc<dyn Clock>,
    },
}

/// A table of prices and a place in it.
pub struct CsvFeed {
    assets: Vec<Asset>,
    rows: Vec<Row>,
    at: AtomicUsize,
    pacing: Pacing,
    began: std::sync::OnceLock<Timestamp>,
}

struct Row {
    time: Timestamp,
    prices: Box<[Option<Price>]>,
}

impl CsvFeed {
    /// A table from a file, plain or gzip.
    pub fn open(path: &Path, pacing: Pacing) -> Result<Self, CsvError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| CsvError::Read {
            name: name.clone(),
            source,
        })?;
        Self::from_bytes(&name, &bytes, pacing)
    }

    /// A table from memory, plain or gzip; `name` stands in errors.
    pub fn from_bytes(name: &str, bytes: &[u8], pacing: Pacing) -> Result<Self, CsvError> {
        let table = unpacked(name, bytes)?;
        let mut reader = ::csv::ReaderBuilder::new()
            .trim(::csv::Trim::All)
            .from_reader(&*table);
        let assets = header(name, &mut reader)?;
        let mut rows: Vec<Row> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                at_line(
                    name,
                    error.position().map_or(0, ::csv::Position::line),
                    error.to_string(),
                )
            })?;
            let line = record.position().map_or(0, ::csv::Position::line);
            let row = row(&record).map_err(|problem| at_line(name, line, problem))?;
            if rows.last().is_some_and(|last| last.time >= row.time) {
                return Err(at_line(
                    name,
                    line,
                    format!("{} does not come after the row before it", row.time),
                ));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(CsvError::Empty(name.to_owned()));
        }
        Ok(Self {
            assets,
            rows,
            at: AtomicUsize::new(0),
            pacing,
            began: std::sync::OnceLock::new(),
        })
    }

    /// The assets of the table.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The time of the current row.
    pub fn now_at(&self) -> Timestamp {
        self.rows[self.current()].time
    }

    /// Moves to the next row and gives its time; none at the end.
    pub fn advance(&self) -> Option<Timestamp> {
        let next = self.current() + 1;
        let row = self.rows.get(next)?;
        self.at.store(next, Ordering::Release);
        Some(row.time)
    }

    /// Moves to the first row after a time; at the end it stays on the last one and says false.
    pub fn seek(&self, after: Timestamp) -> bool {
        let found = self.rows.partition_point(|row| row.time <= after);
        self.at
            .store(found.min(self.rows.len() - 1), Ordering::Release);
        found < self.rows.len()
    }

    /// The current row: where the owner put it, or where the clock says, at most the last.
    fn current(&self) -> usize {
        let at = self.at.load(Ordering::Acquire);
        let Pacing::Rows { per_minute, clock } = &self.pacing else {
            return at;
        };
        let now = clock.now();
        let minutes_ms = now.since(*self.began.get_or_init(|| now)).as_millis();
        let passed = minutes_ms.saturating_mul(u64::from(*per_minute)) / 60_000;
        at.saturating_add(usize::try_from(passed).unwrap_or(usize::MAX))
            .min(self.rows.len() - 1)
    }
}

#[async_trait]
impl PriceFeed for CsvFeed {
    /// The current row. With pacing by a clock the prices count as that clock's now: what is
    /// replayed is meant as today's.
    async fn fetch(&self, wanted: &[Asset]) -> Result<Fetched, FeedError> {
        let row = &self.rows[self.current()];
        let at = match &self.pacing {
            Pacing::Manual => row.time,
            Pacing::Rows { clock, .. } => clock.now(),
        };
        let price = |asset: &Asset| {
            let column = self.assets.iter().position(|known| known == asset)?;
            Some((*asset, (*row.prices.get(column)?)?))
        };
        Ok(Fetched {
            at,
            prices: wanted.iter().filter_map(price).collect(),
        })
    }

    fn source(&self) -> Source {
        Source::Csv
    }

    fn knows(&self, asset: Asset) -> bool {
        self.assets.contains(&asset)
    }
}

fn unpacked(name: &str, bytes: &[u8]) -> Result<Vec<u8>, CsvError> {
    let mut table = Vec::new();
    let source: Box<dyn std::io::Read + '_> = if bytes.starts_with(&GZIP_MAGIC) {
        Box::new(GzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let read = source.take(TABLE_MAX_BYTES + 1).read_to_end(&mut table);
    let read = read.map_err(|source| CsvError::Read {
        name: name.to_owned(),
        source,
    })?;
    if u64::try_from(read).is_ok_and(|read| read <= TABLE_MAX_BYTES) {
        Ok(table)
    } else {
        Err(CsvError::TooLarge(name.to_owned()))
    }
}

fn header(name: &str, reader: &mut ::csv::Reader<&[u8]>) -> Result<Vec<Asset>, CsvError> {
    let header = reader
        .headers()
        .map_err(|error| at_line(name, 1, error.to_string()))?;
    let mut assets: Vec<Asset> = Vec::new();
    for symbol in header.iter().skip(1) {
        let asset: Asset = symbol
            .parse()
            .map_err(|error| at_line(name, 1, format!("{error}")))?;
        if assets.contains(&asset) {
            return Err(at_line(name, 1, format!("asset {asset} stands twice")));
        }
        assets.push(asset);
    }
    if assets.is_empty() {
        return Err(at_line(
            name,
            1,
            "a header such as Date,AAPL,MSFT is needed".to_owned(),
        ));
    }
    Ok(assets)
}

fn row(record: &::csv::StringRecord) -> Result<Row, String> {
    let mut cells = record.iter();
    let day = cells.next().unwrap_or_default();
    let time = if day.len() == "YYYY-MM-DD".len() {
        format!("{day}{CLOSE}").parse()
    } else {
        day.parse()
    };
    let time = time.map_err(|_| {
        format!("{day:?} is neither a day (2008-01-02) nor a time (2008-01-02T21:00:00Z)")
    })?;
    let prices: Result<Vec<Option<Price>>, String> = cells
        .enumerate()
        .map(|(column, cell)| price(column, cell))
        .collect();
    Ok(Row {
        time,
        prices: prices?.into(),
    })
}

fn price(column: usize, cell: &str) -> Result<Option<Price>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    // Column 1 is the date.
    Price::parse_non_negative(cell)
        .map(Some)
        .map_err(|error| format!("column {}: {error}", column + 2))
}

fn at_line(name: &str, line: u64, problem: String) -> CsvError {
    CsvError::Line {
        name: name.to_owned(),
        line,
        problem,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;

    fn feed(table: &str) -> Result<CsvFeed, CsvError> {
        CsvFeed::from_bytes("test", table.as_bytes(), Pacing::Manual)
    }

    fn asset(symbol: &str) -> Asset {
        symbol.parse().unwrap()
    }

    #[tokio::test]
    async fn rows_come_one_after_another_and_the_last_one_stays() {
        let feed = feed("Date,A,B\n2020-01-02,1.5,2\n2020-01-03,,3\n").unwrap();
        let wanted = [asset("A"), asset("B"), asset("C")];
        let first = feed.fetch(&wanted).await.unwrap();
        assert_eq!(first.at.to_string(), "2020-01-02T21:00:00Z");
        assert_eq!(first.prices.len(), 2);
        assert_eq!(feed.advance().unwrap().to_string(), "2020-01-03T21:00:00Z");
        assert_eq!(
            feed.fetch(&wanted).await.unwrap().prices,
            [(asset("B"), "3".parse().unwrap())]
        );
        assert_eq!(feed.advance(), None);
        assert_eq!(feed.now_at().to_string(), "2020-01-03T21:00:00Z");
    }

    #[test]
    fn seeking_finds_the_first_row_after_a_time() {
        let feed = feed("Date,A\n2020-01-02,1\n2020-01-03,2\n").unwrap();
        assert!(feed.seek("2020-01-02T21:00:00Z".parse().unwrap()));
        assert_eq!(feed.now_at().to_string(), "2020-01-03T21:00:00Z");
        assert!(!feed.seek("2020-01-03T21:00:00Z".parse().unwrap()));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let table = [
            ("Date,A\nyesterday,1\n", "line 2"),
            ("Date,A\n2020-01-02,x\n", "column 2"),
            ("Date,A\n2020-01-02,-1\n", "negative"),
            ("Date,A\n2020-01-03,1\n2020-01-02,1\n", "line 3"),
            ("Date,A\n2020-01-02,1,2\n", "line 2"),
            ("Date,A,A\n2020-01-02,1,1\n", "twice"),
            ("Date\n2020-01-02\n", "header"),
            ("Date,A\n", "no row"),
        ];
        for (text, said) in table {
            let error = feed(text).err().unwrap().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_bundled_prices_are_whole() {
        let feed = CsvFeed::from_bytes("bundled", crate::demo::PRICES, Pacing::Manual).unwrap();
        assert_eq!((feed.rows(), feed.assets().len()), (8_313, 20));
        assert_eq!(feed.now_at().to_string(), "1990-01-02T21:00:00Z");
        assert!(
            feed.rows
                .iter()
                .all(|row| row.prices.iter().all(Option::is_some))
        );
    }
}
