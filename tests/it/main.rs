//! End to end.

mod tidy;
