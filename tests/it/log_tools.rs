//! The tools of `evenkeel log`: each on a real data directory, by its exit code and what it says.

use std::path::Path;

use evenkeel::actors::books::INDEX_SNAPSHOT_SCHEMA;
use evenkeel::snapshots::{SledSnapshots, Snapshot, SnapshotStore as _};
use serde_json::{Value, json};

use crate::home::{Home, write};
use crate::portfolio::{eventually, push};

/// A home with a log of some days, closed.
pub fn played(cycles: &str) -> Home {
    let home = Home::new();
    home.run(&["demo", "--cycles", cycles]).fine();
    home
}

/// A home whose data directory is another one, or not there yet.
pub fn at(home: &Home, name: &str) -> Home {
    Home::new().env("EVENKEEL_DATA", text(&home.beside(name)))
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn verified(home: &Home) -> Value {
    home.run(&["log", "verify", "--json"]).json()
}

#[track_caller]
pub fn ends_with(home: &Home, code: i32, arguments: &[&str], said: &str) {
    let ended = home.run(arguments);
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    assert!(ended.stderr.contains(said), "{arguments:?}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one line: {ended:?}");
}

#[test]
fn verify_compares_every_snapshot_with_the_fold_at_its_version() {
    let home = played("5");
    let clean = verified(&home);
    assert_eq!(clean["verified"], true, "{clean}");
    assert_eq!(clean["snapshots"]["agreed"], 12, "{clean}");
    assert_eq!(clean["states"]["indexes"], 12, "{clean}");
    let replayed = home.run(&["log", "replay", "--json"]).json();
    let stream = replayed["indexes"][0]["indexId"]
        .as_str()
        .unwrap()
        .to_owned();
    let store = SledSnapshots::open(home.data().join("snapshots")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let whole = store.load(&stream, INDEX_SNAPSHOT_SCHEMA).await.unwrap();
        let old = Snapshot {
            schema: 99,
            ..whole.clone()
        };
        store.save("idx_old", old).await.unwrap();
        let mut state = whole.state.to_vec();
        *state.last_mut().unwrap() ^= 1;
        let wrong = Snapshot {
            state: state.into(),
            ..whole.clone()
        };
        store.save(&stream, wrong).await.unwrap();
        store.close().await.unwrap();
    });
    drop(store);
    let ended = home.run(&["log", "verify", "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["snapshots"]["agreed"], 11, "{report}");
    assert_eq!(report["snapshots"]["unusable"], 1, "{report}");
    assert_eq!(report["findings"][0]["log"], "snapshots", "{report}");
    assert!(
        report["findings"][0]["detail"]
            .as_str()
            .unwrap()
            .contains(&stream)
    );
    std::fs::remove_dir_all(home.data().join("snapshots")).unwrap();
    assert_eq!(verified(&home)["verified"], true);
}

#[test]
fn every_kind_of_state_is_shown_as_of_any_time_and_compared() {
    let home = played("10");
    let events = home.run(&["log", "tail"]).json_lines();
    let trade = events
        .iter()
        .find(|event| event["type"] == "trade.executed")
        .unwrap();
    let stream = trade["stream"].as_str().unwrap();
    let now = home.run(&["log", "replay", "--json"]).json();
    for kind in ["indexes", "rebalances", "webhooks", "owners", "jobs"] {
        assert!(!now[kind].as_array().unwrap().is_empty(), "{kind}");
    }
    let rebalance = &now["rebalances"][0];
    assert_eq!(rebalance["status"], "COMPLETED");
    let started = events
        .iter()
        .find(|event| event["type"] == "rebalance.started")
        .unwrap();
    let started_at = started["position"].to_string();
    let id = started["data"]["rebalanceId"].as_str().unwrap();
    let one = home
        .run(&[
            "log",
            "replay",
            "--json",
            "--at",
            &started_at,
            "--stream",
            id,
        ])
        .json();
    assert_eq!(one["states"][0]["state"]["status"], "EXECUTING", "{one}");
    assert_eq!(one["states"][0]["state"]["trades"], json!([]));
    for name in [stream, "market", "job_drift-monitor"] {
        let one = home.run(&["log", "replay", "--stream", name]).fine();
        assert!(one.starts_with("as of position"), "{one}");
    }
    ends_with(
        &home,
        1,
        &["log", "replay", "--stream", "idx_none"],
        "idx_none",
    );

    let last = events.len().to_string();
    let before = (trade["position"].as_u64().unwrap() - 1).to_string();
    let at = trade["position"].to_string();
    let diff = home.run(&["log", "diff", &before, &at, "--json"]).json();
    assert_eq!(diff["events"], json!({"trade.executed": 1}), "{diff}");
    let changed: Vec<&Value> = diff["changes"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = changed.iter().map(|change| &change["kind"]).collect();
    assert_eq!(kinds, ["index", "rebalance"], "{diff}");
    let cash = changed[0]["fields"].as_array().unwrap();
    assert!(cash.iter().any(|field| field["path"] == "cash"), "{diff}");
    let nothing = home.run(&["log", "diff", &last, &last, "--json"]).json();
    assert_eq!(nothing["changes"], json!([]));
    let told = home
        .run(&["log", "diff", "0", &last, "--stream", stream])
        .fine();
    assert!(
        told.contains("new index") && told.contains("trade.executed"),
        "{told}"
    );
    ends_with(&home, 2, &["log", "diff", "5", "3"], "later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_follows_a_running_server_past_a_restart() {
    let home = Home::new();
    let server = home.serve();
    push(&server.admin, "10", "20").await;
    let url = server.url.clone();
    let arguments = [
        "log", "tail", "--follow", "--after", "0", "--type", "prices.*", "--url", &url,
    ];
    let mut process = home.start(&arguments);
    let first = process.line("").unwrap();
    let event: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(event["type"], "prices.recorded");
    let offline = home
        .run(&["log", "tail", "--type", "prices.*"])
        .json_lines();
    assert_eq!(
        offline[0], event,
        "the files say the same while the server runs"
    );
    push(&server.admin, "11", "21").await;
    let second: Value = serde_json::from_str(&process.line("").unwrap()).unwrap();
    assert!(second["position"].as_u64() > event["position"].as_u64());
    // The same address again: what came meanwhile is not missed.
    let address = url.strip_prefix("http://").unwrap().to_owned();
    server.stop().await;
    let again = eventually("the port is free again", async || {
        let mut process = home.start(&["serve", "--listen", &address]);
        process.line("listening on ").map(|_| process)
    })
    .await;
    let token = std::fs::read_to_string(home.data().join("admin.token")).unwrap();
    let admin = crate::api::Client::new(&url, token.trim());
    push(&admin, "12", "22").await;
    let third: Value = serde_json::from_str(&process.line("").unwrap()).unwrap();
    assert!(third["position"].as_u64() > second["position"].as_u64());
    let limited = home.run(&[
        "log", "tail", "--follow", "--after", "0", "--limit", "3", "--url", &url,
    ]);
    assert_eq!(limited.json_lines().len(), 3);
    let strange = Home::new().env("EVENKEEL_TOKEN", "nobody's");
    ends_with(
        &strange,
        1,
        &["log", "tail", "--follow", "--after", "0", "--url", &url],
        "401",
    );
    again.kill();
    ends_with(
        &home,
        1,
        &["log", "tail", "--follow", "--url", "http://127.0.0.1:9"],
        "no server",
    );
    ends_with(
        &home,
        2,
        &["log", "tail", "--follow", "--url", "nonsense"],
        "not a URL",
    );
}

/// `log verify` against the signed heads in a file.
fn against<'a>(heads: &'a str, public: &'a str) -> [&'a str; 6] {
    ["log", "verify", "--head", heads, "--key", public.trim()]
}

#[tokio::test]
async fn a_server_signs_heads_on_its_schedule() {
    let home = Home::new();
    let (key, heads) = (home.beside("key"), home.beside("heads"));
    let public = home.run(&["log", "key", &text(&key)]).fine();
    let home = home
        .env("EVENKEEL_HEADS_KEY", text(&key))
        .env("EVENKEEL_HEADS_FILE", text(&heads))
        .env("EVENKEEL_HEADS_EVERY", "1s");
    let server = home.serve();
    let lines = async |count: usize| {
        eventually("a signed head", async || {
            let text = std::fs::read_to_string(&heads).unwrap_or_default();
            (text.lines().count() >= count).then_some(())
        })
        .await;
    };
    lines(1).await;
    server.admin.owner("ann").await;
    lines(2).await;
    server.stop().await;
    let heads_text = text(&heads);
    let check = against(&heads_text, &public);
    let said = home.run(&check).fine();
    assert!(said.contains("signed heads"), "{said}");
    let wrong = home.env("EVENKEEL_HEADS_KEY", text(&heads));
    ends_with(&wrong, 2, &["serve"], "heads.key");
}

#[test]
fn a_signed_head_tells_whether_history_was_rewritten() {
    let home = played("3");
    let (key, heads) = (home.beside("key"), home.beside("heads"));
    let public = home.run(&["log", "key", &text(&key)]).fine();
    ends_with(&home, 2, &["log", "key", &text(&key)], "key");
    let signed = |home: &Home| home.run(&["log", "head", "--sign", &text(&key)]).fine();
    let first = signed(&home);
    home.run(&["demo", "--cycles", "2"]).fine();
    write(&heads, &format!("{first}{}", signed(&home)));
    let heads_text = text(&heads);
    let check = against(&heads_text, &public);
    let said = home.run(&check).fine();
    assert!(said.contains("2 signed heads"), "{said}");
    // History after the first head is written anew: the second one is not met.
    let end = serde_json::from_str::<Value>(&first).unwrap()["position"].to_string();
    home.run(&["log", "truncate", "--after", &end]).fine();
    let shorter = home.run(&check);
    assert_eq!(shorter.code, Some(1), "{shorter:?}");
    home.run(&["demo", "--cycles", "3"]).fine();
    let other = home.run(&check);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stdout.contains("rewritten"), "{other:?}");
    write(&heads, &first.replacen(&end, "1", 1));
    ends_with(&home, 1, &check, "signature");
    write(&heads, "nonsense");
    ends_with(&home, 2, &check, "line 1");
    ends_with(
        &home,
        2,
        &["log", "head", "--sign", &text(&heads)],
        "no ed25519 key",
    );
}

#[test]
fn an_event_is_inspected_and_the_log_is_counted() {
    let home = played("3");
    let events = home.run(&["log", "tail"]).json_lines();
    let seventh = home.run(&["log", "inspect", "7", "--json"]).json();
    for field in ["position", "stream", "version", "type", "at", "by", "data"] {
        assert_eq!(seventh[field], events[6][field]);
    }
    let shown = home.run(&["log", "inspect", "7"]).fine();
    assert!(
        shown.contains(seventh["frame"]["hash"].as_str().unwrap()),
        "{shown}"
    );
    assert!(shown.contains("00000000  "), "{shown}");
    let stats = home.run(&["log", "stats", "--json"]).json();
    assert_eq!(stats["events"], events.len());
    let sum: u64 = stats["types"]
        .as_object()
        .unwrap()
        .values()
        .map(|of_type| of_type["events"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, events.len() as u64);
    assert_eq!(stats["firstAt"], events[0]["at"]);
    assert_eq!(stats["hash"], verified(&home)["hash"]);
    assert!(
        home.run(&["log", "stats"])
            .fine()
            .contains("trade.executed")
    );
    home.run(&["log", "inspect", "1", "--of", "paper"]).fine();
    ends_with(&home, 1, &["log", "inspect", "999999"], "ends at");
    for arguments in [
        &["log", "stats"][..],
        &["log", "export"],
        &["log", "head"],
        &["log", "inspect", "1"],
        &["log", "truncate", "--after", "1"],
    ] {
        ends_with(&Home::new(), 1, arguments, "no log");
    }
}
