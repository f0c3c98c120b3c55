//! Webhooks on the wire: Standard Webhooks 1.0.0.
//!
//! ```text
//! actor ─► transport ─► policy (on the address dialled) ─► POST, signed ─► receiver
//!              └─ secrets (derived, never stored) ─► signature
//! ```

pub mod names;
pub mod policy;
pub mod receiver;
pub mod secrets;
pub mod signature;
pub mod transport;
