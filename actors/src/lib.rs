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

pub mod engine;
pub mod ports;

pub use engine::{Engine, EngineError};
