//! Which ids the books may hold: a filter of fixed size, so that an id that is new is not looked
//! for in an account's whole history before it is acted on.
//!
//! It never says no to an id that was noted. Of new ids it says yes to one in a hundred at 200,000
//! noted ones, and to more after that: those are looked for in the log, as all were without it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use evenkeel_actors::ports::VenueAccount;

/// Bits of the filter, a power of two: 256 KiB.
const BITS: u64 = 1 << 21;

/// Bits per id.
const PROBES: usize = 4;

/// Bits of one word of the filter.
const WORD: u64 = u64::BITS as u64;

/// The filter.
pub(super) struct Seen(Mutex<Vec<u64>>);

impl Default for Seen {
    /// Nothing seen.
    fn default() -> Self {
        Self(Mutex::new(vec![
            0;
            usize::try_from(BITS / WORD).unwrap_or(0)
        ]))
    }
}

impl Seen {
    /// Notes an id of an account: of an order or of a transfer.
    pub(super) fn note(&self, account: VenueAccount, id: &(impl Hash + ?Sized)) {
        let mut words = self.words();
        for (word, bit) in places(account, id) {
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether an id may have been noted; never false for one that was.
    pub(super) fn may_have(&self, account: VenueAccount, id: &(impl Hash + ?Sized)) -> bool {
        let words = self.words();
        let mut places = places(account, id).into_iter();
        places.all(|(word, bit)| words.get(word).is_none_or(|word| word & bit != 0))
    }

    /// Each use sets or reads bits, so a poisoned lock is used on.
    fn words(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the bits of an id are: from one half of its hash, in steps of the other.
fn places(account: VenueAccount, id: &(impl Hash + ?Sized)) -> [(usize, u64); PROBES] {
    let mut hasher = DefaultHasher::new();
    account.hash(&mut hasher);
    id.hash(&mut hasher);
    let hash = hasher.finish();
    let (mut at, step) = (hash >> 32, hash | 1);
    [(); PROBES].map(|()| {
        at = at.wrapping_add(step) % BITS;
        let word = usize::try_from(at / WORD).unwrap_or(usize::MAX);
        (word, 1 << (at % WORD))
    })
}

#[cfg(test)]
mod tests {
    use evenkeel_domain::values::IndexId;

    use super::*;

    const ACCOUNTS: u128 = 100;
    const IDS: u32 = 1_000;

    #[test]
    fn what_was_noted_is_never_denied_and_what_was_not_hardly_ever_affirmed() {
        let seen = Seen::default();
        let account = |n| VenueAccount(IndexId::from_u128(n));
        for n in 0..ACCOUNTS {
            for id in 0..IDS {
                seen.note(account(n), &format!("reb_{id}-1"));
            }
        }
        let mut affirmed = 0;
        for n in 0..ACCOUNTS {
            for id in 0..IDS {
                assert!(seen.may_have(account(n), &format!("reb_{id}-1")));
                affirmed += u32::from(seen.may_have(account(n), &format!("reb_{id}-2")));
            }
            affirmed += u32::from(seen.may_have(account(ACCOUNTS + n), "reb_0-1"));
        }
        // (1 − e^(−4 × 100,000 / 2^21))^4 of 100,000 are 91.
        assert!(affirmed < 200, "{affirmed}");
    }
}
