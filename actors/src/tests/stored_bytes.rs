//! Stored bytes are readable for ever: `tests/golden/` holds samples of every layout ever written.
//!
//! A file is named after its type and payload version. Each sample is two lines: the bytes in
//! hexadecimal, and the JSON that they mean. A sample never changes and is never removed; a new
//! payload version brings a new file (`log inspect` shows the bytes of an event of a real log).

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel_domain::index::Index;
use evenkeel_events::codec;
use serde_json::Value;

use crate::catalogue::{self, CatalogueError, TYPES};
use crate::index::SNAPSHOT_SCHEMA;

/// A type and payload version with its samples: bytes, and the JSON that they mean.
type Samples = BTreeMap<(String, u16), Vec<(Vec<u8>, Value)>>;

fn golden(of: &str) -> Samples {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let files = std::fs::read_dir(folder.join(of)).unwrap();
    files
        .map(|file| file.unwrap().path())
        .map(|path| (named(&path), samples(&path)))
        .collect()
}

/// `trade.executed.v1.txt` is version 1 of `trade.executed`.
fn named(path: &Path) -> (String, u16) {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let (name, version) = stem.rsplit_once(".v").unwrap();
    (name.to_owned(), version.parse().unwrap())
}

fn samples(path: &Path) -> Vec<(Vec<u8>, Value)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks(2).map(|pair| match pair {
        [hex, json] => (from_hex(hex), serde_json::from_str(json).unwrap()),
        _ => panic!("{}: a sample is two lines", path.display()),
    });
    pairs.collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_type_that_can_be_written_has_samples_of_its_version() {
    let golden = golden("events");
    for (event_type, version) in TYPES {
        let samples = golden.get(&((*event_type).to_owned(), *version));
        assert!(
            samples.is_some_and(|samples| !samples.is_empty()),
            "{event_type} v{version} has no sample in tests/golden/events"
        );
    }
}

#[test]
fn every_sample_means_today_what_it_meant_when_it_was_written() {
    for ((event_type, version), samples) in golden("events") {
        for (bytes, json) in samples {
            let event = catalogue::decode(&event_type, version, &bytes)
                .unwrap_or_else(|error| panic!("{event_type} v{version}: {error}"));
            let read = catalogue::to_json(&event);
            // What an upcast adds stands not in the sample; all that stands there means the same.
            let is_current = catalogue::type_of(&event) == (event_type.as_str(), version);
            let same = if is_current {
                read == json
            } else {
                means(&read, &json)
            };
            assert!(
                same,
                "{event_type} v{version} reads differently now, {read} for {json}: give the new \
                 layout a new version"
            );
        }
    }
}

/// Whether all of a sample is in what was read.
fn means(read: &Value, sample: &Value) -> bool {
    match (read, sample) {
        (Value::Object(read), Value::Object(sample)) => sample
            .iter()
            .all(|(key, sample)| read.get(key).is_some_and(|read| means(read, sample))),
        (Value::Array(read), Value::Array(sample)) => {
            read.len() == sample.len() && read.iter().zip(sample).all(|(r, s)| means(r, s))
        }
        (read, sample) => read == sample,
    }
}

#[test]
fn what_is_written_today_are_the_bytes_of_its_version() {
    for ((event_type, version), samples) in golden("events") {
        for (bytes, _) in samples {
            let event = catalogue::decode(&event_type, version, &bytes).unwrap();
            // An older version is upcast when it is read, and never written again.
            if catalogue::type_of(&event) == (event_type.as_str(), version) {
                assert_eq!(
                    catalogue::encode(&event).unwrap(),
                    bytes,
                    "{event_type} v{version} is written differently now: give the new layout a new version"
                );
            }
        }
    }
}

#[test]
fn a_type_or_version_of_a_newer_program_is_named() {
    let unknown = |event_type: &str, payload_version| {
        let error = catalogue::decode(event_type, payload_version, &[]).unwrap_err();
        assert!(matches!(error, CatalogueError::Unknown { .. }), "{error}");
        assert!(error.to_string().contains(event_type), "{error}");
    };
    unknown("index.split", 1);
    unknown("trade.executed", 999);
}

#[test]
fn a_snapshot_of_an_index_is_read_back_or_its_schema_is_another() {
    let golden = golden("states");
    let samples = &golden[&("index".to_owned(), SNAPSHOT_SCHEMA)];
    for (bytes, json) in samples {
        let index: Index = codec::decode(bytes).unwrap();
        assert_eq!(
            &serde_json::to_value(&index).unwrap(),
            json,
            "the layout of an index's snapshot has changed: raise SNAPSHOT_SCHEMA"
        );
        assert_eq!(&codec::encode(&index).unwrap(), bytes);
    }
}
