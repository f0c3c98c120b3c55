//! The demo: sample indexes on real prices, one replayed trading day per cycle.
//!
//! ```text
//! prices of the next day ─► clock moves to that day's close ─► the schedule is due ─► cycle
//!                                                                    │ checks, rebalances
//! local receiver ◄── signed webhooks ◄───────────────────────────────┘
//! ```
//!
//! Nothing in it is special to the engine: it is the engine with a replayed clock, the CSV feed,
//! the paper venue, and a receiver on this machine.

mod books;
mod portfolios;
mod progress;
mod stage;
mod summary;
mod venue;

pub use stage::{Demo, DemoError};
pub use summary::Summary;

/// The bundled prices.
pub const PRICES: &[u8] = include_bytes!("../../data/sp500_daily_1990_2022.csv.gz");
