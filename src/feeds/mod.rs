//! Price feeds that are polled once per cycle. Pushed prices need none.

pub mod csv;
pub mod http;
