//! evenkeel keeps index portfolios on target. This crate is the binary and the library for embedding.

pub mod admin;
pub mod audit;
mod cause;
pub mod cli;
pub mod config;
pub mod demo;
pub mod engine;
pub mod feeds;
mod hex;
pub mod http;
pub mod memory;
mod open_files;
pub mod personal;
mod sealing;
pub mod time;
mod tls;
pub mod venues;
pub mod webhooks;

pub use engine::{Builder, Engine, OpenError};
pub use evenkeel_actors as actors;
pub use evenkeel_domain as domain;
pub use evenkeel_events as events;
pub use evenkeel_snapshots as snapshots;
