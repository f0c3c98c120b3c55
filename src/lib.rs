//! evenkeel keeps index portfolios on target. This crate is the binary and the library for embedding.

pub mod cli;
pub mod config;
pub mod demo;
pub mod feeds;
pub mod http;
pub mod time;
pub mod venues;
pub mod webhooks;
