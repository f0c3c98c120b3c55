//! Data directories that earlier programs wrote: opened, verified, replayed to the same states,
//! and written on.
//!
//! A folder `tests/golden/store_v<n>` holds the files of one, compressed, and what its log replays
//! to. It is never changed: a new store format or frame format gets a folder of its own. The first
//! is a `log backup` of a short demo, the second is what a demo left that was killed: most of its
//! events stand in the journal alone.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::home::{Home, write};
use crate::log_tools::{ends_with, verified};

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let is_store = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("store_v")
    };
    let mut stores: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(is_store)
        .collect();
    stores.sort();
    stores
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = fs::File::open(path).unwrap();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

fn unpack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_stem().unwrap());
        if path.is_dir() {
            unpack(&path, &target);
        } else {
            fs::write(target, unpacked(&path)).unwrap();
        }
    }
}

/// Whether a field that was added to the states since says what an old log means by it: what
/// holds where nothing else was said, or what follows from the fields `beside` it.
fn follows(name: &str, value: &Value, beside: &Value) -> bool {
    let count = |list: &str| beside[list].as_array().map_or(0, Vec::len);
    match name {
        "mode" => *value == json!("ACTIVE"),
        "trading" => *value == json!({"mode": "ACTIVE", "reason": "", "since": null}),
        "approvalUntil" | "approval" | "band" | "maxTurnover" | "ratePerSecond" | "secret"
        | "secretBefore" => value.is_null(),
        "baseFee" | "cashBuffer" | "minTradePercent" => *value == json!("0"),
        "locked" => *value == json!(false),
        "indexes" | "tags" | "headers" | "again" => *value == json!([]),
        // It follows from how long the deliveries took that stand in the log.
        "latency" => value["totalMs"].as_u64() >= value["maxMs"].as_u64(),
        "signature" => *value == json!("v1"),
        "channel" => *value == json!("webhook"),
        "retry" => *value == json!(["2s", "4s"]),
        "cooldown" => *value == json!("0s"),
        "destination" => *value == json!({"type": "TARGET"}),
        "driftMeasure" => *value == json!("ABSOLUTE"),
        "scope" => *value == json!("INDEX"),
        // Every order was whole when a trade did not say what had been ordered.
        "ordered" => *value == beside["quantity"],
        "orders" => {
            let orders = value.as_array().map_or(&[][..], Vec::as_slice);
            let steps = orders.iter().map(|order| order["step"].as_u64());
            let ended = (1..).zip(0..count("trades") + count("failures"));
            steps.eq(ended.map(|(step, _)| Some(step)))
        }
        _ => false,
    }
}

/// Everything that was replayed then is replayed now, and what is new says nothing new.
#[track_caller]
fn says_the_same(then: &Value, now: &Value, place: &str) {
    match (then, now) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                says_the_same(value, &now[name], &format!("{place}/{name}"));
            }
            let new = now.as_object().into_iter().flatten();
            for (name, value) in new.filter(|(name, _)| !fields.contains_key(*name)) {
                let is_old_news = follows(name, value, now);
                assert!(is_old_news, "{place}/{name} was {value} to nobody");
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            assert_eq!(then.len(), now.len(), "{place}");
            for (at, (then, now)) in then.iter().zip(now).enumerate() {
                says_the_same(then, now, &format!("{place}/{at}"));
            }
        }
        (then, now) => assert_eq!(then, now, "{place}"),
    }
}

/// A home with the data of a golden store.
fn home_of(store: &Path) -> Home {
    let home = Home::new();
    for folder in ["log", "paper", "owner-keys"] {
        if store.join(folder).exists() {
            unpack(&store.join(folder), &home.data().join(folder));
        }
    }
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_that_was_ever_written_is_read_and_written_on() {
    let stores = golden();
    assert!(!stores.is_empty());
    for store in stores {
        let home = home_of(&store);
        let report = verified(&home);
        let was_closed = store.join("log/seal.gz").exists();
        assert_eq!(
            (&report["verified"], &report["sealed"]),
            (&true.into(), &was_closed.into()),
            "{report}"
        );
        let expected: Value =
            serde_json::from_slice(&unpacked(&store.join("replay.json.gz"))).unwrap();
        let replayed = home.run(&["log", "replay", "--json"]).json();
        says_the_same(&expected, &replayed, &store.display().to_string());
        // A server takes it up: the token that made it is not ours, so the demo drives it on.
        home.run(&["demo", "--cycles", "2"]).fine();
        let after = verified(&home);
        assert_eq!(after["verified"], true, "{after}");
        assert!(after["position"].as_u64() > report["position"].as_u64());
        let past = [
            "log",
            "replay",
            "--json",
            "--at",
            &report["position"].to_string(),
        ];
        assert_eq!(home.run(&past).json(), replayed);
    }
}

#[test]
fn a_newer_store_is_refused_in_words_and_left_alone() {
    let home = home_of(&golden()[0]);
    let marker = home.data().join("log").join("format");
    // The second line is the BLAKE3 hash of the first: the marker of a store from the future.
    write(
        &marker,
        "evenkeel log, store format 9\n310f0807b326ed6d1d654dd0a7d40f277c671852c99d605bcd567e86f853c324\n",
    );
    for command in [
        &["serve"][..],
        &["log", "verify"],
        &["log", "tail"],
        &["log", "replay"],
        &["log", "export"],
    ] {
        ends_with(
            &home,
            1,
            command,
            "the log has format 9, this program reads up to 2; use a newer evenkeel",
        );
    }
    write(&marker, "evenkeel log, store format 1\nnonsense\n");
    ends_with(&home, 1, &["log", "tail"], "the format marker is damaged");
}
