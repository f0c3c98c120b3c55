//! Webhooks on the wire: Standard Webhooks 1.0.0, and mails.
//!
//! ```text
//! actor ─► outgoing ─► transport ─► policy (on the address dialled) ─► POST, signed ─► receiver
//!              │           └─ secrets (derived, never stored) ─► signature
//!              └─► mail ─► relay
//! ```

pub mod mail;
pub mod names;
pub mod outgoing;
pub mod policy;
pub mod receiver;
pub mod secrets;
pub mod signature;
pub mod transport;
