//! The rules of evenkeel. Pure: no clock, no random source, no I/O; time and ids are parameters.
//!
//! ```text
//! Command ─► decide(&state, command) ─► Vec<Event> | refusal        apply(&mut state, &event)
//! ```
//!
//! One aggregate, one module: command, event, error, state, decide, apply, tests.
//! [`check`] says what a drift check finds, [`plan`] which trades lead back to target.

pub mod access;
pub mod check;
pub mod drift;
pub mod event;
pub mod index;
pub mod job;
pub mod market;
pub mod performance;
pub mod plan;
pub mod rebalance;
pub mod request;
pub mod schedule;
#[cfg(test)]
mod testing;
pub mod trading;
pub mod values;
pub mod webhook;

pub use event::Event;
