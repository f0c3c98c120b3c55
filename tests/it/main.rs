//! End to end: a real `evenkeel` process, real sockets, real crashes.
//!
//! ```text
//! home ──► process ──► api client        a data directory, the program on it, requests to it
//!                 └──► inbox             what its webhooks bring, signatures checked by others
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

mod api;
mod authorisation;
mod channels;
mod contract;
mod deliveries;
mod demo;
mod description;
mod engine;
mod erasure;
mod event_types;
mod explain;
mod flow;
mod home;
mod inbox;
mod jobs;
mod kills;
mod listen;
mod log_rescue;
mod log_tools;
mod mail;
mod methods;
mod old_stores;
mod oracle;
mod performance;
mod portfolio;
mod process;
mod protocol;
mod python;
mod rebalances;
mod refusals;
mod start;
mod stops;
mod tidy;
mod verifiers;
mod webhooks;
