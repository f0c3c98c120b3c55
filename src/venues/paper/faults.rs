//! Failures on demand, at every call, the same in every run.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_actors::ports::{Entropy as _, VenueAccount};
use evenkeel_domain::values::Span;

use crate::time::SeededEntropy;

/// Longest wait that a drawn fault asks for, in milliseconds: faults shall cost a demo seconds,
/// not minutes.
const WAIT_MAX_MS: u64 = 200;

/// A call to the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// An order is sent.
    Place,
    /// An order is asked for.
    Find,
    /// An order is to be closed.
    Cancel,
    /// A deposit or withdrawal is told.
    Transfer,
    /// An account's holdings are asked for.
    Balances,
}

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nothing: it is carried out.
    None,
    /// An error before acting; it can be tried again.
    ErrorBefore,
    /// It is acted on, and the answer says nothing.
    ErrorAfter,
    /// It is refused. For an order that is its report, for other calls an error.
    Refuse,
    /// It is acted on, and no answer ever comes.
    NeverAnswers,
    /// It arrives twice at the same time, and the second answer counts.
    AnswersTwice,
    /// It does nothing, and the next call shall wait for so long.
    RateLimited(Duration),
    /// It is acted on, and answered after so long.
    Slow(Duration),
    /// An order stays open and is filled in slices. Nothing at other calls.
    Partial(Slices),
}

impl Fault {
    /// What it is called in counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ErrorBefore => "errorBefore",
            Self::ErrorAfter => "errorAfter",
            Self::Refuse => "refuse",
            Self::NeverAnswers => "neverAnswers",
            Self::AnswersTwice => "answersTwice",
            Self::RateLimited(_) => "rateLimited",
            Self::Slow(_) => "slow",
            Self::Partial(slices) if slices.filled < slices.of => "expiresInPart",
            Self::Partial(_) => "filledInSlices",
        }
    }
}

/// How an order is filled over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slices {
    /// Into how many equal slices the order is cut; the last one takes what rounding left.
    pub of: u32,
    /// After how many of them it expires; all of them fill it.
    pub filled: u32,
    /// The time of a slice; none for one slice whenever the order is asked for.
    pub every: Option<Span>,
}

/// Which calls meet which failures: first what a script names, then what a seed draws. Clones
/// are the same faults.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    scripts: Mutex<HashMap<Call, VecDeque<Fault>>>,
    seeded: Option<Seeded>,
    met: Mutex<BTreeMap<&'static str, u64>>,
}

/// Draws by seed, call, account and how many such calls there were: what other accounts do
/// meanwhile, in whatever order, changes nothing.
#[derive(Debug)]
struct Seeded {
    seed: u64,
    permille: u16,
    calls: Mutex<HashMap<(Call, VenueAccount), u64>>,
}

impl Faults {
    /// No failures.
    pub fn none() -> Self {
        Self::default()
    }

    /// These, one per order that is sent; none after them.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::none().and(Call::Place, faults)
    }

    /// For so many in a thousand calls one of the failures, by a seed. Refused are only orders:
    /// a deposit that is refused for ever would never arrive.
    pub fn seeded(seed: u64, permille: u16) -> Self {
        let seeded = Some(Seeded {
            seed,
            permille,
            calls: Mutex::default(),
        });
        Self(Arc::new(Plan {
            seeded,
            ..Plan::default()
        }))
    }

    /// These as well, one per call of that kind, after those that are there for it already.
    #[must_use]
    pub fn and(self, call: Call, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.push(call, faults);
        self
    }

    /// The same for faults that are in use.
    pub fn push(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        let mut scripts = lock(&self.0.scripts);
        scripts.entry(call).or_default().extend(faults);
    }

    /// How many calls have met which failure, by its name.
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0.met).clone()
    }

    /// What the next call meets.
    pub(super) fn next(&self, call: Call, account: VenueAccount) -> Fault {
        let scripted = lock(&self.0.scripts)
            .get_mut(&call)
            .and_then(VecDeque::pop_front);
        let drawn = || self.0.seeded.as_ref().map(|by| by.draw(call, account));
        let fault = scripted.or_else(drawn).unwrap_or(Fault::None);
        if fault != Fault::None {
            *lock(&self.0.met).entry(fault.name()).or_default() += 1;
        }
        fault
    }
}

/// Each use is one look-up or insertion, so a poisoned lock is used on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seeded {
    fn draw(&self, call: Call, account: VenueAccount) -> Fault {
        let nth = {
            let mut calls = lock(&self.calls);
            let nth = calls.entry((call, account)).or_default();
            *nth += 1;
            *nth
        };
        let random = self.sequence(call, account, nth);
        if random.next_u64() % 1_000 >= u64::from(self.permille) {
            return Fault::None;
        }
        drawn(call, random.next_u64() % 100, random.next_u64())
    }

    /// A sequence of its own for each call.
    fn sequence(&self, call: Call, account: VenueAccount, nth: u64) -> SeededEntropy {
        let id = account.0.as_u128();
        // Both halves of the id, cut apart on purpose.
        #[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
        let halves = [id as u64, (id >> 64) as u64];
        let parts = [halves[0], halves[1], call as u64, nth];
        let mix = |seed: u64, part: u64| SeededEntropy::new(seed ^ part).next_u64();
        SeededEntropy::new(parts.into_iter().fold(self.seed, mix))
    }
}

/// The failure of a number below 100; `detail` draws how long or how often.
fn drawn(call: Call, number: u64, detail: u64) -> Fault {
    let wait = Duration::from_millis(1 + detail % WAIT_MAX_MS);
    match number {
        0..20 => Fault::ErrorBefore,
        20..40 => Fault::ErrorAfter,
        40..52 => Fault::RateLimited(wait),
        52..64 => Fault::Slow(wait),
        64..78 => Fault::AnswersTwice,
        // Each one costs its caller a whole timeout.
        78 => Fault::NeverAnswers,
        _ if call != Call::Place => Fault::ErrorBefore,
        79..82 => Fault::Refuse,
        _ => Fault::Partial(slices(number < 90, detail)),
    }
}

/// Two to four slices, one whenever the order is asked for.
fn slices(expires: bool, detail: u64) -> Slices {
    let of = if detail & 1 == 0 { 2 } else { 4 };
    let filled = if expires { of / 2 } else { of };
    Slices {
        of,
        filled,
        every: None,
    }
}
