//! What a rebalance survives. A venue that is a truth of its own, which no crash of an engine
//! touches, and a log that can be struck at each append; afterwards the books must agree with the
//! venue to the last unit, and every client order id must have been acted on once.
//!
//! [`every_boundary`] strikes at each boundary of each scenario, enumerated; [`simulation`] lives
//! through thousands of random histories, each of which its seed brings back.

mod every_boundary;
mod probe;
mod simulation;
mod stage;
mod truth;
