//! Clocks and randomness: the only place that reads them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use evenkeel_actors::ports::{Clock, Entropy};
use evenkeel_domain::values::Timestamp;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the adapter behind the Clock port"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from(chrono::DateTime::<chrono::Utc>::from(
            std::time::SystemTime::now(),
        ))
    }
}

/// The clock of a replay: it shows the time it was moved to, and never goes back.
#[derive(Debug)]
pub struct ReplayClock(AtomicI64);

impl ReplayClock {
    /// A clock that stands at a time.
    pub fn starting_at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_micros()))
    }

    /// Moves the clock forward; an earlier time leaves it where it is.
    pub fn advance_to(&self, time: Timestamp) {
        self.0.fetch_max(time.as_micros(), Ordering::AcqRel);
    }
}

impl Clock for ReplayClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// The operating system's source does not fail once the system has booted. Should it all the
    /// same, the standard library's hasher seeds, which come from the same source, stand in.
    #[expect(
        clippy::disallowed_methods,
        reason = "the adapter behind the Entropy port"
    )]
    fn next_u64(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|error| {
            tracing::error!(%error, "the system's randomness failed");
            RandomState::new().build_hasher().finish()
        })
    }
}

/// A seeded sequence (splitmix64, Steele et al. 2014), for demos and tests: never for secrets.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_clock_never_goes_back() {
        let clock = ReplayClock::starting_at(Timestamp::from_micros(10));
        clock.advance_to(Timestamp::from_micros(5));
        assert_eq!(clock.now().as_micros(), 10);
        clock.advance_to(Timestamp::from_micros(20));
        assert_eq!(clock.now().as_micros(), 20);
    }

    #[test]
    fn a_seed_gives_the_published_sequence() {
        let entropy = SeededEntropy::new(1_234_567);
        assert_eq!(entropy.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(entropy.next_u64(), 3_203_168_211_198_807_973);
    }
}
