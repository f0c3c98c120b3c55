//! `/api/jobs`: schedules, runs by hand, history.

use evenkeel_actors::engine::RunView;
use evenkeel_domain::access::Scope;
use evenkeel_domain::job::{Job, Pattern, RunCompleted, Timezone};
use evenkeel_domain::schedule::Schedule;
use evenkeel_domain::values::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::Api;
use crate::http::fields::{Fields, boolean, required_text};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// How many of its next times a job tells.
const NEXT_TOLD: usize = 5;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let one = "/api/jobs/{name}";
    vec![
        Row::needs(Scope::Read, Method::GET, "/api/jobs", list),
        Row::needs(Scope::Read, Method::GET, one, load),
        Row::needs(Scope::Jobs, Method::PUT, one, change),
        Row::needs(Scope::Jobs, Method::POST, "/api/jobs/{name}/run", run),
        Row::needs(Scope::Read, Method::GET, "/api/jobs/{name}/runs", runs),
    ]
}

/// A job as JSON, with its next times and what is odd about its schedule.
fn body(job: &Job, now: Timestamp) -> Value {
    let schedule = Schedule::new(job.schedule.as_str(), job.timezone.as_str(), now).ok();
    let next = schedule.as_ref().filter(|_| job.enabled);
    json!({
        "name": job.name,
        "schedule": job.schedule,
        "timezone": job.timezone,
        "enabled": job.enabled,
        "next": next.map_or_else(Vec::new, |schedule| upcoming(schedule, now)),
        "warning": schedule.and_then(|schedule| schedule.warning()),
        "runs": job.runs,
        "lastRun": job.last_run.as_ref().map(run_body),
        "scheduledAt": job.scheduled_at,
    })
}

fn upcoming(schedule: &Schedule, now: Timestamp) -> Vec<Timestamp> {
    std::iter::successors(schedule.next_after(now), |at| schedule.next_after(*at))
        .take(NEXT_TOLD)
        .collect()
}

fn run_body(run: &RunCompleted) -> Value {
    json!({
        "runId": run.run_id,
        "trigger": run.trigger,
        "status": if run.error.is_some() { "FAILED" } else { "COMPLETED" },
        "checked": run.summary.checked,
        "drifted": run.summary.drifted,
        "exceeded": run.summary.exceeded,
        "rebalancesStarted": run.summary.rebalances_started,
        "skipped": run.summary.skipped,
        "failed": run.summary.failed,
        "coalesced": run.coalesced,
        "error": run.error,
        "durationMs": run.duration_ms,
        "startedAt": run.started_at,
        "endedAt": run.at,
    })
}

fn name_of(call: &Call) -> &str {
    call.params.first().map_or("", String::as_str)
}

async fn find(api: &Api, name: &str) -> Result<Job, Problem> {
    let jobs = api.engine.jobs().await?;
    let found = jobs.into_iter().find(|job| job.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found("job"))
}

async fn list(api: Api, mut call: Call) -> Answer {
    let (after, limit) = call.query.page::<String>()?;
    call.query.finish()?;
    let mut jobs = api.engine.jobs().await?;
    jobs.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    jobs.retain(|job| {
        after
            .as_deref()
            .is_none_or(|after| job.name.as_str() > after)
    });
    let next = jobs.get(limit).and_then(|_| jobs.get(limit - 1));
    let now = api.clock.now();
    reply::ok(&Page {
        next: next.map(|job| job.name.to_string()),
        items: jobs.iter().take(limit).map(|job| body(job, now)).collect(),
    })
}

async fn load(api: Api, call: Call) -> Answer {
    let job = find(&api, name_of(&call)).await?;
    reply::ok(&body(&job, api.clock.now()))
}

/// What is missing stays as it is.
async fn change(api: Api, call: Call) -> Answer {
    let job = find(&api, name_of(&call)).await?;
    let mut fields = Fields::of(&call.body)?;
    let schedule: Option<Pattern> = fields.optional("schedule", required_text);
    let timezone: Option<Timezone> = fields.optional("timezone", required_text);
    let enabled = fields.optional("enabled", boolean).unwrap_or(job.enabled);
    fields.finish()?;
    let schedule = schedule.unwrap_or(job.schedule);
    let timezone = timezone.unwrap_or(job.timezone);
    let now = api.clock.now();
    Schedule::new(schedule.as_str(), timezone.as_str(), now)?;
    let job = api
        .engine
        .schedule_job(&call.caller, job.name, schedule, timezone, enabled)
        .await?;
    reply::ok(&body(&job, now))
}

async fn run(api: Api, mut call: Call) -> Answer {
    let wait = call.query.switch("wait")?;
    std::mem::take(&mut call.query).finish()?;
    Fields::of(&call.body)?.finish()?;
    let view = api
        .engine
        .run_job(&call.caller, name_of(&call), wait)
        .await?;
    let status = if view.ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    reply::json(status, &started(&view))
}

fn started(view: &RunView) -> Value {
    let status = match (view.ended, &view.error) {
        (false, _) => "RUNNING",
        (true, None) => "COMPLETED",
        (true, Some(_)) => "FAILED",
    };
    json!({
        "runId": view.run_id,
        "status": status,
        "checked": view.summary.checked,
        "drifted": view.summary.drifted,
        "exceeded": view.summary.exceeded,
        "rebalancesStarted": view.summary.rebalances_started,
        "skipped": view.summary.skipped,
        "failed": view.summary.failed,
        "error": view.error,
        "durationMs": view.duration_ms,
    })
}

async fn runs(api: Api, mut call: Call) -> Answer {
    let (before, limit) = call.query.page()?;
    std::mem::take(&mut call.query).finish()?;
    let page = api.engine.job_runs(name_of(&call), before, limit).await?;
    reply::ok(&Page {
        items: page.items.iter().map(run_body).collect(),
        next: page.next.map(|version| version.to_string()),
    })
}
