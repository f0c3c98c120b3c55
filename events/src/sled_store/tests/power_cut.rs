//! The power is cut at random moments of a concurrent load, and at every sync of a creation and
//! of a close: nothing acknowledged is lost, nothing is torn, the log opens and goes on.
//!
//! `EVENKEEL_POWER_CUTS` sets the number of moments, `EVENKEEL_SEED` the seed.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::power::World;
use super::{Dice, fill, guard, open, seeded};
use crate::contract_tests::{stream, texts, to};
use crate::log::{AppendError, EventLog, Expected, Position};
use crate::{Direction, SledLog, SledOptions, verify};

const POINTS: u64 = 100;
/// Moments per load: a store stays small, and every load begins at what a cut left.
const POINTS_PER_LOAD: u64 = 20;
const WRITERS: u64 = 16;

/// An append whose caller was told that it is durable.
#[derive(Clone)]
struct Acked {
    stream: String,
    positions: Range<Position>,
    texts: Vec<String>,
}

type Acks = Arc<Mutex<Vec<Acked>>>;

/// Appends batches of many sizes to a stream of its own until told to stop.
async fn write(log: Arc<SledLog>, writer: u64, seed: u64, acks: Acks, stop: Arc<AtomicBool>) {
    let mut dice = Dice(seed);
    let name = format!("writer-{writer}");
    let mut version = log.version(&stream(&name));
    while !stop.load(Ordering::Relaxed) {
        let (events, padding) = match dice.below(20) {
            0 => (12, 5_000),
            _ => (1 + dice.below(6), dice.below(500)),
        };
        let padding = "x".repeat(usize::try_from(padding).unwrap());
        let new: Vec<_> = (1..=events)
            .map(|n| format!("{name} {} {padding}", version + n))
            .collect();
        let parts: Vec<_> = new.iter().map(String::as_str).collect();
        let appended = log
            .append(vec![to(&name, Expected::Exact(version), &parts)])
            .await
            .unwrap();
        version += events;
        guard(&acks).push(Acked {
            stream: name.clone(),
            positions: appended.first..appended.last + 1,
            texts: new,
        });
    }
}

/// What an image must satisfy; says what it does not.
fn check(runtime: &Runtime, image: &Path, acked: &[Acked]) -> Result<(), String> {
    // What verify finds in sled's files before, opening must mend.
    verify(image, None).map_err(|e| format!("verify: {e}"))?;
    let log = SledLog::open(image, SledOptions::default()).map_err(|e| format!("open: {e}"))?;
    runtime.block_on(check_content(&log, acked))?;
    runtime.block_on(check_appends(&log))?;
    runtime.block_on(log.close()).map_err(|e| e.to_string())?;
    let report = verify(image, None).map_err(|e| format!("verify: {e}"))?;
    if report.is_clean() && report.sealed {
        Ok(())
    } else {
        Err(format!("verify after close: {:?}", report.findings))
    }
}

async fn check_content(log: &SledLog, acked: &[Acked]) -> Result<(), String> {
    let all = log.read(0, usize::MAX).await.map_err(|e| e.to_string())?;
    let gapless = all
        .iter()
        .zip(1..)
        .all(|(e, position)| e.position == position);
    if !gapless || all.len() as u64 != log.head().position {
        return Err("the positions have a hole".into());
    }
    for Acked {
        stream,
        positions,
        texts: written,
    } in acked
    {
        let bounds = (positions.start - 1, positions.end - 1);
        let (start, end) = (bounds.0.try_into().unwrap(), bounds.1.try_into().unwrap());
        let found = all.get::<Range<usize>>(start..end);
        let found = found.ok_or(format!("{positions:?} was acknowledged and is lost"))?;
        if texts(found) != *written || found.iter().any(|e| e.stream.as_str() != stream) {
            return Err(format!("{positions:?} is not what was acknowledged"));
        }
    }
    Ok(())
}

/// Every stream goes on where it stands, and only there.
async fn check_appends(log: &SledLog) -> Result<(), String> {
    for writer in 0..WRITERS {
        let name = format!("writer-{writer}");
        let version = log.version(&stream(&name));
        let read = log
            .read_stream(&stream(&name), 0, usize::MAX, Direction::Forward)
            .await
            .map_err(|e| e.to_string())?;
        if read.iter().zip(1..).any(|(event, at)| event.version != at)
            || read.len() as u64 != version
        {
            return Err(format!("{name} has a hole"));
        }
        let wrong = log
            .append(vec![to(&name, Expected::Exact(version + 1), &["wrong"])])
            .await;
        let right = log
            .append(vec![to(&name, Expected::Exact(version), &["right"])])
            .await;
        match (wrong, right) {
            (Err(AppendError::Conflict { .. }), Ok(_)) => {}
            other => return Err(format!("{name} does not go on: {other:?}")),
        }
    }
    Ok(())
}

/// Cuts the power `points` times while many write; gives what the checks found, and an image.
fn load(
    runtime: &Runtime,
    dir: &Path,
    points: u64,
    syncs: bool,
    seed: u64,
) -> (Vec<String>, TempDir) {
    let world = World::observe(dir, syncs);
    let mut dice = Dice(seed);
    let log = Arc::new(open(dir));
    let (acks, stop) = (Acks::default(), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, acks, stop) = (Arc::clone(&log), Arc::clone(&acks), Arc::clone(&stop));
        writers.spawn_on(
            write(log, writer, seed + writer, acks, stop),
            runtime.handle(),
        );
    }
    let mut watch = log.watch();
    let mut images = Vec::new();
    for _ in 0..points {
        runtime.block_on(watch.changed()).unwrap();
        // Anywhere between two commits, and in the middle of one.
        std::thread::park_timeout(Duration::from_micros(dice.below(3_000)));
        // First the acknowledgements, then the cut: what was told before it must be there.
        let told = guard(&acks).len();
        let image = tempfile::tempdir().unwrap();
        world.cut(image.path(), &mut dice);
        images.push((image, told));
    }
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(writers.join_all());
    assert!(world.syncs() > 0, "the log syncs where nobody sees it");
    let acks = guard(&acks);
    let faults = images
        .iter()
        .enumerate()
        .filter_map(|(point, (image, told))| {
            let fault = check(runtime, image.path(), &acks[..*told]).err()?;
            Some(format!("seed {seed}, point {point}: {fault}"))
        });
    let faults = faults.collect();
    (faults, images.pop().unwrap().0)
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).build().unwrap()
}

#[test]
fn a_power_cut_under_load_loses_nothing_that_was_acknowledged() {
    let (runtime, seed) = (runtime(), seeded("EVENKEEL_SEED", 20_240));
    let points = seeded("EVENKEEL_POWER_CUTS", POINTS);
    println!("EVENKEEL_SEED={seed} EVENKEEL_POWER_CUTS={points}");
    let mut dir = tempfile::tempdir().unwrap();
    for first in (0..points).step_by(usize::try_from(POINTS_PER_LOAD).unwrap()) {
        let points = POINTS_PER_LOAD.min(points - first);
        // Every third load begins anew, the others at what the cut before left.
        if (first / POINTS_PER_LOAD).is_multiple_of(3) {
            dir = tempfile::tempdir().unwrap();
        }
        let (faults, last) = load(&runtime, dir.path(), points, true, seed + first);
        assert_eq!(faults, [] as [String; 0]);
        dir = last;
    }
}

#[test]
fn without_the_sync_a_power_cut_is_seen_to_lose_acknowledged_events() {
    let (runtime, seed) = (runtime(), seeded("EVENKEEL_SEED", 20_240));
    let dir = tempfile::tempdir().unwrap();
    let (faults, _) = load(&runtime, dir.path(), 12, false, seed);
    assert!(faults.len() > 3, "the simulator does not bite: {faults:?}");
}

#[test]
fn a_power_cut_at_any_sync_of_a_creation_or_a_close_is_survived() {
    let (runtime, seed) = (runtime(), seeded("EVENKEEL_SEED", 20_240));
    println!("EVENKEEL_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let world = World::observe(dir.path(), true);
    let images: Arc<Mutex<Vec<(TempDir, Position)>>> = Arc::default();
    let (taken, acked) = (Arc::clone(&images), Arc::new(Mutex::new(0)));
    let (dice, told) = (Mutex::new(Dice(seed)), Arc::clone(&acked));
    world.at_every_sync(move |world| {
        let told = *guard(&told);
        for _ in 0..2 {
            let image = tempfile::tempdir().unwrap();
            world.cut(image.path(), &mut guard(&dice));
            guard(&taken).push((image, told));
        }
    });
    // Created, filled, closed with a seal; opened again, filled, dropped without one.
    for closes in [true, false] {
        let log = open(dir.path());
        runtime.block_on(fill(&log, 2));
        *guard(&acked) = log.head().position;
        if closes {
            runtime.block_on(log.close()).unwrap();
        }
    }
    let images = std::mem::take(&mut *guard(&images));
    assert!(images.len() > 40, "{}", images.len());
    for (at, (image, acked)) in images.iter().enumerate() {
        let log = SledLog::open(image.path(), SledOptions::default());
        let log = log.unwrap_or_else(|error| panic!("image {at}, {acked} acknowledged: {error}"));
        let head = log.head().position;
        assert!(head >= *acked, "image {at}: {head} of {acked}");
        runtime.block_on(check_appends(&log)).unwrap();
        runtime.block_on(log.close()).unwrap();
        let report = verify(image.path(), None).unwrap();
        assert_eq!(report.findings, [], "image {at}");
    }
}
