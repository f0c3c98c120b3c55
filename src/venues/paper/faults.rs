//! Failures on demand, the same in every run.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use evenkeel_actors::ports::Entropy as _;

use crate::time::SeededEntropy;

/// What one order meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is carried out.
    None,
    /// An error before acting; it can be tried again.
    ErrorBefore,
    /// It is acted on, and the answer says nothing.
    ErrorAfter,
    /// It is refused.
    Refuse,
    /// It is acted on, and no answer ever comes.
    NeverAnswers,
}

/// Which orders meet which failures.
#[derive(Debug, Default)]
pub struct Faults(Plan);

#[derive(Debug, Default)]
enum Plan {
    #[default]
    None,
    Script(Mutex<VecDeque<Fault>>),
    Seeded(SeededEntropy, u16),
}

impl Faults {
    /// No failures.
    pub fn none() -> Self {
        Self::default()
    }

    /// These, one per order; none after them.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self(Plan::Script(Mutex::new(faults.into_iter().collect())))
    }

    /// One of the passing failures (an error before or after acting) for so many in a thousand
    /// orders, by a seed.
    pub fn seeded(seed: u64, permille: u16) -> Self {
        Self(Plan::Seeded(SeededEntropy::new(seed), permille))
    }

    pub(super) fn next(&self) -> Fault {
        match &self.0 {
            Plan::None => Fault::None,
            Plan::Script(script) => {
                let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
                script.pop_front().unwrap_or(Fault::None)
            }
            Plan::Seeded(entropy, permille) => {
                let drawn = entropy.next_u64();
                if drawn % 1_000 >= u64::from(*permille) {
                    Fault::None
                } else if drawn & (1 << 32) == 0 {
                    Fault::ErrorBefore
                } else {
                    Fault::ErrorAfter
                }
            }
        }
    }
}
