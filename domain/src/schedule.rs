//! Cron meaning: five fields, a time zone, and the next time that they name.
//!
//! croner decides: `1-5` is Monday to Friday, a skipped 02:30 runs at 03:00, a repeated one once.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};

use crate::values::{Span, Timestamp};

/// A schedule comes within eight years: the longest gap between two 29ths of February.
const SEARCH_MAX: Span = Span::from_hours(8 * 366 * 24);

/// The five fields with the number of their values. Days of a month vary; 31 is the most.
const FIELDS: [(&str, u32); 5] = [
    ("minute", 60),
    ("hour", 24),
    ("day", 31),
    ("month", 12),
    ("weekday", 7),
];

/// Most characters of a refused text that are shown.
const SHOWN_MAX: usize = 100;

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
        let syntax = |detail: String| ScheduleError::Syntax {
            pattern: shown(pattern),
            detail,
        };
        // Names such as `@daily` are one field: they are refused with the fields that are meant.
        let fields = pattern.split_whitespace().count();
        if fields != FIELDS.len() {
            return Err(syntax(format!("{fields} fields were given")));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(pattern)
            .map_err(|error| syntax(error.to_string()))?;
        let timezone = timezone
            .parse()
            .map_err(|_| ScheduleError::Timezone(shown(timezone)))?;
        let schedule = Self {
            pattern: pattern.trim().to_owned(),
            cron,
            timezone,
        };
        match schedule.next_after(now) {
            Some(next) if next.since(now) <= SEARCH_MAX => Ok(schedule),
            _ => Err(ScheduleError::Never(shown(pattern))),
        }
    }

    /// The first time strictly after `after`; none when it never comes.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let local = after.to_datetime().with_timezone(&self.timezone);
        let next = self.cron.find_next_occurrence(&local, false).ok()?;
        Some(Timestamp::from(next.to_utc()))
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
        let fields = self.pattern.split_whitespace().zip(FIELDS);
        fields
            .flat_map(|(field, (name, size))| field.split(',').map(move |part| (part, name, size)))
            .find_map(|(part, name, size)| uneven(part, name, size))
    }
}

/// What a step means that does not divide its field.
fn uneven(part: &str, name: &str, size: u32) -> Option<String> {
    let step: u32 = part.strip_prefix("*/")?.parse().ok()?;
    if step == 0 || size.is_multiple_of(step) {
        return None;
    }
    Some(if step >= size {
        format!("{part} is longer than the {name} field ({size}): it comes once per {name} cycle")
    } else {
        format!("{part} does not divide the {name} field ({size}): the last interval is shorter")
    })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?} {})", self.pattern, self.timezone.name())
    }
}
