//! Prices, jobs, figures.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evenkeel_domain::Event;
use evenkeel_domain::job::{Job, JobCommand, JobEvent, JobName, Pattern, RunCompleted, Timezone};
use evenkeel_domain::market::RecordPrices;
use tokio::sync::oneshot;

use super::{
    Caller, Engine, EngineError, EngineStatus, HistoryPage, PricesView, RunView, answered,
};
use crate::market::MarketMsg;
use crate::root::Handle;
use crate::scheduler::SchedulerMsg;
use crate::work::Work;

/// Longest wait for a run that is waited for: its checks, then its rebalances.
const RUN_TIMEOUT: Duration = Duration::from_mins(5);

impl Engine {
    /// Takes in pushed prices; held ones are named in the answer.
    pub async fn push_prices(
        &self,
        caller: &Caller,
        command: RecordPrices,
    ) -> Result<PricesView, EngineError> {
        let _place = self.admit()?;
        let (reply, answer) = oneshot::channel();
        let origin = caller.origin(None);
        if !self
            .shell()
            .handles
            .market
            .cast(MarketMsg::Push(command, origin, reply))
        {
            return Err(EngineError::Unavailable("the market"));
        }
        let held = answered("the market", answer).await?;
        Ok(PricesView {
            held,
            ..self.prices()
        })
    }

    /// All prices as a cycle would see them now.
    pub fn prices(&self) -> PricesView {
        PricesView {
            as_of: self.shell().now(),
            snapshot: self.shell().latest_prices(),
            held: Vec::new(),
        }
    }

    /// All jobs.
    pub async fn jobs(&self) -> Result<Vec<Job>, EngineError> {
        let mut jobs = Vec::with_capacity(Work::ALL.len());
        for work in Work::ALL {
            let (reply, answer) = oneshot::channel();
            if !self.scheduler(work).cast(SchedulerMsg::Show(reply)) {
                return Err(EngineError::Unavailable("the scheduler"));
            }
            let job = answer.await;
            jobs.extend(job.map_err(|_| EngineError::Unavailable("the scheduler"))?);
        }
        Ok(jobs)
    }

    fn scheduler(&self, work: Work) -> &Handle<SchedulerMsg> {
        self.shell().handles.of(work)
    }

    /// Changes a job's schedule.
    pub async fn schedule_job(
        &self,
        caller: &Caller,
        name: JobName,
        schedule: Pattern,
        timezone: Timezone,
        enabled: bool,
    ) -> Result<Job, EngineError> {
        let _place = self.admit()?;
        let work = known_job(name.as_str())?;
        let (reply, answer) = oneshot::channel();
        let command = Box::new(JobCommand::Schedule {
            name,
            schedule,
            timezone,
            enabled,
        });
        let origin = caller.origin(None);
        if !self.scheduler(work).cast(SchedulerMsg::Schedule {
            command,
            origin,
            reply,
        }) {
            return Err(EngineError::Unavailable("the scheduler"));
        }
        answered("the scheduler", answer).await
    }

    /// Runs a job now. With `wait`, until its checks and the rebalances they started have ended.
    pub async fn run_job(
        &self,
        _: &Caller,
        name: &str,
        wait: bool,
    ) -> Result<RunView, EngineError> {
        let _place = self.admit()?;
        let work = known_job(name)?;
        let (reply, answer) = oneshot::channel();
        if !self.scheduler(work).cast(SchedulerMsg::Run { wait, reply }) {
            return Err(EngineError::Unavailable("the scheduler"));
        }
        match tokio::time::timeout(RUN_TIMEOUT, answer).await {
            Ok(Ok(view)) => view,
            Ok(Err(_)) | Err(_) => Err(EngineError::Unavailable("the scheduler")),
        }
    }

    /// Runs of a job, newest first.
    pub async fn job_runs(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage<RunCompleted>, EngineError> {
        let stream = known_job(name)?.stream();
        let run = |event: Event| match event {
            Event::Job(JobEvent::RunCompleted(run)) => Some(run),
            _ => None,
        };
        self.history(&stream, before, limit, |logged| run(logged.event))
            .await
    }

    /// Figures for health and metrics.
    pub fn status(&self) -> EngineStatus {
        let (shell, inner) = (self.shell(), &self.inner);
        let tally = &shell.tally;
        let in_flight = shell.settings.commands_in_flight_max - inner.commands.available_permits();
        EngineStatus {
            ready: !inner.stopping.load(Ordering::Acquire) && shell.handles.all_up(),
            position: shell.journal.log.head().position,
            indexes: inner.registry.read().len() as u64,
            indexes_down: tally.indexes_down.get(),
            index_restarts: tally.index_restarts.get(),
            cycles: tally.cycles.get(),
            last_cycle_us: tally.last_cycle_us.get(),
            ticks_coalesced: tally.ticks_coalesced.get(),
            checks: tally.checks.get(),
            rebalances_started: tally.rebalances_started.get(),
            rebalances_completed: tally.rebalances_completed.get(),
            rebalances_cancelled: tally.rebalances_cancelled.get(),
            rebalances_failed: tally.rebalances_failed.get(),
            rebalances_stuck: tally.rebalances_stuck.get(),
            trades_executed: tally.trades_executed.get(),
            trades_failed: tally.trades_failed.get(),
            webhooks: shell.webhooks.read().len() as u64,
            deliveries_succeeded: tally.deliveries_succeeded.get(),
            deliveries_failed: tally.deliveries_failed.get(),
            commands_in_flight: in_flight as u64,
            snapshots_discarded: shell.snapshots.discarded(),
        }
    }

    /// Follows the position of the last durable event.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<evenkeel_events::Position> {
        Arc::clone(&self.shell().journal.log).watch()
    }
}

fn known_job(name: &str) -> Result<Work, EngineError> {
    Work::named(name).ok_or(EngineError::NotFound("job"))
}
