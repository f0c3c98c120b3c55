//! The tools of `evenkeel log`: each on a real data directory, by its exit code and what it says.

use std::path::{Path, PathBuf};

use evenkeel::snapshots::{SledSnapshots, Snapshot, SnapshotStore as _};
use serde_json::{Value, json};

use crate::home::{Home, write};
use crate::portfolio::{eventually, push};

/// A home with a log of some days, closed.
fn played(cycles: &str) -> Home {
    let home = Home::new();
    home.run(&["demo", "--cycles", cycles]).fine();
    home
}

/// A home whose data directory is another one, or not there yet.
fn at(home: &Home, name: &str) -> Home {
    Home::new().env("EVENKEEL_DATA", text(&home.beside(name)))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn verified(home: &Home) -> Value {
    home.run(&["log", "verify", "--json"]).json()
}

#[track_caller]
fn ends_with(home: &Home, code: i32, arguments: &[&str], said: &str) {
    let ended = home.run(arguments);
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    assert!(ended.stderr.contains(said), "{arguments:?}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one line: {ended:?}");
}

/// Breaks every copy of the frame that holds this text first.
fn damage(db: &Path, text: &[u8]) {
    let mut bytes = std::fs::read(db).unwrap();
    let places: Vec<usize> = (0..bytes.len() - text.len())
        .filter(|at| bytes[*at..].starts_with(text))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(db, bytes).unwrap();
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
        let whole = store.load(&stream, 1).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_the_server_writes_is_restored_and_serves() {
    let home = Home::new();
    let server = home.serve();
    let mut prices = 10;
    let mut pushed = async || {
        prices += 1;
        push(&server.admin, &prices.to_string(), "20").await;
    };
    pushed().await;
    let known = home.run(&["log", "head", "--json"]).json()["position"].clone();
    let backup = home.beside("backup");
    let copying = {
        let (mut command, to) = (home.command(&["log", "backup"]), backup.clone());
        tokio::task::spawn_blocking(move || command.arg(to).output().unwrap())
    };
    while !copying.is_finished() {
        pushed().await;
    }
    let ended = copying.await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    server.stop().await;
    let restored = at(&home, "restored");
    restored.run(&["log", "restore", &text(&backup)]).fine();
    let copy = verified(&restored);
    assert_eq!(
        (&copy["verified"], &copy["sealed"]),
        (&json!(true), &json!(true))
    );
    assert!(copy["position"].as_u64() >= known.as_u64(), "{copy}");
    let at_position = copy["position"].to_string();
    let replay = |home: &Home, at: &str| home.run(&["log", "replay", "--json", "--at", at]).json();
    assert_eq!(replay(&restored, &at_position), replay(&home, &at_position));
    ends_with(
        &restored,
        2,
        &["log", "restore", &text(&backup)],
        "not empty",
    );
    ends_with(&home, 2, &["log", "backup", &text(&backup)], "not empty");
    ends_with(
        &at(&home, "other"),
        1,
        &["log", "restore", "nowhere"],
        "no log",
    );
    let keys = ["webhook.key", "admin.token"].map(|name| std::fs::read(backup.join(name)).unwrap());
    let kept = ["webhook.key", "admin.token"]
        .map(|name| std::fs::read(home.beside("restored").join(name)).unwrap());
    assert_eq!(keys, kept);
    let mut process = restored.start(&["serve"]);
    assert!(
        process.line("listening on ").is_some(),
        "{}",
        process.said()
    );
}

#[test]
fn what_is_intact_of_a_damaged_log_is_salvaged_or_kept_by_a_cut() {
    let home = played("5");
    let before = home.run(&["log", "tail"]).json_lines();
    let replayed = |home: &Home| home.run(&["log", "replay", "--json"]).json();
    let first_trade = before
        .iter()
        .find(|event| event["type"] == "trade.executed");
    let trade = first_trade.unwrap()["position"].as_u64().unwrap();
    let frame = home
        .run(&["log", "inspect", &trade.to_string(), "--json"])
        .json()["frame"]
        .clone();
    let hash = frame["hash"].as_str().unwrap();
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    // The hash at the end of the frame stands in the next frame too, as the one before it: both go.
    damage(&home.stored_log(), &bytes);
    let first = frame["first"].as_u64().unwrap();
    ends_with(&home, 1, &["log", "tail"], &format!("position {first}"));

    let target = home.beside("salvaged");
    let ended = home.run(&[
        "log",
        "salvage",
        &text(&home.data()),
        &text(&target),
        "--json",
    ]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let log = &report["logs"][0];
    assert_eq!(log["position"], first - 1, "{report}");
    assert_eq!(log["missing"][0]["first"], first, "{report}");
    let missing = log["missing"][0]["last"].as_u64().unwrap();
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.last().unwrap()["last"], before.len(), "{report}");
    let lines = kept_lines(&target.join("log.beyond"));
    let wanted = &before[usize::try_from(missing).unwrap()..];
    assert_eq!(lines.len(), wanted.len());
    for (line, event) in lines.iter().zip(wanted) {
        assert_eq!(line["data"], event["data"]);
    }
    let salvaged = at(&home, "salvaged");
    assert_eq!(verified(&salvaged)["verified"], true);
    assert!(target.join("salvage.json").is_file() && target.join("webhook.key").is_file());
    ends_with(
        &home,
        2,
        &["log", "salvage", &text(&home.data()), &text(&target)],
        "not empty",
    );

    let said = home.run(&["log", "truncate", "--after", "1000000"]).fine();
    assert!(
        said.contains(&format!("ends at position {} now", first - 1)),
        "{said}"
    );
    assert_eq!(verified(&home)["verified"], true);
    assert_eq!(replayed(&home), replayed(&salvaged));
    let aside = home.data().join(format!("log.cut-after-{}", first - 1));
    assert!(aside.join("snapshots").is_dir() && !home.data().join("snapshots").exists());
    let mut process = home.start(&["serve"]);
    assert!(
        process.line("listening on ").is_some(),
        "{}",
        process.said()
    );
    let pid = format!("in use by process {}", process.id());
    ends_with(&home, 1, &["log", "truncate", "--after", "5"], &pid);
    ends_with(&home, 1, &["log", "verify"], &pid);
}

/// The exported lines of all runs that were kept, by position.
fn kept_lines(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    let mut lines: Vec<Value> = files
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let parse = |line| serde_json::from_str(line).unwrap();
            text.lines().map(parse).collect::<Vec<Value>>()
        })
        .collect();
    lines.sort_by_key(|line| line["position"].as_u64());
    lines
}

#[test]
fn an_exported_log_is_imported_with_the_same_hashes_or_not_at_all() {
    let home = played("4");
    let exported = home.run(&["log", "export"]).fine();
    let file = home.beside("log.jsonl");
    write(&file, &exported);
    let imported = at(&home, "imported");
    imported.run(&["log", "import", &text(&file)]).fine();
    let (ours, theirs) = (verified(&home), verified(&imported));
    assert_eq!(theirs["verified"], true, "{theirs}");
    for field in ["position", "hash", "streams"] {
        assert_eq!(ours[field], theirs[field]);
    }
    assert_eq!(ours["paper"]["hash"], theirs["paper"]["hash"]);
    let replay = |home: &Home| home.run(&["log", "replay", "--json"]).json();
    assert_eq!(replay(&home), replay(&imported));
    assert_eq!(imported.run(&["log", "export"]).fine(), exported);
    ends_with(&imported, 2, &["log", "import", &text(&file)], "not empty");
    ends_with(&imported, 2, &["log", "import", "nowhere"], "nowhere");

    let lines: Vec<&str> = exported.lines().collect();
    let changed = exported.replacen("\"by\":\"own", "\"by\":\"owl", 1);
    let (cut, swapped) = (
        lines[..lines.len() / 2].join("\n"),
        [lines[1], lines[0]].join("\n"),
    );
    for (what, said) in [
        (changed, "were changed"),
        (cut, "line"),
        (swapped, "line"),
        ("{}".into(), "line 1"),
    ] {
        assert!(what != exported, "{said}");
        write(&file, &what);
        let refused = at(&home, "refused");
        ends_with(&refused, 1, &["log", "import", &text(&file)], said);
        assert!(!home.beside("refused").join("log").exists());
    }
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
    let check = [
        "log",
        "verify",
        "--head",
        &text(&heads),
        "--key",
        public.trim(),
    ];
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
