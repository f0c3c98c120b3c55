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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )]

    use proptest::prelude::*;

    use super::*;
    use crate::testing::T0;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The next times of a pattern in a zone, as UTC.
    fn nexts(pattern: &str, timezone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(pattern, timezone, at(from)).unwrap();
        let next = |after: &Timestamp| schedule.next_after(*after);
        let times = std::iter::successors(next(&at(from)), next);
        times.take(count).map(|time| time.to_string()).collect()
    }

    #[test]
    fn five_fields_are_taken_and_anything_else_is_refused() {
        for pattern in [
            "*/5 * * * *",
            "0 9 * * 1-5",
            " 0 0 29 2 * ",
            "0 0 L * *",
            "0 9 * JAN MON#2",
        ] {
            assert!(Schedule::new(pattern, "UTC", T0).is_ok(), "{pattern}");
        }
        for pattern in [
            "",
            "invalid",
            "60 * * * *",
            "* 24 * * *",
            "* * * * * *",
            "* * * *",
            "0 0 0 1 1 * 2030",
            "@daily",
            "*/0 * * * *",
            "-1 * * * *",
            "a b c d e",
        ] {
            let refused = Schedule::new(pattern, "UTC", T0).unwrap_err();
            assert!(
                matches!(refused, ScheduleError::Syntax { .. }),
                "{pattern}: {refused}"
            );
        }
    }

    #[test]
    fn what_never_comes_is_refused() {
        for pattern in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let refused = Schedule::new(pattern, "UTC", T0).unwrap_err();
            assert_eq!(refused, ScheduleError::Never(pattern.to_owned()));
        }
    }

    #[test]
    fn a_leap_day_comes_within_eight_years() {
        // 2100 is no leap year: from 2096 to 2104 is the longest wait there is.
        let next = nexts("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1);
        assert_eq!(next, ["2104-02-29T00:00:00Z"]);
    }

    #[test]
    fn an_unknown_time_zone_is_refused() {
        let refused = Schedule::new("* * * * *", "Mars/Olympus", T0).unwrap_err();
        assert_eq!(refused, ScheduleError::Timezone("Mars/Olympus".to_owned()));
    }

    #[test]
    fn one_to_five_is_monday_to_friday() {
        // 2026-01-02 is a Friday.
        let times = nexts("0 9 * * 1-5", "UTC", "2026-01-02T00:00:00Z", 3);
        let expected = [
            "2026-01-02T09:00:00Z",
            "2026-01-05T09:00:00Z",
            "2026-01-06T09:00:00Z",
        ];
        assert_eq!(times, expected);
    }

    #[test]
    fn the_next_time_is_strictly_later() {
        let times = nexts("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", 2);
        assert_eq!(times, ["2026-01-01T00:10:00Z", "2026-01-01T00:15:00Z"]);
        let times = nexts("*/5 * * * *", "UTC", "2026-01-01T00:04:59.999999Z", 1);
        assert_eq!(times, ["2026-01-01T00:05:00Z"]);
    }

    #[test]
    fn a_time_that_is_skipped_in_spring_runs_right_after_the_gap() {
        for (zone, from, expected) in [
            // 02:00 becomes 03:00.
            (
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "America/New_York",
                "2026-03-07T12:00:00Z",
                ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
            ),
            (
                "Australia/Sydney",
                "2026-10-03T00:00:00Z",
                ["2026-10-03T16:00:00Z", "2026-10-04T15:30:00Z"],
            ),
        ] {
            assert_eq!(nexts("30 2 * * *", zone, from, 2), expected, "{zone}");
        }
    }

    #[test]
    fn a_time_that_is_repeated_in_autumn_runs_once() {
        for (zone, pattern, from, expected) in [
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            (
                "America/New_York",
                "30 1 * * *",
                "2026-10-31T12:00:00Z",
                ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
            ),
            (
                "Australia/Sydney",
                "30 2 * * *",
                "2026-04-04T00:00:00Z",
                ["2026-04-04T15:30:00Z", "2026-04-05T16:30:00Z"],
            ),
        ] {
            assert_eq!(nexts(pattern, zone, from, 2), expected, "{zone}");
        }
    }

    #[test]
    fn an_interval_goes_on_through_the_change_of_clocks() {
        let times = nexts("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15:00Z", 4);
        let expected = [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:00:00Z",
        ];
        assert_eq!(times, expected);
    }

    #[test]
    fn a_step_that_does_not_divide_its_field_is_warned_of() {
        for (pattern, warned) in [
            ("*/5 * * * *", false),
            ("*/90 * * * *", true),
            ("*/7 * * * *", true),
            ("0 */6 * * *", false),
            ("0 */5 * * *", true),
            ("0,*/45 * * * *", true),
        ] {
            let Ok(schedule) = Schedule::new(pattern, "UTC", T0) else {
                panic!("{pattern} is a schedule");
            };
            assert_eq!(schedule.warning().is_some(), warned, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in "\\PC{0,30}", timezone in "\\PC{0,10}") {
            let _ = Schedule::new(&pattern, &timezone, T0);
            let _ = Schedule::new(&pattern, "UTC", T0);
        }

        #[test]
        fn no_cron_like_text_panics(
            fields in prop::collection::vec("[0-9*/,LW#?+a-z-]{1,5}", 5), at in any::<i64>(),
        ) {
            let _ = Schedule::new(&fields.join(" "), "Europe/Berlin", Timestamp::from_micros(at));
        }
    }
}
