//! What only a store on disk can get wrong: reopening, locking, damage, sharing a sync.
#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;
mod every_byte;
pub(super) mod power;
mod power_cut;
mod upkeep;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::contract_tests::{stream, texts, to};
use crate::log::Expected;
use crate::verify;

/// A seeded sequence of numbers: the same damage in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// A number from the environment, or the default: seeds, and how often something is tried.
fn seeded(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn open(dir: &Path) -> SledLog {
    SledLog::open(dir, SledOptions::default()).unwrap()
}

async fn fill(log: &SledLog, commits: u64) {
    for n in 0..commits {
        let name = format!("s{}", n % 5);
        log.append(vec![to(
            &name,
            Expected::Any,
            &["one", "two", &"x".repeat(300)],
        )])
        .await
        .unwrap();
    }
}

/// A log of 40 commits, closed.
async fn closed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 40).await;
    log.close().await.unwrap();
    dir
}

/// What a kill leaves behind: a copy of the files of a log that is open.
async fn killed(commits: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, commits).await;
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    left
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = seal::files(dir)
        .unwrap()
        .iter()
        .map(|name| dir.join(name))
        .collect();
    files.extend(
        ["lock", "seal"]
            .map(|name| dir.join(name))
            .into_iter()
            .filter(|path| path.exists()),
    );
    files
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

fn copy_of(dir: &Path) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(dir, copied.path());
    copied
}

#[tokio::test]
async fn reopening_keeps_everything_and_continues() {
    let dir = closed().await;
    let log = open(dir.path());
    let head = log.head();
    let read = log.read(0, 1_000).await.unwrap();
    assert_eq!((head.position, read.len(), log.streams()), (120, 120, 5));
    assert_eq!(log.version(&stream("s3")), 24);
    log.append(vec![to("s3", Expected::Exact(24), &["more"])])
        .await
        .unwrap();
    log.close().await.unwrap();
    let log = open(dir.path());
    assert_eq!(log.read(0, 120).await.unwrap(), read);
    assert_eq!(texts(&log.read(120, 9).await.unwrap()), ["more"]);
}

#[tokio::test]
async fn a_named_append_is_known_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let page = "x".repeat(9_000);
    // Larger than a frame, over two streams.
    let batch = || {
        let pages = [page.as_str(); 7];
        vec![
            to("a", Expected::Exact(0), &pages),
            to("b", Expected::Exact(0), &["end"]),
        ]
    };
    let log = open(dir.path());
    fill(&log, 1).await;
    let first = log.append_once(AppendId(1 << 100), batch()).await.unwrap();
    fill(&log, 3).await;
    for closes in [true, false] {
        if closes {
            log.close().await.unwrap();
        }
        let copied = copy_of(dir.path());
        let log = open(copied.path());
        let again = log.append_once(AppendId(1 << 100), batch()).await;
        assert_eq!(again.as_ref(), Ok(&first));
        assert_eq!(log.head().position, 20);
    }
}

#[tokio::test]
async fn a_log_that_is_dropped_without_close_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 10).await;
    let head = log.head();
    drop(log);
    assert_eq!(open(dir.path()).head(), head);
}

#[tokio::test]
async fn a_second_open_is_refused_with_the_pid() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let refused = SledLog::open(dir.path(), SledOptions::default())
        .err()
        .unwrap();
    assert_eq!(
        refused,
        OpenError::InUse {
            pid: std::process::id()
        }
    );
    assert!(matches!(
        verify(dir.path(), None),
        Err(crate::VerifyError::InUse { .. })
    ));
    log.close().await.unwrap();
    drop(open(dir.path()));
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let dir = closed().await;
    fs::write(dir.path().join("format"), format::text(9)).unwrap();
    let refused = SledLog::open(dir.path(), SledOptions::default())
        .err()
        .unwrap();
    assert_eq!(
        refused,
        OpenError::NewerFormat {
            found: 9,
            supported: 2
        }
    );
}

#[tokio::test]
async fn a_creation_that_was_interrupted_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().await.unwrap();
    fs::remove_file(dir.path().join("format")).unwrap();
    let log = open(dir.path());
    fill(&log, 1).await;
    assert_eq!(log.head().position, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_commits_and_a_lone_one_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(open(dir.path()));
    fill(&log, 5).await;
    assert_eq!(log.commits(), 5);
    let mut writers = JoinSet::new();
    for n in 0..500 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            log.append(vec![to(&format!("w{n}"), Expected::Exact(0), &["e"])])
                .await
                .unwrap()
        });
    }
    writers.join_all().await;
    assert!(
        log.commits() < 250,
        "500 appends took {} commits",
        log.commits() - 5
    );
}

#[tokio::test]
async fn large_commits_stay_out_of_sleds_blob_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let page = "x".repeat(crate::codec::PAYLOAD_MAX_BYTES - 1_000);
    for _ in 0..8 {
        let pages: Vec<&str> = (0..150).map(|_| page.as_str()).collect();
        log.append(vec![to("a", Expected::Any, &pages)])
            .await
            .unwrap();
    }
    log.close().await.unwrap();
    let blobs = fs::read_dir(dir.path().join("sled/blobs")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0);
    assert!(verify(dir.path(), None).unwrap().is_clean());
}

#[tokio::test]
async fn a_failed_write_closes_the_log_and_keeps_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3).await;
    // Where the next frame belongs stands something: sled is not given it.
    let foreign = log.shared.disk().as_ref().unwrap().put_foreign(10);
    assert!(foreign.is_ok());
    let append = || log.append(vec![to("a", Expected::Any, &["x"])]);
    let acknowledged = append().await.unwrap().last;
    let shared = &log.shared;
    shared.pending.wait_until_settled(|| shared.has_failed());
    let error = append().await.unwrap_err();
    assert!(matches!(error, AppendError::Closed(_)), "{error}");
    let all = log.read(0, usize::MAX).await.unwrap();
    assert_eq!(all.last().unwrap().position, acknowledged);
    assert!(log.close().await.is_err());
    drop(log);
    // The journal has it.
    let log = open(dir.path());
    assert_eq!(log.head().position, acknowledged);
    assert_eq!(log.read(0, usize::MAX).await.unwrap(), all);
    log.close().await.unwrap();
    assert!(verify(dir.path(), None).unwrap().is_clean());
}

#[tokio::test]
async fn verify_vouches_for_a_whole_log_and_leaves_it_sealed() {
    let dir = closed().await;
    for _ in 0..2 {
        let report = verify(dir.path(), None).unwrap();
        assert_eq!(
            (report.events, report.frames, report.streams, report.sealed),
            (120, 40, 5, true)
        );
        assert_eq!(report.findings, []);
    }
    assert_eq!(open(dir.path()).head().position, 120);
}

#[tokio::test]
async fn verify_leaves_an_unsealed_log_as_it_was() {
    let dir = killed(20).await;
    let before = copy_of(dir.path());
    let report = verify(dir.path(), None).unwrap();
    assert!(report.is_clean() && !report.sealed, "{report:?}");
    assert_eq!(report.events, 60);
    assert_eq!(files(dir.path()).len(), files(before.path()).len());
    for path in files(before.path()) {
        let now = dir.path().join(path.strip_prefix(before.path()).unwrap());
        assert_eq!(
            fs::read(&now).unwrap(),
            fs::read(&path).unwrap(),
            "{}",
            now.display()
        );
    }
}

#[tokio::test]
async fn verify_shows_every_event_and_reports_what_the_caller_refuses() {
    let dir = closed().await;
    let mut seen = 0;
    let mut check = |event: &Recorded| {
        seen += 1;
        if event.position == 77 {
            Err("unknown type".to_owned())
        } else {
            Ok(())
        }
    };
    let report = verify(dir.path(), Some(&mut check)).unwrap();
    assert_eq!(seen, 120);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].position, 77);
    assert!(verify(dir.path(), None).unwrap().sealed);
}

#[test]
fn a_directory_without_a_log_cannot_be_verified() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        verify(dir.path(), None),
        Err(crate::VerifyError::Io(_))
    ));
}

/// What a small store holds is read by a large one, in the small one's frames.
#[tokio::test]
async fn a_small_store_takes_small_events_and_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let small = SledOptions {
        size: StoreSize::Small,
        ..SledOptions::default()
    };
    let log = SledLog::open(dir.path(), small).unwrap();
    let append = |events: usize, bytes: usize| {
        let text = "x".repeat(bytes);
        vec![to("idx_1", Expected::Any, &vec![text.as_str(); events])]
    };
    log.append(append(200, 4_000)).await.unwrap();
    let refused = log.append(append(1, 8_000)).await;
    assert!(
        matches!(refused, Err(AppendError::Invalid(_))),
        "{refused:?}"
    );
    log.close().await.unwrap();
    drop(log);

    let log = SledLog::open(dir.path(), SledOptions::default()).unwrap();
    let refused = log.append(append(1, 8_000)).await;
    assert!(
        matches!(refused, Err(AppendError::Invalid(_))),
        "{refused:?}"
    );
    log.append(append(100, 4_000)).await.unwrap();
    assert_eq!(log.read(0, 1_000).await.unwrap().len(), 300);
    log.close().await.unwrap();
    let blobs = fs::read_dir(dir.path().join(SLED_DIR).join("blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}
