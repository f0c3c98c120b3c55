//! A job: work on a schedule, with a history of its runs.

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, ScheduleError};
use crate::values::{RunId, Text, Timestamp};

/// The job that checks drift.
pub const DRIFT_MONITOR: &str = "drift-monitor";

/// The job that compares the books with the venues.
pub const RECONCILIATION: &str = "reconciliation";

/// A job's name.
pub type JobName = Text<40>;
/// A cron expression.
pub type Pattern = Text<100>;
/// An IANA time zone.
pub type Timezone = Text<64>;
/// A sentence that says why.
pub type Reason = Text<300>;

/// What set a run off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunTrigger {
    /// The schedule.
    Schedule,
    /// A time that came while the process was down.
    CatchUp,
    /// By hand.
    Manual,
}

/// What a run did. Runs of the reconciliation count accounts: compared ones as checked, corrected
/// ones as drifted, those with something under way as skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleSummary {
    /// Indexes looked at.
    pub checked: u32,
    /// Of these, with drift above the notice level.
    pub drifted: u32,
    /// Of these, with drift above their threshold.
    pub exceeded: u32,
    /// Rebalances started.
    pub rebalances_started: u32,
    /// Indexes that traded nothing for a reason.
    pub skipped: u32,
    /// Indexes that were due and did not answer.
    pub failed: u32,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It was registered, or its schedule or state was changed.
    Scheduled(JobScheduled),
    /// A run ended.
    RunCompleted(RunCompleted),
    /// That run did not do all of its work.
    Failed(JobFailed),
}

/// `job.scheduled` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobScheduled {
    /// The job.
    pub name: JobName,
    /// Its cron expression.
    pub schedule: Pattern,
    /// Its time zone.
    pub timezone: Timezone,
    /// Whether the schedule runs it.
    pub enabled: bool,
    /// When.
    pub at: Timestamp,
}

/// `job.run_completed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCompleted {
    /// The run.
    pub run_id: RunId,
    /// What set it off.
    pub trigger: RunTrigger,
    /// What it did.
    pub summary: CycleSummary,
    /// Ticks that came while it ran and were merged into it.
    pub coalesced: u32,
    /// Why it failed, if it did.
    pub error: Option<Reason>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// When it ended.
    pub at: Timestamp,
}

/// `job.failed` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFailed {
    /// The job.
    pub name: JobName,
    /// The run.
    pub run_id: RunId,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// What may be asked of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobCommand {
    /// Register it or change it. Says nothing when nothing changes.
    Schedule {
        /// The job.
        name: JobName,
        /// Its cron expression.
        schedule: Pattern,
        /// Its time zone.
        timezone: Timezone,
        /// Whether the schedule runs it.
        enabled: bool,
    },
    /// Note a run that ended.
    CompleteRun(RunCompleted),
}

/// A job: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job.
    pub name: JobName,
    /// Its cron expression.
    pub schedule: Pattern,
    /// Its time zone.
    pub timezone: Timezone,
    /// Whether the schedule runs it.
    pub enabled: bool,
    /// When its schedule was changed last: times before that are not missed ones.
    pub scheduled_at: Timestamp,
    /// The last run.
    pub last_run: Option<RunCompleted>,
    /// How many runs there were.
    pub runs: u64,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobRefusal {
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// The schedule is no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// Which events a command leads to.
pub fn decide(
    job: Option<&Job>,
    command: JobCommand,
    now: Timestamp,
) -> Result<Vec<JobEvent>, JobRefusal> {
    match command {
        JobCommand::Schedule {
            name,
            schedule,
            timezone,
            enabled,
        } => {
            let scheduled = JobScheduled {
                name,
                schedule,
                timezone,
                enabled,
                at: now,
            };
            if job.is_some_and(|job| job.is_scheduled_as(&scheduled)) {
                return Ok(Vec::new());
            }
            Schedule::new(
                scheduled.schedule.as_str(),
                scheduled.timezone.as_str(),
                now,
            )?;
            Ok(vec![JobEvent::Scheduled(scheduled)])
        }
        JobCommand::CompleteRun(run) => match job {
            Some(job) => {
                let failed = failed(job, &run).map(JobEvent::Failed);
                let ended = std::iter::once(JobEvent::RunCompleted(run));
                Ok(ended.chain(failed).collect())
            }
            None => Err(JobRefusal::NotFound),
        },
    }
}

/// What a run that ended left undone: all of it, or some of the indexes or accounts.
fn failed(job: &Job, run: &RunCompleted) -> Option<JobFailed> {
    let missing = run.summary.failed;
    let some = || {
        let text = format!("{missing} did not answer; the next run looks at them again");
        Reason::optional(&text).unwrap_or_default()
    };
    let reason = run.error.clone().or_else(|| (missing > 0).then(some))?;
    Some(JobFailed {
        name: job.name.clone(),
        run_id: run.run_id,
        reason,
        at: run.at,
    })
}

/// Adopts an event.
pub fn apply(job: &mut Option<Job>, event: &JobEvent) {
    match (job, event) {
        (Some(job), JobEvent::Scheduled(e)) => {
            job.schedule = e.schedule.clone();
            job.timezone = e.timezone.clone();
            job.enabled = e.enabled;
            job.scheduled_at = e.at;
        }
        (job @ None, JobEvent::Scheduled(e)) => {
            *job = Some(Job {
                name: e.name.clone(),
                schedule: e.schedule.clone(),
                timezone: e.timezone.clone(),
                enabled: e.enabled,
                scheduled_at: e.at,
                last_run: None,
                runs: 0,
            });
        }
        (Some(job), JobEvent::RunCompleted(e)) => {
            job.runs = job.runs.saturating_add(1);
            job.last_run = Some(e.clone());
        }
        (None, JobEvent::RunCompleted(_)) | (_, JobEvent::Failed(_)) => {}
    }
}

impl Job {
    fn is_scheduled_as(&self, scheduled: &JobScheduled) -> bool {
        self.schedule == scheduled.schedule
            && self.timezone == scheduled.timezone
            && self.enabled == scheduled.enabled
    }

    /// Up to here the times of the schedule are covered: by the last run, or by the last change.
    pub fn covered(&self) -> Timestamp {
        let ran_at = self.last_run.as_ref().map(|run| run.started_at);
        self.scheduled_at.max(ran_at.unwrap_or(self.scheduled_at))
    }

    /// Whether a time came after the last run (or the last change) and up to `now`.
    pub fn missed(&self, now: Timestamp) -> bool {
        self.is_due(self.covered(), now)
    }

    /// Whether a time came after `since` and up to `now`.
    pub fn is_due(&self, since: Timestamp, now: Timestamp) -> bool {
        let (pattern, timezone) = (self.schedule.as_str(), self.timezone.as_str());
        // Searched from `since`, a schedule that has come once and never will again still counts.
        self.enabled
            && Schedule::new(pattern, timezone, since)
                .ok()
                .and_then(|schedule| schedule.next_after(since))
                .is_some_and(|due| due <= now)
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

    use super::*;
    use crate::testing::{T0, hours};
    use crate::values::Span;

    fn command(schedule: &str, timezone: &str, enabled: bool) -> JobCommand {
        JobCommand::Schedule {
            name: JobName::required(DRIFT_MONITOR).unwrap(),
            schedule: Pattern::required(schedule).unwrap(),
            timezone: Timezone::required(timezone).unwrap(),
            enabled,
        }
    }

    fn run(started_at: Timestamp) -> RunCompleted {
        RunCompleted {
            run_id: RunId::from_u128(1),
            trigger: RunTrigger::Schedule,
            summary: CycleSummary::default(),
            coalesced: 0,
            error: None,
            started_at,
            duration_ms: 5,
            at: started_at.plus(Span::from_millis(5)),
        }
    }

    fn scheduled(command: JobCommand, now: Timestamp) -> Option<Job> {
        let mut job = None;
        for event in decide(None, command, now).unwrap() {
            apply(&mut job, &event);
        }
        job
    }

    #[test]
    fn a_schedule_that_stays_says_nothing() {
        let job = scheduled(command("*/5 * * * *", "UTC", true), T0);
        let again = |command| decide(job.as_ref(), command, hours(1)).unwrap().len();
        assert_eq!(again(command("*/5 * * * *", "UTC", true)), 0);
        assert_eq!(again(command("*/6 * * * *", "UTC", true)), 1);
        assert_eq!(again(command("*/5 * * * *", "Europe/Berlin", true)), 1);
        assert_eq!(again(command("*/5 * * * *", "UTC", false)), 1);
    }

    #[test]
    fn a_schedule_that_is_none_is_refused() {
        for (pattern, timezone) in [("60 * * * *", "UTC"), ("* * * * *", "Nowhere")] {
            let refused = decide(None, command(pattern, timezone, true), T0);
            assert!(matches!(refused, Err(JobRefusal::Schedule(_))));
        }
    }

    #[test]
    fn runs_are_counted_also_of_a_disabled_job() {
        let mut job = scheduled(command("0 * * * *", "UTC", false), T0);
        for event in decide(job.as_ref(), JobCommand::CompleteRun(run(T0)), T0).unwrap() {
            apply(&mut job, &event);
        }
        let job = job.unwrap();
        assert_eq!((job.runs, job.last_run), (1, Some(run(T0))));
        let refused = decide(None, JobCommand::CompleteRun(run(T0)), T0);
        assert_eq!(refused, Err(JobRefusal::NotFound));
    }

    #[test]
    fn a_run_that_left_something_undone_says_so() {
        let job = scheduled(command("0 * * * *", "UTC", true), T0);
        let told = |run: RunCompleted| {
            let events = decide(job.as_ref(), JobCommand::CompleteRun(run), T0).unwrap();
            events.into_iter().find_map(|event| match event {
                JobEvent::Failed(failed) => Some(failed.reason.to_string()),
                JobEvent::Scheduled(_) | JobEvent::RunCompleted(_) => None,
            })
        };
        assert_eq!(told(run(T0)), None);
        let (mut down, mut silent) = (run(T0), run(T0));
        down.error = Some(Reason::required("the market is restarting").unwrap());
        silent.summary.failed = 3;
        assert_eq!(told(down).unwrap(), "the market is restarting");
        assert!(told(silent).unwrap().starts_with("3 did not answer"));
    }

    #[test]
    fn a_time_that_came_since_the_last_run_was_missed() {
        // T0 is 22:13:20; the schedule comes at the full hour.
        let mut job = scheduled(command("0 * * * *", "UTC", true), T0).unwrap();
        let minute = |minutes: u64| T0.plus(Span::from_secs(60 * minutes));
        assert!(!job.missed(minute(46)));
        assert!(job.missed(minute(47)));
        assert!(job.missed(hours(100)));
        job.last_run = Some(run(minute(47)));
        assert!(!job.missed(minute(106)));
        assert!(job.missed(minute(107)));
        // The clock went back: nothing was missed, and its times are due anew.
        assert!(!job.missed(Timestamp::EPOCH));
        assert!(!job.is_due(minute(46), minute(46)));
        assert!(job.is_due(minute(46), minute(47)));
        job.enabled = false;
        assert!(!job.missed(hours(100)));
    }

    #[test]
    fn a_changed_schedule_misses_nothing_from_before_the_change() {
        let mut job = scheduled(command("0 * * * *", "UTC", false), T0);
        let events = decide(job.as_ref(), command("0 * * * *", "UTC", true), hours(10)).unwrap();
        for event in &events {
            apply(&mut job, event);
        }
        assert!(!job.unwrap().missed(hours(10)));
    }

    #[test]
    fn a_run_before_the_job_changes_nothing() {
        let mut job = None;
        apply(&mut job, &JobEvent::RunCompleted(run(T0)));
        assert_eq!(job, None);
    }
}
