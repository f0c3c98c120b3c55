//! The audit over a long log: every figure is of one run over the same data directory.
//!
//! ```text
//! a demo of some days ─► its events again and again, in streams of their own ─► N events ─► timed
//! ```
//! `cargo bench --bench audit -- 2000000` takes as many events; the default is 200,000, and
//! `-- --json` prints one JSON object per figure. The bare file is the log's own files, read plainly
//! in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark ends where its expectation does, and measures time"
)]

mod figure;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use evenkeel::actors::books::{Books, Until};
use evenkeel::actors::catalogue::TYPES;
use evenkeel::audit::copies::copy_data;
use evenkeel::audit::past::books_at;
use evenkeel::audit::stats::stats;
use evenkeel::audit::verify_data;
use evenkeel::engine::DataDirectory;
use evenkeel::events::{
    EventLog as _, Expected, LogView, NewEvent, Recorded, SledLog, SledOptions, StreamAppend,
    StreamId,
};

use figure::{Against, Figure, memory_bytes};

/// Events per commit: what a busy server comes to.
const COMMIT_EVENTS: usize = 64;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let wanted: usize = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(200_000);
    let folder = tempfile::tempdir().unwrap();
    let source = demo(folder.path());
    let data = DataDirectory::new(folder.path().join("long"));
    std::fs::create_dir_all(data.path()).unwrap();
    fill(&data, &source, wanted);
    let time = |what: &str, work: &dyn Fn()| {
        let bare = seconds(|| figure::read_plainly(&data.log()));
        let took = seconds(work);
        let figure = Figure {
            name: format!("{what}, {wanted} events"),
            value: wanted as f64 / took,
            unit: "events/s",
            against: Against::Bare(wanted as f64 / bare),
            rate: true,
        };
        figure.print(json);
    };
    time("log verify", &|| {
        let verdict = verify_data(&data).unwrap();
        let found: Vec<_> = verdict.findings().take(3).collect();
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(verdict.log.events, wanted as u64);
    });
    time("log stats", &|| {
        stats(&data.log(), &mut |_| {}).unwrap();
    });
    time("log replay", &|| {
        let books: Books = books_at(&data, Until::Head).unwrap();
        assert_eq!(books.position, wanted as u64);
    });
    time("log backup", &|| {
        let copy = DataDirectory::new(folder.path().join("copy"));
        copy_data(&data, &copy, &mut |_| {}).unwrap();
    });
    let peak = Figure {
        name: "memory at the peak".into(),
        value: memory_bytes("VmHWM") as f64 / f64::from(1 << 20),
        unit: "MiB",
        against: Against::Nothing,
        rate: false,
    };
    peak.print(json);
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The events of a demo.
fn demo(folder: &Path) -> Vec<Recorded> {
    let data = folder.join("demo");
    let played = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["demo", "--cycles", "120"])
        .env("EVENKEEL_DATA", &data)
        .output()
        .unwrap();
    assert!(played.status.success(), "{played:?}");
    let mut view = LogView::open(DataDirectory::new(data).log()).unwrap();
    view.read(0, usize::MAX).unwrap()
}

/// Appends the events again and again, each time to streams of other names.
fn fill(data: &DataDirectory, source: &[Recorded], wanted: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let log = SledLog::open(data.log(), SledOptions::default()).unwrap();
        let rounds = (0usize..).flat_map(|round| source.iter().map(move |event| (round, event)));
        let events: Vec<_> = rounds.take(wanted).collect();
        for commit in events.chunks(COMMIT_EVENTS) {
            let mut streams: BTreeMap<StreamId, Vec<NewEvent>> = BTreeMap::new();
            for (round, event) in commit {
                let name = renamed(&event.stream, *round);
                streams.entry(name).or_default().push(new(event));
            }
            let batch = streams.into_iter().map(|(stream, events)| StreamAppend {
                stream,
                expected: Expected::Any,
                events,
            });
            log.append(batch.collect()).await.unwrap();
        }
        log.close().await.unwrap();
    });
}

/// An id's last digits are the round; a stream of the system keeps its name.
fn renamed(stream: &StreamId, round: usize) -> StreamId {
    let name = stream.as_str();
    if name.len() < 36 {
        return stream.clone();
    }
    StreamId::new(format!("{}{round:06x}", &name[..name.len() - 6])).unwrap()
}

fn new(event: &Recorded) -> NewEvent {
    let (event_type, _) = TYPES
        .iter()
        .find(|(name, _)| **name == *event.event_type)
        .unwrap();
    NewEvent {
        event_type,
        payload_version: event.payload_version,
        payload: event.payload.clone(),
        metadata: event.metadata.clone(),
    }
}
