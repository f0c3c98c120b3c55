//! Cron meaning: five fields, a time zone, and the next time that they name.
//!
//! croner decides: `1-5` is Monday to Friday, a skipped 02:30 runs at 03:00, a repeated one once.

use std::fmt;

use crate::values::Timestamp;

/// A cron expression in a time zone that comes at least once in the next years.
#[derive(Clone)]
pub struct Schedule {
    pattern: String,
    cron: croner::Cron,
    timezone: chrono_tz::Tz,
}

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields of cron.
    #[error(
        "{pattern:?} is not a cron expression of five fields (minute hour day month weekday): {detail}"
    )]
    Syntax {
        /// What was given.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// It parses and never comes: `0 0 31 2 *`.
    #[error("{0:?} never comes")]
    Never(String),
    /// Not a time zone of the IANA database.
    #[error("{0:?} is not an IANA time zone such as Europe/Berlin")]
    Timezone(String),
}

impl Schedule {
    /// A schedule; `now` is where the search for its next time begins.
    pub fn new(pattern: &str, timezone: &str, now: Timestamp) -> Result<Self, ScheduleError> {
        let _ = (pattern, timezone, now);
        unimplemented!()
    }

    /// The first time strictly after `after`; none when it never comes.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let _ = (after, &self.cron, self.timezone);
        unimplemented!()
    }

    /// The expression.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The time zone's IANA name.
    pub fn timezone(&self) -> &str {
        self.timezone.name()
    }

    /// A step that does not divide its field (`*/90`) means something else than it seems.
    pub fn warning(&self) -> Option<String> {
        unimplemented!()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?} {})", self.pattern, self.timezone.name())
    }
}
