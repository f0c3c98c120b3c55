//! A scheduler: the timer of a job. It runs the job when its schedule says so, one run
//! at a time; a tick that comes while a run is going is merged into it and counted.
//!
//! A time that came while the process was down is one due run: due means that the schedule
//! names a time after the last run began and not after now.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::job::{self, Job, JobCommand, JobEvent, JobRefusal, RunTrigger};
use evenkeel_domain::schedule::Schedule;
use evenkeel_domain::values::{EventKey, RunId, Span, Timestamp};
use evenkeel_events::StreamId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::engine::{EngineError, RunView};
use crate::indexes::Registry;
use crate::journal::Origin;
use crate::shell::Shell;
use crate::work::{EndedRun, Work, answer_when_settled};

/// Longest sleep of the timer: after it the clock is read anew, so a clock that was set is
/// noticed within a minute.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// A last run that lies further ahead than this means that the clock was set back; less is the
/// wobble of a clock that is kept in step.
const AHEAD_MAX: Span = Span::from_secs(60);

/// Runs by hand that may wait for the one that is going.
const WAITING_MAX: usize = 64;

/// What the scheduler is told.
pub(crate) enum SchedulerMsg {
    /// Look at the clock.
    Tick,
    /// Run by hand; with `wait`, answers when it has ended.
    Run {
        wait: bool,
        reply: oneshot::Sender<Result<RunView, EngineError>>,
    },
    /// The work of the run has ended.
    Ended(Box<EndedRun>),
    /// Change the schedule.
    Schedule {
        command: Box<JobCommand>,
        origin: Origin,
        reply: oneshot::Sender<Result<Job, EngineError>>,
    },
    /// Show the job.
    Show(oneshot::Sender<Option<Job>>),
}

/// A run that is going.
struct GoingRun {
    run_id: RunId,
    /// Times of the schedule up to here are part of this run.
    covers: Timestamp,
    waiting: Vec<oneshot::Sender<Result<RunView, EngineError>>>,
}

/// The actor.
pub(crate) struct Scheduler;

/// Which job, and what it works with.
pub(crate) struct SchedulerArguments {
    pub(crate) work: Work,
    pub(crate) shell: Arc<Shell>,
    pub(crate) registry: Arc<Registry>,
}

/// Its state.
pub(crate) struct SchedulerState {
    work: Work,
    shell: Arc<Shell>,
    registry: Arc<Registry>,
    stream: StreamId,
    version: u64,
    job: Option<Job>,
    schedule: Option<Schedule>,
    going: Option<GoingRun>,
    /// Runs by hand that came while one was going: they get one of their own after it.
    queued: Vec<(bool, oneshot::Sender<Result<RunView, EngineError>>)>,
    coalesced: u32,
    /// The tick that is armed; older ones are stale.
    armed: Option<tokio::task::JoinHandle<()>>,
    first_look: bool,
    /// Where a clock that was set back stood when that was noticed, or when the last run since
    /// then began.
    set_back: Option<Timestamp>,
}

impl Actor for Scheduler {
    type Msg = SchedulerMsg;
    type State = SchedulerState;
    type Arguments = SchedulerArguments;

    async fn pre_start(
        &self,
        _: ActorRef<SchedulerMsg>,
        with: SchedulerArguments,
    ) -> Result<SchedulerState, ActorProcessingErr> {
        let SchedulerArguments {
            work,
            shell,
            registry,
        } = with;
        let (stream, mut job) = (work.stream(), None);
        let version = shell
            .journal
            .replay(&stream, 0, |event| adopt(&mut job, event))
            .await?;
        let (schedule, going, queued, armed) = (None, None, Vec::new(), None);
        let mut state = SchedulerState {
            work,
            shell,
            registry,
            stream,
            version,
            job,
            schedule,
            going,
            queued,
            coalesced: 0,
            armed,
            first_look: true,
            set_back: None,
        };
        state.register().await?;
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<SchedulerMsg>,
        _: &mut SchedulerState,
    ) -> Result<(), ActorProcessingErr> {
        Ok(myself.cast(SchedulerMsg::Tick)?)
    }

    async fn handle(
        &self,
        myself: ActorRef<SchedulerMsg>,
        message: SchedulerMsg,
        state: &mut SchedulerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SchedulerMsg::Tick => state.tick(&myself),
            SchedulerMsg::Run { wait, reply } => state.run_by_hand(&myself, wait, reply),
            SchedulerMsg::Ended(ended) => state.ended(&myself, *ended).await?,
            SchedulerMsg::Schedule {
                command,
                origin,
                reply,
            } => {
                let answer = state.change(*command, &origin).await?;
                let _ = reply.send(answer);
            }
            SchedulerMsg::Show(reply) => {
                let _ = reply.send(state.job.clone());
            }
        }
        state.arm(&myself);
        Ok(())
    }
}

fn adopt(job: &mut Option<Job>, event: &Event) {
    if let Event::Job(event) = event {
        job::apply(job, event);
    }
}

impl SchedulerState {
    /// Registers the job as it is configured; nothing is logged when nothing changes.
    async fn register(&mut self) -> Result<(), ActorProcessingErr> {
        let settings = &self.shell.settings;
        let command = settings.job(self.work, self.job.as_ref())?;
        let origin = Origin::new(None, "system:configuration", self.shell.new_key());
        self.change(command, &origin).await??;
        Ok(())
    }

    async fn change(
        &mut self,
        command: JobCommand,
        origin: &Origin,
    ) -> Result<Result<Job, EngineError>, ActorProcessingErr> {
        let now = self.shell.now();
        let events = match job::decide(self.job.as_ref(), command, now) {
            Ok(events) => events,
            Err(JobRefusal::NotFound) => return Ok(Err(EngineError::NotFound("job"))),
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        self.commit(events, origin).await?;
        self.read_schedule();
        Ok(self.job.clone().ok_or(EngineError::NotFound("job")))
    }

    async fn commit(
        &mut self,
        events: Vec<JobEvent>,
        origin: &Origin,
    ) -> Result<(), ActorProcessingErr> {
        if events.is_empty() {
            return Ok(());
        }
        let events: Vec<Event> = events.into_iter().map(Event::Job).collect();
        self.version = self
            .shell
            .journal
            .append(&self.stream, self.version, &events, origin)
            .await?;
        for event in &events {
            adopt(&mut self.job, event);
        }
        Ok(())
    }

    fn read_schedule(&mut self) {
        let now = self.shell.now();
        self.schedule = self
            .job
            .as_ref()
            .and_then(|job| Schedule::new(job.schedule.as_str(), job.timezone.as_str(), now).ok());
    }

    fn tick(&mut self, myself: &ActorRef<SchedulerMsg>) {
        let (first_look, now) = (std::mem::take(&mut self.first_look), self.shell.now());
        if self.going.is_some() {
            return self.coalesce(now);
        }
        let enabled = self.job.as_ref().is_some_and(|job| job.enabled);
        let at_start = first_look && enabled && self.work.runs_at_start();
        if !self.is_due(now) && !at_start {
            return;
        }
        let trigger = if first_look {
            RunTrigger::CatchUp
        } else {
            RunTrigger::Schedule
        };
        self.start(myself, trigger, Vec::new());
    }

    /// Whether a time of the schedule has come. After the clock was set back, the times that it
    /// shows once more count again: else nothing would run until it shows what it showed.
    fn is_due(&mut self, now: Timestamp) -> bool {
        let Some(job) = &self.job else { return false };
        let covered = job.covered();
        if covered.since(now) <= AHEAD_MAX {
            self.set_back = None;
            return job.missed(now);
        }
        job.is_due(*self.set_back.get_or_insert(now), now)
    }

    /// Merges a time that comes while a run is going into that run.
    fn coalesce(&mut self, now: Timestamp) {
        let enabled = self.job.as_ref().is_some_and(|job| job.enabled);
        let (Some(going), Some(schedule)) = (&mut self.going, &self.schedule) else {
            return;
        };
        if enabled
            && schedule
                .next_after(going.covers)
                .is_some_and(|next| next <= now)
        {
            going.covers = now;
            self.coalesced += 1;
            self.shell.tally.ticks_coalesced.add(1);
        }
    }

    fn run_by_hand(
        &mut self,
        myself: &ActorRef<SchedulerMsg>,
        wait: bool,
        reply: oneshot::Sender<Result<RunView, EngineError>>,
    ) {
        if self.going.is_none() {
            return self.start(myself, RunTrigger::Manual, vec![(wait, reply)]);
        }
        if self.queued.len() < WAITING_MAX {
            self.queued.push((wait, reply));
        } else {
            let _ = reply.send(Err(EngineError::Busy));
        }
    }

    fn start(
        &mut self,
        myself: &ActorRef<SchedulerMsg>,
        trigger: RunTrigger,
        asked: Vec<(bool, oneshot::Sender<Result<RunView, EngineError>>)>,
    ) {
        let run_id = RunId::from_u128(self.shell.ids.next());
        let mut waiting = Vec::new();
        for (wait, reply) in asked {
            if wait {
                waiting.push(reply);
            } else {
                let _ = reply.send(Ok(RunView::going(run_id)));
            }
        }
        self.set_back = self.set_back.map(|_| self.shell.now());
        self.going = Some(GoingRun {
            run_id,
            covers: self.shell.now(),
            waiting,
        });
        let (work, myself) = (self.work, myself.clone());
        let (shell, registry) = (Arc::clone(&self.shell), Arc::clone(&self.registry));
        tokio::spawn(async move {
            let ended = work.run(&shell, &registry, run_id, trigger).await;
            // A scheduler that is gone has a successor, which finds the run still due.
            let _ = myself.cast(SchedulerMsg::Ended(Box::new(ended)));
        });
    }

    async fn ended(
        &mut self,
        myself: &ActorRef<SchedulerMsg>,
        ended: EndedRun,
    ) -> Result<(), ActorProcessingErr> {
        let EndedRun {
            cycle,
            mut completed,
        } = ended;
        let Some(going) = self.going.take_if(|going| going.run_id == completed.run_id) else {
            return Ok(());
        };
        completed.coalesced = std::mem::take(&mut self.coalesced);
        if self.work == Work::DriftMonitor {
            let tally = &self.shell.tally;
            tally.cycles.add(1);
            tally.checks.add(u64::from(completed.summary.checked));
        }
        let correlation = EventKey::from_u128(going.run_id.as_u128());
        let origin = Origin::new(None, self.work.by(), correlation);
        let decided = job::decide(
            self.job.as_ref(),
            JobCommand::CompleteRun(completed.clone()),
            self.shell.now(),
        );
        self.commit(decided.unwrap_or_default(), &origin).await?;
        answer_when_settled(cycle, completed, going.waiting);
        let queued = std::mem::take(&mut self.queued);
        if !queued.is_empty() {
            self.start(myself, RunTrigger::Manual, queued);
        }
        Ok(())
    }

    /// Arms the timer for the next time of the schedule, at most [`SLEEP_MAX`] ahead.
    fn arm(&mut self, myself: &ActorRef<SchedulerMsg>) {
        if let Some(armed) = self.armed.take() {
            armed.abort();
        }
        let (now, enabled) = (
            self.shell.now(),
            self.job.as_ref().is_some_and(|job| job.enabled),
        );
        let next = self
            .schedule
            .as_ref()
            .filter(|_| enabled)
            .and_then(|schedule| schedule.next_after(now));
        // Half a millisecond's rounding must not wake the timer before the time has come.
        let until = next.map_or(SLEEP_MAX, |next| {
            Duration::from_millis(next.since(now).as_millis() + 1)
        });
        let (myself, sleep) = (myself.clone(), until.min(SLEEP_MAX));
        self.armed = Some(tokio::spawn(async move {
            tokio::time::sleep(sleep).await;
            // A scheduler that is gone needs no tick.
            let _ = myself.cast(SchedulerMsg::Tick);
        }));
    }
}
