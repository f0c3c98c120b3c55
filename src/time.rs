//! Clocks and randomness: the only place that reads them.
