//! Venues: where orders are carried out.

pub mod paper;

pub use paper::{
    Call, Fault, Faults, FeeIn, IdRule, PaperError, PaperOrder, PaperSettings, PaperVenue, Slices,
};
