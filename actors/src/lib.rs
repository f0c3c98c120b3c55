//! What lives: actors around the pure rules, and the ports through which they touch the world.
//!
//! ```text
//! Engine
//! ├─ Scheduler            cron; starts a cycle
//! ├─ Market               one fetch per cycle, one shared PriceSnapshot
//! ├─ Indexes              supervisor: spawns, restarts with backoff, rehydrates
//! │   └─ Index idx_…      decide, append, apply; one per index
//! │       └─ Saga reb_…   carries orders out, reports what became of them
//! ├─ Dispatcher           follows the log, wakes matching subscriptions
//! └─ Webhooks             supervisor
//!     └─ Webhook whk_…    own place in the log, retries, failure count
//! ```

mod access;
pub mod books;
pub mod catalogue;
mod cycle;
mod directory;
mod dispatcher;
pub mod engine;
mod ids;
mod index;
mod indexes;
pub mod journal;
mod lanes;
mod market;
mod personal;
pub mod ports;
mod reconciliation;
mod recovery;
mod root;
mod saga;
mod scheduler;
mod shell;
pub mod streams;
mod switch;
mod tally;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trading;
mod webhook;
mod webhooks;
mod work;

pub use engine::{Engine, EngineError};
pub use ids::uuid_v7;
pub use personal::MemoryKeys;
