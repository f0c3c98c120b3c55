//! The engine as a whole, in memory, on virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation ends the test"
)]

mod crashes;
mod cycles;
mod decisions;
mod deliveries;
mod erasure;
mod faults;
mod reconciling;
mod stored_bytes;
mod tokens;
