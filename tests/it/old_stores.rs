//! Data directories that earlier programs wrote: opened, verified, replayed to the same states,
//! and written on.
//!
//! A folder `tests/golden/store_v<n>` holds the files of one, compressed, and what its log replays
//! to. It is made by `log backup` of a short demo and never changed: a new store format or frame
//! format gets a folder of its own.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

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

/// A home with the data of a golden store.
fn home_of(store: &Path) -> Home {
    let home = Home::new();
    for log in ["log", "paper"] {
        unpack(&store.join(log), &home.data().join(log));
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
        assert_eq!(
            (&report["verified"], &report["sealed"]),
            (&true.into(), &true.into()),
            "{report}"
        );
        let expected: Value =
            serde_json::from_slice(&unpacked(&store.join("replay.json.gz"))).unwrap();
        let replayed = home.run(&["log", "replay", "--json"]).json();
        assert_eq!(replayed, expected, "{}", store.display());
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
        assert_eq!(home.run(&past).json(), expected);
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
            "the log has format 9, this program reads up to 1; use a newer evenkeel",
        );
    }
    write(&marker, "evenkeel log, store format 1\nnonsense\n");
    ends_with(&home, 1, &["log", "tail"], "the format marker is damaged");
}
