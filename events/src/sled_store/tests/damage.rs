//! Damage of every kind: found and named, or without effect; never a panic, never wrong data.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Dice, closed, copy_of, files, fill, killed, open};
use crate::envelope::Recorded;
use crate::log::{EventLog, Head};
use crate::sled_store::tip::{self, Tip};
use crate::{LogView, OpenError, SledLog, SledOptions, StoreSize, TipPolicy, VerifyReport, verify};

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
pub(super) async fn error_or_the_same(dir: &Path, written: &[Recorded], what: &str) -> bool {
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
    drop(log);
    let older = copy_of(dir.path());
    let log = open(dir.path());
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

fn cut_to(path: &Path, bytes: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
}

#[tokio::test]
async fn what_the_database_lacks_comes_from_the_journal() {
    let dir = killed(10).await;
    cut_to(&dir.path().join("sled/db"), 0);
    let view = LogView::open(dir.path()).unwrap();
    assert_eq!(view.last(), 30);
    let log = open(dir.path());
    assert_eq!(log.head().position, 30);
    fill(&log, 1).await;
    log.close().await.unwrap();
    assert_eq!(verify(dir.path(), None).unwrap().findings, []);
}

#[tokio::test]
async fn without_its_journal_a_killed_log_is_seen_to_lack_events() {
    let dir = killed(10).await;
    cut_to(&dir.path().join("tip"), 8192);
    let refused = SledLog::open(dir.path(), SledOptions::default()).err();
    assert!(
        matches!(refused, Some(OpenError::Damaged { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_database_that_sled_cannot_read_is_written_anew_from_its_frames() {
    let dir = killed(10).await;
    // Opened again, the journal holds the newest frames, all of which sled has flushed.
    drop(open(dir.path()));
    let dir = copy_while_open(dir.path());
    let db = dir.path().join("sled/db");
    let mut bytes = fs::read(&db).unwrap();
    bytes[64..].fill(0x5A);
    fs::write(&db, bytes).unwrap();
    let inode = fs::metadata(&db).unwrap().ino();
    let found = verify(dir.path(), None).unwrap().findings;
    assert!(!found.is_empty());
    let log = open(dir.path());
    assert_eq!(log.head().position, 30);
    assert_eq!(log.read(0, 100).await.unwrap().len(), 30);
    fill(&log, 1).await;
    log.close().await.unwrap();
    assert_ne!(fs::metadata(&db).unwrap().ino(), inode);
    assert_eq!(verify(dir.path(), None).unwrap().findings, []);
    assert!(!dir.path().join("rebuild").exists());
}

fn copy_while_open(dir: &Path) -> tempfile::TempDir {
    let _log = open(dir);
    copy_of(dir)
}

#[tokio::test]
async fn a_rebuild_that_was_interrupted_is_ended_or_begun_anew() {
    let dir = killed(10).await;
    drop(open(dir.path()));
    let rebuilt = dir.path().join("rebuild");
    // Ended: the new database is whole, the old one is gone.
    crate::backup(dir.path(), &rebuilt, &mut |_| {}).unwrap();
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let log = open(dir.path());
    assert_eq!(log.head().position, 30);
    drop(log);
    // Begun anew: there is no seal yet.
    fs::create_dir_all(rebuilt.join("sled")).unwrap();
    assert_eq!(open(dir.path()).head().position, 30);
    assert!(!rebuilt.exists());
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
    drop(open(dir.path()));
    let mut writer = tip::TipWriter::start(dir.path(), &whole, &[]).unwrap();
    writer.intend(&next).unwrap();
    writer.sync().unwrap();
    let log = open(dir.path());
    assert_eq!(log.head().position, 30);
    fill(&log, 1).await;
}

#[tokio::test]
async fn a_log_with_a_tip_at_every_nth_commit_may_be_longer_than_its_tip() {
    let dir = tempfile::tempdir().unwrap();
    let options = SledOptions {
        size: StoreSize::Large,
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
