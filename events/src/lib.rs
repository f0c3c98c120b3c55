//! The append-only log: what happened, in one global order, provable and durable.
//!
//! ```text
//! NewEvent ─► StreamAppend ─► EventLog::append ─► frame (checksummed, chained) ─► flush, fdatasync ─► Appended
//!                                   │
//!                Recorded ◄── read / read_stream / Subscription (catch-up, then live, never a gap)
//! ```
//!
//! This crate knows no event of the domain: a payload is bytes with a type name
//! and a payload version. [`codec`] is the only place that touches bincode.

mod admission;
mod append_ids;
pub mod codec;
mod envelope;
mod frame;
mod index;
mod log;
mod memory;
mod pages;
mod sled_store;
mod subscription;

#[cfg(test)]
mod contract_tests;

pub use admission::APPEND_MAX_BYTES;
pub use append_ids::{APPEND_IDS_KEPT, AppendId, NamedAppend};
pub use envelope::{Causation, Metadata, NewEvent, OwnerKey, Recorded, StreamId, StreamIdError};
pub use frame::{FRAME_FORMAT, FRAME_MAX_BYTES};
pub use log::{
    AppendError, Appended, Direction, EventLog, Expected, Head, Position, ReadError, StreamAppend,
    Version,
};
pub use memory::MemoryLog;
pub use pages::Pages;
pub use sled_store::backup::backup;
pub use sled_store::import::LogImport;
pub use sled_store::salvage::{KeepFrame, Run, SalvageReport, Span, salvage};
pub use sled_store::truncate::{Truncated, truncate};
pub use sled_store::verify::{
    EventCheck, Finding, VerifyError, VerifyReport, verify, verify_heads,
};
pub use sled_store::view::{Frames, LogView, StoredFrame, acknowledged_head};
pub use sled_store::{
    BrokenFrame, OpenError, SledLog, SledOptions, StoreSize, TipPolicy, UpkeepError,
};
pub use subscription::Subscription;
