//! A job: work on a schedule, with a history of its runs.

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, ScheduleError};
use crate::values::{RunId, Text, Timestamp};

/// The job that checks drift.
pub const DRIFT_MONITOR: &str = "drift-monitor";

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

/// What a run of the drift monitor did.
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
            Some(_) => Ok(vec![JobEvent::RunCompleted(run)]),
            None => Err(JobRefusal::NotFound),
        },
    }
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
        (None, JobEvent::RunCompleted(_)) => {}
    }
}

impl Job {
    fn is_scheduled_as(&self, scheduled: &JobScheduled) -> bool {
        self.schedule == scheduled.schedule
            && self.timezone == scheduled.timezone
            && self.enabled == scheduled.enabled
    }

    /// Whether a time came after the last run (or the last change) and up to `now`.
    pub fn missed(&self, now: Timestamp) -> bool {
        let ran_at = self.last_run.as_ref().map(|run| run.started_at);
        let since = self.scheduled_at.max(ran_at.unwrap_or(self.scheduled_at));
        let (pattern, timezone) = (self.schedule.as_str(), self.timezone.as_str());
        // Searched from `since`, a schedule that has come once and never will again still counts.
        self.enabled
            && Schedule::new(pattern, timezone, since)
                .ok()
                .and_then(|schedule| schedule.next_after(since))
                .is_some_and(|due| due <= now)
    }
}
