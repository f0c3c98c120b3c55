//! Orderly stops: exit code 0 and a sealed log, whatever is going on.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::home::Home;
use crate::inbox::Inbox;
use crate::portfolio::{constructed, created, halves, push};

#[tokio::test]
async fn both_signals_stop_a_server_at_work_and_seal_its_log() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::with_local_webhooks();
        let server = home.serve();
        let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
        let hook = json!({"url": inbox.url("/hook"), "events": ["*"]});
        owner.post("/api/webhooks", hook).await.fine();
        let mut stream = owner
            .request("GET", "/api/events/stream", &[])
            .send()
            .await
            .unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        push(&owner, "100", "100").await;
        for _ in 0..30 {
            let path = created(&owner, halves("DRIFT")).await;
            let deposit = json!({"amount": "10000"});
            owner.post(&format!("{path}/deposit"), deposit).await.fine();
        }
        push(&owner, "130", "100").await;
        let run = "/api/jobs/drift-monitor/run";
        owner.post_empty(run).await.fine();
        // The receiver falls silent in the middle of it all.
        inbox.answer(503);
        let said = server.process.said();
        let status = server.process.signal(signal).await;
        assert_eq!(status.code(), Some(0), "{said}");
        // The stream has ended, not broken off in the middle of an event.
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = stream.chunk().await {
            text.extend_from_slice(&chunk);
        }
        assert!(
            text.ends_with(b"\n\n"),
            "{:?}",
            String::from_utf8_lossy(&text)
        );
        let verified = home.run(&["log", "verify", "--json"]).json();
        assert_eq!(verified["sealed"], true, "{verified}");
        comes_up_and_ends_what_it_began(&home).await;
    }
}

/// What was cut at a step boundary is carried to its end by the next process.
async fn comes_up_and_ends_what_it_began(home: &Home) {
    let server = home.serve();
    crate::portfolio::eventually("the end of open rebalances", async || {
        let indexes = server.admin.all("/api/indexes").await;
        let at_rest = |index: &Value| index["activeRebalanceId"].is_null();
        (indexes.len() == 30 && indexes.iter().all(at_rest)).then_some(())
    })
    .await;
    server.stop().await;
    home.run(&["log", "verify"]).fine();
}

#[tokio::test]
async fn a_signal_while_the_server_starts_stops_it_orderly() {
    let home = Home::new();
    let server = home.serve();
    constructed(&server.admin, "DRIFT").await;
    server.stop().await;
    let mut process = home.start(&["serve"]);
    process.line("listening on ").unwrap();
    assert_eq!(process.signal(Signal::TERM).await.code(), Some(0));
    home.run(&["log", "verify"]).fine();
}

#[tokio::test]
async fn the_log_of_a_killed_server_is_whole_though_not_sealed() {
    let home = Home::new();
    let server = home.serve();
    let admin = server.admin.clone();
    let path = constructed(&admin, "DRIFT").await;
    let before = admin.get(&path).await.fine();
    server.process.kill();
    let verified = home.run(&["log", "verify", "--json"]).json();
    assert_eq!(
        (&verified["verified"], &verified["sealed"]),
        (&json!(true), &json!(false))
    );
    let server = home.serve();
    assert_eq!(server.admin.get(&path).await.fine(), before);
    server.stop().await;
}
