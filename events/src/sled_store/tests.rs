//! What only a store on disk can get wrong: reopening, locking, damage, sharing a sync.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::tip::Tip;
use super::*;
use crate::contract_tests::{stream, texts, to};
use crate::log::Expected;
use crate::{VerifyReport, verify};

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
            supported: 1
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
    let page = "x".repeat(60_000);
    for _ in 0..8 {
        let pages: Vec<&str> = (0..60).map(|_| page.as_str()).collect();
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
    // The frame that the next append would write stands there already: the store refuses.
    let foreign = log.shared.disk().as_ref().unwrap().put_foreign(10);
    assert!(foreign.is_ok());
    let error = log
        .append(vec![to("a", Expected::Any, &["x"])])
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Store(_)), "{error}");
    let error = log
        .append(vec![to("a", Expected::Any, &["x"])])
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Closed(_)), "{error}");
    assert_eq!(log.read(0, 100).await.unwrap().len(), 9);
    assert!(log.close().await.is_err());
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

fn report_after(dir: &Path, what: &str) -> VerifyReport {
    let report = verify(dir, None).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!report.is_clean(), "{what} was not found");
    assert!(
        report
            .findings
            .iter()
            .all(|finding| (1..=121).contains(&finding.position)),
        "{what}: {report:?}"
    );
    report
}

#[tokio::test]
async fn every_flipped_byte_of_a_closed_log_is_reported() {
    let dir = closed().await;
    let mut dice = Dice(1);
    for path in files(dir.path()) {
        let original = fs::read(&path).unwrap();
        let samples = (original.len() as u64).min(120);
        for _ in 0..samples {
            let at = dice.below(original.len() as u64);
            let mut bytes = original.clone();
            bytes[usize::try_from(at).unwrap()] ^= 1 << dice.below(8);
            fs::write(&path, &bytes).unwrap();
            report_after(dir.path(), &format!("byte {at} of {}", path.display()));
        }
        fs::write(&path, &original).unwrap();
    }
    assert!(verify(dir.path(), None).unwrap().is_clean());
}

#[tokio::test]
async fn the_finding_names_the_position_of_the_frame_that_was_hit() {
    let dir = closed().await;
    let path = dir.path().join("sled/db");
    let original = fs::read(&path).unwrap();
    let frames = crate::frame::find_frames(&bytes::Bytes::from(original.clone()));
    // Frames that have one copy in the file only: the log ends before them.
    let single = |first| frames.iter().filter(|frame| frame.first == first).count() == 1;
    for frame in frames.iter().filter(|frame| single(frame.first)) {
        let mut bytes = original.clone();
        bytes[frame.offset + 70] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let report = report_after(dir.path(), "a frame");
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.position == frame.first),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn truncations_missing_files_and_zeroed_blocks_of_a_closed_log_are_reported() {
    let dir = closed().await;
    let mut dice = Dice(2);
    for path in files(dir.path())
        .into_iter()
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
    {
        let original = fs::read(&path).unwrap();
        let len = original.len() as u64;
        for _ in 0..20 {
            let cut = usize::try_from(dice.below(len)).unwrap();
            fs::write(&path, &original[..cut]).unwrap();
            report_after(dir.path(), &format!("{} cut to {cut}", path.display()));
        }
        for _ in 0..20 {
            let at = usize::try_from(dice.below(len)).unwrap() / 4096 * 4096;
            let mut bytes = original.clone();
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
            if bytes != original {
                fs::write(&path, &bytes).unwrap();
                report_after(dir.path(), &format!("{} zeroed at {at}", path.display()));
            }
        }
        if path.file_name().unwrap() != "seal" && path.file_name().unwrap() != "lock" {
            fs::remove_file(&path).unwrap();
            report_after(dir.path(), &format!("{} missing", path.display()));
        }
        fs::write(&path, &original).unwrap();
    }
}

/// Opens what may be damaged: an error, or exactly what was written.
async fn error_or_the_same(dir: &Path, written: &[Recorded], what: &str) -> bool {
    let Ok(log) = SledLog::open(dir, SledOptions::default()) else {
        return false;
    };
    match log.read(0, usize::MAX).await {
        Ok(read) => assert_eq!(read, written, "{what}: wrong data"),
        Err(_) => return false,
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_damage_is_an_error_or_without_effect() {
    let left = killed(30).await;
    let whole = copy_of(left.path());
    let written = open(whole.path()).read(0, 1_000).await.unwrap();
    assert_eq!(written.len(), 90);
    let mut dice = Dice(3);
    let mut unharmed = 0;
    for round in 0..200 {
        let copied = copy_of(left.path());
        let candidates: Vec<_> = files(copied.path())
            .into_iter()
            .filter(|path| path.file_name().unwrap() != "lock")
            .collect();
        // Half of the rounds hit the database, the others any file.
        let picked = usize::try_from(dice.below(candidates.len() as u64)).unwrap();
        let path = if round % 2 == 0 {
            copied.path().join("sled/db")
        } else {
            candidates[picked].clone()
        };
        let mut bytes = fs::read(&path).unwrap();
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        let what = format!(
            "round {round}, {} at {at}",
            path.strip_prefix(copied.path()).unwrap().display()
        );
        match round % 3 {
            0 => bytes.truncate(at),
            1 => {
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => bytes[at] ^= 1 << dice.below(8),
        }
        fs::write(&path, bytes).unwrap();
        // Verify looks at a copy and must agree with what opening finds.
        let verified = verify(copied.path(), None).is_ok_and(|report| report.is_clean());
        let same = error_or_the_same(copied.path(), &written, &what).await;
        assert!(
            same || !verified,
            "{what}: verify found nothing, opening failed"
        );
        unharmed += u32::from(same);
    }
    assert!(
        unharmed < 200,
        "no damage had any effect: the test does not bite"
    );
}

#[tokio::test]
async fn a_lost_tail_is_found_by_the_tip_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 10).await;
    let older = copy_of(dir.path());
    fill(&log, 2).await;
    drop(log);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    fs::rename(older.path().join("sled"), dir.path().join("sled")).unwrap();
    let OpenError::Damaged { position, detail } = SledLog::open(dir.path(), SledOptions::default())
        .err()
        .unwrap()
    else {
        panic!("a lost tail was not found");
    };
    assert_eq!(position, 31);
    assert!(detail.contains("36"), "{detail}");
    assert_eq!(verify(dir.path(), None).unwrap().findings[0].position, 31);
}

#[tokio::test]
async fn a_commit_that_was_intended_and_never_acknowledged_may_be_missing() {
    let dir = killed(10).await;
    let next = Head {
        position: 33,
        hash: [1; 32],
    };
    let whole = Tip::read(dir.path())
        .unwrap()
        .unwrap()
        .acknowledged
        .unwrap();
    let mut writer = tip::TipWriter::start(dir.path(), &whole).unwrap();
    writer.intend(next).unwrap();
    writer.intended().unwrap();
    writer.sync().unwrap();
    let log = open(dir.path());
    assert_eq!(log.head().position, 30);
    fill(&log, 1).await;
}

#[tokio::test]
async fn a_log_with_a_tip_at_every_nth_commit_may_be_longer_than_its_tip() {
    let dir = tempfile::tempdir().unwrap();
    let options = SledOptions {
        tip: TipPolicy::EveryN(NonZeroU32::new(4).unwrap()),
    };
    let log = SledLog::open(dir.path(), options).unwrap();
    fill(&log, 10).await;
    let left = copy_of(dir.path());
    assert_eq!(
        Tip::read(left.path())
            .unwrap()
            .unwrap()
            .acknowledged
            .unwrap()
            .position,
        24
    );
    assert_eq!(open(left.path()).head().position, 30);
}

#[tokio::test]
async fn one_damaged_slot_of_the_tip_is_survived_and_reported() {
    let dir = killed(4).await;
    let path = dir.path().join("tip");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().findings.len(), 1);
    assert_eq!(open(dir.path()).head().position, 12);
    assert!(
        verify(dir.path(), None).unwrap().is_clean(),
        "opening repairs the tip"
    );
}

#[test]
fn a_directory_without_a_log_cannot_be_verified() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        verify(dir.path(), None),
        Err(crate::VerifyError::Io(_))
    ));
}
