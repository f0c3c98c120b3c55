//! What a seed says of each call: a function of the call alone, so that it does not depend on the
//! order in which calls happen to come.

use std::time::Duration;

use crate::tests::faults::probe::{Boundary, Strike};
use crate::tests::faults::truth::{Manner, Weather};

/// Scrambles 64 bits: the finaliser of `SplitMix64` (Steele, Lea, Flood 2014).
pub(super) fn scramble(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Numbers that follow from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(scramble(seed))
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = scramble(self.0);
        self.0 % sides
    }
}

/// Faults in so many of a hundred calls.
pub(super) struct Storm {
    pub(super) seed: u64,
    pub(super) percent: u64,
}

impl Storm {
    fn dice(&self, what: u64, id: &str, nth: u32) -> Dice {
        let id = id
            .bytes()
            .fold(0_u64, |hash, byte| scramble(hash ^ u64::from(byte)));
        Dice::new(self.seed ^ scramble(id ^ scramble(what ^ (u64::from(nth) << 8))))
    }
}

impl Weather for Storm {
    fn manner(&self, client_order_id: &str) -> Manner {
        let mut dice = self.dice(100, client_order_id, 0);
        if dice.roll(100) >= 2 * self.percent {
            return Manner::Fill;
        }
        let calls = u32::try_from(dice.roll(14)).unwrap() + 1;
        match dice.roll(7) {
            0 => Manner::Reject,
            1 => Manner::OpenThenFill(calls),
            2 => Manner::OpenThenHalf(calls),
            3 => Manner::OpenThenNothing(calls),
            4 => Manner::OpenThenFill(1_000),
            5 => Manner::Silent(calls),
            _ => Manner::SilentThenOpen(calls),
        }
    }

    fn strike(&self, boundary: Boundary, id: &str, nth: u32) -> Option<Strike> {
        let mut dice = self.dice(boundary as u64, id, nth);
        if dice.roll(100) >= self.percent {
            return None;
        }
        Some(match dice.roll(4) {
            0 => Strike::Fail,
            1 => Strike::FailAfterEffect,
            2 => Strike::Duplicate,
            _ => Strike::Timeout,
        })
    }

    fn latency(&self, boundary: Boundary, id: &str, nth: u32) -> (Duration, Duration) {
        let mut dice = self.dice(boundary as u64 + 50, id, nth);
        let mut way = || match dice.roll(10) {
            0 => Duration::from_millis(dice.roll(3_000)),
            1..4 => Duration::ZERO,
            _ => Duration::from_millis(dice.roll(30)),
        };
        (way(), way())
    }
}
