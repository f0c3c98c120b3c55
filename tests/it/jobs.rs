//! The drift monitor over HTTP, from the environment, and after downtime.

use std::sync::Arc;

use evenkeel::Engine;
use evenkeel::actors::ports::VenueAccount;
use evenkeel::domain::plan::Side;
use evenkeel::time::{ReplayClock, SystemClock};
use evenkeel::venues::{Faults, PaperSettings, PaperVenue};
use evenkeel_events::{EventLog as _, SledLog, SledOptions};
use serde_json::{Value, json};

use crate::home::Home;
use crate::portfolio::{constructed, cycle, eventually};

const JOB: &str = "/api/jobs/drift-monitor";

#[tokio::test]
async fn a_job_is_shown_changed_and_run_by_hand_also_when_it_is_disabled() {
    let home = Home::new();
    let server = home.serve();
    let admin = &server.admin;
    let job = admin.get(JOB).await.fine();
    assert_eq!(
        (&job["schedule"], &job["enabled"]),
        (&json!("*/5 * * * *"), &json!(true))
    );
    let names = admin.all("/api/jobs").await;
    let names: Vec<&Value> = names.iter().map(|job| &job["name"]).collect();
    assert_eq!(names, ["drift-monitor", "reconciliation"]);
    let change = json!({"schedule": "30 2 * * 1-5", "timezone": "Europe/Berlin", "enabled": false});
    let job = admin.put(JOB, change).await.fine();
    assert_eq!(
        (&job["timezone"], &job["next"]),
        (&json!("Europe/Berlin"), &json!([]))
    );
    constructed(admin, "DRIFT").await;
    let run = cycle(admin).await;
    assert_eq!(run["checked"], 1);
    let runs = admin.all(&format!("{JOB}/runs")).await;
    assert_eq!(runs[0]["runId"], run["runId"]);
    assert_eq!(runs[0]["trigger"], "MANUAL");
    let begun = admin.post_empty(&format!("{JOB}/run")).await;
    assert_eq!(begun.status, 202);
    for schedule in ["* * * * * *", "60 * * * *", "invalid", "0 0 31 2 *", ""] {
        let told = admin.put(JOB, json!({"schedule": schedule})).await;
        let code = if schedule.is_empty() {
            "validation_failed"
        } else {
            "schedule_invalid"
        };
        told.refused(422, code);
    }
    let told = admin.put(JOB, json!({"timezone": "Mars/Olympus"})).await;
    told.refused(422, "schedule_invalid");
    admin
        .get("/api/jobs/nothing")
        .await
        .refused(404, "not_found");
    assert_eq!(admin.get(JOB).await.fine()["schedule"], "30 2 * * 1-5");
    server.stop().await;
    // A change over the API is not undone by a restart.
    let server = home.serve();
    let job = server.admin.get(JOB).await.fine();
    assert_eq!(
        (&job["schedule"], &job["enabled"]),
        (&json!("30 2 * * 1-5"), &json!(false))
    );
    server.stop().await;
}

#[tokio::test]
async fn the_environment_sets_schedule_and_switch() {
    for (value, enabled) in [
        ("false", false),
        ("0", false),
        ("no", false),
        ("1", true),
        ("TRUE", true),
    ] {
        let home = Home::new()
            .env("DRIFT_MONITOR_ENABLED", value)
            .env("DRIFT_MONITOR_SCHEDULE", "0 9 * * 1-5");
        let server = home.serve();
        let job = server.admin.get(JOB).await.fine();
        assert_eq!(
            (&job["enabled"], &job["schedule"]),
            (&json!(enabled), &json!("0 9 * * 1-5")),
            "{value}"
        );
        cycle(&server.admin).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn times_that_came_while_the_process_was_down_are_one_run_at_start() {
    let home = Home::new();
    // The data as they were left in January: days of five-minute times have come since.
    let clock = ReplayClock::starting_at("2026-01-05T09:31:00Z".parse().unwrap());
    let engine = Engine::builder().data(home.data()).clock(Arc::new(clock));
    engine.open().await.unwrap().close().await.unwrap();

    // Set otherwise the schedule would be new, and a new schedule has missed nothing.
    let server = home.serve();
    let runs = eventually("the run at start", async || {
        let runs: Vec<Value> = server.admin.all(&format!("{JOB}/runs")).await;
        (!runs.is_empty()).then_some(runs)
    })
    .await;
    let caught_up = |runs: &[Value]| {
        runs.iter()
            .filter(|run| run["trigger"] == "CATCHUP")
            .count()
    };
    assert_eq!(caught_up(&runs), 1, "{runs:?}");
    cycle(&server.admin).await;
    let runs = server.admin.all(&format!("{JOB}/runs")).await;
    assert_eq!(caught_up(&runs), 1, "{runs:?}");
    assert!(runs.len() <= 3, "one per missed time: {runs:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_trade_by_hand_at_the_paper_venue_is_found_at_the_next_start_and_told() {
    let home = Home::new();
    let server = home.serve();
    let path = constructed(&server.admin, "DRIFT").await;
    server.stop().await;
    sell_by_hand(&home, path.trim_start_matches("/api/indexes/")).await;

    let server = home.serve();
    let found = eventually("the correction", async || {
        let events = server.admin.all(&format!("{path}/events")).await;
        events
            .into_iter()
            .find(|event| event["type"] == "index.reconciled")
    })
    .await;
    let line = json!({"asset": "A", "before": "50", "after": "49"});
    assert_eq!(found["data"]["holdings"], json!([line]), "{found}");
    assert_eq!(found["data"]["cashAfter"], "7", "{found}");
    let index = server.admin.get(&path).await.fine();
    assert_eq!(index["cash"], "7", "{index}");
    let job = "/api/jobs/reconciliation";
    let run = server
        .admin
        .post_empty(&format!("{job}/run?wait=true"))
        .await;
    let run = run.fine();
    assert_eq!((&run["checked"], &run["drifted"]), (&json!(1), &json!(0)));
    let runs = server.admin.all(&format!("{job}/runs")).await;
    let of_start = |run: &&Value| run["trigger"] == "CATCHUP" && run["drifted"] == 1;
    assert!(runs.iter().any(|run| of_start(&run)), "{runs:?}");
    server.stop().await;
}

/// Sells one unit of a stopped server's index at 7, behind its back.
async fn sell_by_hand(home: &Home, id: &str) {
    let log = SledLog::open(home.data().join("paper"), SledOptions::default()).unwrap();
    let log = Arc::new(log);
    let (settings, clock) = (PaperSettings::default(), Arc::new(SystemClock));
    let venue = PaperVenue::open(log.clone(), settings, Faults::none(), clock);
    let account = VenueAccount(id.parse().unwrap());
    let (asset, one, price) = ("A".parse(), "1".parse(), "7".parse());
    let (asset, one, price) = (asset.unwrap(), one.unwrap(), price.unwrap());
    let sold = venue.await.unwrap();
    sold.trade_by_hand(account, Side::Sell, asset, one, price)
        .await
        .unwrap();
    log.close().await.unwrap();
}

#[tokio::test]
async fn runs_by_hand_at_once_each_get_an_answer() {
    let home = Home::new();
    let server = home.serve();
    constructed(&server.admin, "DRIFT").await;
    let runs = (0..10).map(|_| cycle(&server.admin));
    for run in futures_util::future::join_all(runs).await {
        assert_eq!(run["checked"], 1, "{run}");
    }
    server.stop().await;
}
