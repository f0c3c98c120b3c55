//! Venues: where orders are carried out.

pub mod paper;

pub use paper::{Fault, Faults, PaperError, PaperSettings, PaperVenue};
