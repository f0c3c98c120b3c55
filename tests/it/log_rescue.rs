//! Copies and rescue by `evenkeel log`: backup and restore, export and import, salvage and cuts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::home::{Home, write};
use crate::log_tools::{at, ends_with, played, text, verified};
use crate::portfolio::push;

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

/// Where the frame of the first trade begins, and its hash.
fn frame_of_first_trade(home: &Home, events: &[Value]) -> (u64, Vec<u8>) {
    let first_trade = events
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
    (frame["first"].as_u64().unwrap(), bytes)
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
    let (first, hash) = frame_of_first_trade(&home, &before);
    // The hash at the end of the frame stands in the next frame too, as the one before it: both go.
    damage(&home.stored_log(), &hash);
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
