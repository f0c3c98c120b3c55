//! A writer process is killed at random moments: what it was told is there, and the log goes on.
//!
//! The test binary runs itself as the writer. `EVENKEEL_KILLS` sets how many kills,
//! `EVENKEEL_SEED` the seed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_events::{
    AppendError, Causation, EventLog, Expected, Metadata, NewEvent, OpenError, OwnerKey, SledLog,
    SledOptions, StreamAppend, StreamId, verify,
};
use tokio::runtime::Runtime;

const KILLS: u64 = 24;
const WRITERS: [u64; 3] = [1, 8, 64];
const DIR_VARIABLE: &str = "EVENKEEL_KILL_DIR";
const WRITERS_VARIABLE: &str = "EVENKEEL_KILL_WRITERS";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The next number of a seeded sequence, below `limit`.
fn roll(state: &mut u64, limit: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % limit
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).build().unwrap()
}

fn part(name: &str, expected: u64, text: &str) -> StreamAppend {
    let event = NewEvent {
        event_type: "test.happened",
        payload_version: 1,
        payload: Bytes::copy_from_slice(text.as_bytes()),
        metadata: Metadata {
            owner: OwnerKey(7),
            by: Arc::from("system"),
            cause: Causation::default(),
            recorded_at_us: 0,
        },
    };
    StreamAppend {
        stream: StreamId::new(name).unwrap(),
        expected: Expected::Exact(expected),
        events: vec![event],
    }
}

/// The writer: appends until it is killed, and says what it was told.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn writer() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else {
        return;
    };
    let log = Arc::new(SledLog::open(dir, SledOptions::default()).unwrap());
    assert!(say("open"));
    runtime().block_on(async {
        let write = |writer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let name = format!("writer-{writer}");
                let mut version = log.version(&StreamId::new(&name).unwrap());
                let mut is_heard = true;
                while is_heard {
                    let text = format!("{name} {}", version + 1);
                    let appended = log.append(vec![part(&name, version, &text)]).await.unwrap();
                    version += 1;
                    is_heard = say(&format!("acked {} {text}", appended.last));
                }
            })
        };
        let writers: Vec<_> = (0..number(WRITERS_VARIABLE, 1)).map(write).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

/// One line, whole, at once: past the test harness, which would keep it. False when nobody listens.
fn say(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(format!("\n{line}\n").as_bytes());
    written.and_then(|()| out.flush()).is_ok()
}

/// A running writer.
struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(dir: &Path, writers: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .env(WRITERS_VARIABLE, writers.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until the log is open.
    fn wait_open(&mut self) {
        assert!(self.lines.any(|line| line.unwrap() == "open"));
    }

    /// Reads some acknowledgements, waits a little more, kills, reads what is left in the pipe.
    fn kill_after(mut self, acks: u64, then: Duration) -> HashMap<u64, String> {
        let mut told = HashMap::new();
        let mut take = |line: String| {
            if let Some((position, text)) =
                line.strip_prefix("acked ").and_then(|l| l.split_once(' '))
            {
                told.insert(position.parse().unwrap(), text.to_owned());
            }
        };
        for line in self
            .lines
            .by_ref()
            .map(Result::unwrap)
            .filter(|line| !line.is_empty())
            .take(usize::try_from(acks).unwrap())
        {
            take(line);
        }
        std::thread::park_timeout(then);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // The last line may be cut short: half a text would pass for a whole one.
        let rest: Vec<_> = self.lines.by_ref().map_while(Result::ok).collect();
        rest.into_iter().rev().skip(1).for_each(take);
        told
    }
}

/// A failed test leaves no writer behind. The second kill of a dead process does nothing.
impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens what a kill left: everything told is there, nothing has a hole, the log goes on.
fn check(runtime: &Runtime, dir: &Path, told: &HashMap<u64, String>, writers: u64) -> usize {
    assert!(verify(dir, None).unwrap().is_clean());
    let log = SledLog::open(dir, SledOptions::default()).unwrap();
    let events = runtime.block_on(log.read(0, usize::MAX)).unwrap();
    let gapless = events
        .iter()
        .zip(1..)
        .all(|(event, position)| event.position == position);
    assert!(gapless && events.len() as u64 == log.head().position);
    for (position, text) in told {
        let event = &events[usize::try_from(position - 1).unwrap()];
        assert_eq!(event.payload, text.as_bytes(), "position {position}");
    }
    runtime.block_on(async {
        for name in (0..writers).map(|writer| format!("writer-{writer}")) {
            let version = log.version(&StreamId::new(&name).unwrap());
            let wrong = log.append(vec![part(&name, version + 1, "wrong")]).await;
            assert!(
                matches!(wrong, Err(AppendError::Conflict { .. })),
                "{wrong:?}"
            );
            let text = format!("{name} {}", version + 1);
            log.append(vec![part(&name, version, &text)]).await.unwrap();
        }
        log.close().await.unwrap();
    });
    events.len()
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let (kills, seed) = (
        number("EVENKEEL_KILLS", KILLS),
        number("EVENKEEL_SEED", 20_240),
    );
    println!("EVENKEEL_SEED={seed} EVENKEEL_KILLS={kills}");
    let (runtime, mut state) = (runtime(), seed);
    for writers in WRITERS {
        let dir = tempfile::tempdir().unwrap();
        let mut told = HashMap::new();
        for kill in 0..kills.div_ceil(WRITERS.len() as u64) {
            let mut victim = Victim::start(dir.path(), writers);
            // Now and then in the middle of opening, else under load.
            let (acks, then) = if kill % 6 == 5 {
                (0, roll(&mut state, 20_000))
            } else {
                victim.wait_open();
                (roll(&mut state, 40 * writers), roll(&mut state, 5_000))
            };
            told.extend(victim.kill_after(acks, Duration::from_micros(then)));
            let found = check(&runtime, dir.path(), &told, writers);
            println!(
                "{writers} writers, kill {kill}: {} told, {found} found",
                told.len()
            );
        }
        assert!(
            told.len() > 50,
            "the kills came before the work: {}",
            told.len()
        );
    }
}

#[test]
fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut victim = Victim::start(dir.path(), 1);
    victim.wait_open();
    let refused = SledLog::open(dir.path(), SledOptions::default()).err();
    let pid = victim.child.id();
    assert_eq!(refused, Some(OpenError::InUse { pid }));
    victim.kill_after(0, Duration::ZERO);
    assert!(SledLog::open(dir.path(), SledOptions::default()).is_ok());
}
