//! What the tools promise: looking changes nothing, a copy is a log, nothing intact is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{closed, copy_of, files, fill, killed, open};
use crate::contract_tests::to;
use crate::envelope::Recorded;
use crate::frame::find_frames;
use crate::log::{EventLog, Expected, Head};
use crate::{
    AppendId, LogImport, LogView, SledLog, SledOptions, UpkeepError, backup, salvage, truncate,
    verify, verify_heads,
};

async fn events_of(dir: &Path) -> Vec<Recorded> {
    let log = open(dir);
    let events = log.read(0, 10_000).await.unwrap();
    log.close().await.unwrap();
    events
}

fn damage_frame(dir: &Path, first: u64) {
    let path = dir.join("sled/db");
    let mut raw = fs::read(&path).unwrap();
    for frame in find_frames(&Bytes::from(raw.clone())) {
        if frame.first == first {
            raw[frame.offset + 70] ^= 1;
        }
    }
    fs::write(path, raw).unwrap();
}

#[tokio::test]
async fn a_view_shows_what_the_log_holds_and_changes_no_byte() {
    for dir in [closed().await, killed(40).await] {
        let before: Vec<_> = files(dir.path())
            .iter()
            .map(|p| fs::read(p).unwrap())
            .collect();
        let mut view = LogView::open(dir.path()).unwrap();
        let seen = view.read(0, 1_000).unwrap();
        assert_eq!((view.last(), view.frame_count()), (120, 40));
        assert_eq!(view.read(70, 5).unwrap(), seen[70..75]);
        assert_eq!(view.read(120, 5).unwrap(), []);
        assert_eq!(view.frame(62).unwrap().unwrap().first(), 61);
        let after: Vec<_> = files(dir.path())
            .iter()
            .map(|p| fs::read(p).unwrap())
            .collect();
        assert_eq!(before, after);
        assert_eq!(events_of(dir.path()).await, seen);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_and_both_backups_of_a_log_that_is_written_are_prefixes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(open(dir.path()));
    fill(&log, 50).await;
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for _ in 0..1_500 {
                log.append(vec![to("w", Expected::Any, &["x".repeat(2_000).as_str()])])
                    .await
                    .unwrap();
            }
        })
    };
    let mut copies = Vec::new();
    while !writer.is_finished() {
        let known = log.head();
        let target = tempfile::tempdir().unwrap();
        let from = dir.path().to_owned();
        let to = target.path().join("raw");
        let raw = tokio::task::spawn_blocking(move || backup(from, to, &mut |_| {}))
            .await
            .unwrap()
            .unwrap();
        let own = log.backup(target.path().join("own")).await.unwrap();
        assert!(raw.position >= known.position && own.position >= raw.position);
        copies.push(target);
    }
    writer.await.unwrap();
    let all = log.read(0, 10_000).await.unwrap();
    for target in copies.iter().take(4).chain(copies.last()) {
        for name in ["raw", "own"] {
            let copy = target.path().join(name);
            let report = verify(&copy, None).unwrap();
            assert!(report.is_clean() && report.sealed, "{report:?}");
            let events = events_of(&copy).await;
            assert_eq!(events, all[..events.len()]);
        }
    }
    let last = log.backup(dir.path().join("sled")).await.unwrap_err();
    assert!(matches!(last, UpkeepError::TargetNotEmpty(_)), "{last}");
}

#[tokio::test]
async fn a_view_of_a_damaged_log_is_an_error_that_names_the_position() {
    let dir = closed().await;
    damage_frame(dir.path(), 61);
    let error = LogView::open(dir.path()).unwrap_err();
    let UpkeepError::Damaged { position, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(position, 61);
    let target = tempfile::tempdir().unwrap();
    assert!(backup(dir.path(), target.path(), &mut |_| {}).is_err());
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn salvage_keeps_every_intact_frame_and_names_what_is_missing() {
    let dir = closed().await;
    let written = events_of(copy_of(dir.path()).path()).await;
    for first in [31, 34, 91] {
        damage_frame(dir.path(), first);
    }
    let before: Vec<_> = files(dir.path())
        .iter()
        .map(|p| fs::read(p).unwrap())
        .collect();
    let target = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    let report = salvage(dir.path(), target.path(), &mut |_, frame| {
        kept.extend(frame.events().unwrap());
        Ok(())
    })
    .unwrap();
    let missing: Vec<_> = report.missing.iter().map(|s| (s.first, s.last)).collect();
    assert_eq!(missing, [(31, 36), (91, 93)]);
    let runs: Vec<_> = report
        .runs
        .iter()
        .map(|r| (r.span.first, r.span.last))
        .collect();
    assert_eq!(runs, [(37, 90), (94, 120)]);
    assert_eq!(report.head.position, 30);
    assert!(!report.is_whole() && !report.broken.is_empty());
    assert_eq!(kept, [&written[36..90], &written[93..]].concat());
    assert!(verify(target.path(), None).unwrap().is_clean());
    assert_eq!(events_of(target.path()).await, written[..30]);
    let after: Vec<_> = files(dir.path())
        .iter()
        .map(|p| fs::read(p).unwrap())
        .collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn salvage_of_a_whole_log_is_the_log_also_when_sled_cannot_open_it() {
    let dir = closed().await;
    let written = events_of(copy_of(dir.path()).path()).await;
    fs::remove_file(dir.path().join("sled/conf")).unwrap();
    fs::remove_file(dir.path().join("format")).unwrap();
    let target = tempfile::tempdir().unwrap();
    let report = salvage(dir.path(), target.path().join("new"), &mut |_, _| Ok(())).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(events_of(&target.path().join("new")).await, written);
    let again = salvage(dir.path(), target.path(), &mut |_, _| Ok(())).unwrap_err();
    assert!(matches!(again, UpkeepError::TargetNotEmpty(_)));
}

#[tokio::test]
async fn a_lost_tail_is_missing_up_to_the_acknowledged_head() {
    let dir = closed().await;
    for first in [115, 118] {
        damage_frame(dir.path(), first);
    }
    let target = tempfile::tempdir().unwrap();
    let report = salvage(dir.path(), target.path(), &mut |_, _| Ok(())).unwrap();
    let missing: Vec<_> = report.missing.iter().map(|s| (s.first, s.last)).collect();
    assert_eq!((report.head.position, missing), (114, vec![(115, 120)]));
}

#[tokio::test]
async fn a_cut_log_opens_verifies_and_takes_appends_and_the_cut_part_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::rename(closed().await.keep(), &path).unwrap();
    let written = events_of(&path).await;
    damage_frame(&path, 61);
    // A refused open costs nothing: sled, which cuts its file at a damage, is not let near.
    assert!(SledLog::open(&path, SledOptions::default()).is_err());
    let done = truncate(&path, 1_000, &mut |_| Ok(())).unwrap();
    assert_eq!(
        (done.head.position, done.before.unwrap().position),
        (60, 120)
    );
    let report = verify(&path, None).unwrap();
    assert!(report.is_clean() && report.sealed, "{report:?}");
    let log = open(&path);
    assert_eq!(log.read(0, 1_000).await.unwrap(), written[..60]);
    log.append(vec![to("s0", Expected::Exact(12), &["more"])])
        .await
        .unwrap();
    log.close().await.unwrap();
    assert!(verify(&path, None).unwrap().is_clean());
    // What was cut is all there: salvage gets it out of the folder.
    let aside = done.aside.unwrap();
    assert_eq!(aside, dir.path().join("log.cut-after-60"));
    let mut kept = Vec::new();
    let report = salvage(&aside, dir.path().join("out"), &mut |_, frame| {
        kept.extend(frame.events().unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(kept, written[63..]);
}

#[tokio::test]
async fn a_cut_falls_on_a_commit_and_a_whole_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::rename(closed().await.keep(), &path).unwrap();
    let before: Vec<_> = files(&path).iter().map(|p| fs::read(p).unwrap()).collect();
    assert_eq!(truncate(&path, 120, &mut |_| Ok(())).unwrap().aside, None);
    let after: Vec<_> = files(&path).iter().map(|p| fs::read(p).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(
        truncate(&path, 100, &mut |_| Ok(())).unwrap().head.position,
        99
    );
    assert_eq!(
        truncate(&path, 0, &mut |_| Ok(())).unwrap().head.position,
        0
    );
    assert!(verify(&path, None).unwrap().is_clean());
    let log = open(&path);
    fill(&log, 1).await;
    let refused = truncate(&path, 0, &mut |_| Ok(())).unwrap_err();
    assert_eq!(
        refused,
        UpkeepError::InUse {
            pid: std::process::id()
        }
    );
}

#[tokio::test]
async fn a_cut_at_the_end_heals_bytes_that_changed_where_no_read_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::rename(closed().await.keep(), &path).unwrap();
    fs::write(path.join("sled/stray"), "x").unwrap();
    assert!(!verify(&path, None).unwrap().is_clean());
    assert_eq!(
        truncate(&path, 120, &mut |_| Ok(())).unwrap().head.position,
        120
    );
    assert!(verify(&path, None).unwrap().is_clean());
}

fn import(
    view: &mut LogView,
    to: &Path,
    change: impl Fn(&mut Recorded),
) -> Result<Head, UpkeepError> {
    let mut import = LogImport::create(to)?;
    for frame in view.frames(0) {
        let frame = frame?;
        let mut events = frame.events()?;
        events.iter_mut().for_each(&change);
        let named = frame.named_appends()?;
        import.frame(&events, &named, frame.frames_left(), frame.head().hash)?;
    }
    import.finish()
}

#[tokio::test]
async fn an_import_is_the_same_log_and_a_changed_event_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = open(&path);
    fill(&log, 40).await;
    let page = "x".repeat(20_000);
    let pages: Vec<&str> = (0..5).map(|_| page.as_str()).collect();
    log.append(vec![to("a", Expected::Any, &pages)])
        .await
        .unwrap();
    let once = || log.append_once(AppendId(7), vec![to("b", Expected::Any, &["x", "y"])]);
    let made = once().await.unwrap();
    let head = log.head();
    log.close().await.unwrap();
    let mut view = LogView::open(&path).unwrap();
    let imported = dir.path().join("imported");
    assert_eq!(import(&mut view, &imported, |_| {}).unwrap(), head);
    assert_eq!(events_of(&imported).await, events_of(&path).await);
    assert!(verify(&imported, None).unwrap().is_clean());
    let log = open(&imported);
    let again = log.append_once(AppendId(7), vec![to("b", Expected::Any, &["x", "y"])]);
    assert_eq!(again.await, Ok(made), "the name is known, too");
    log.close().await.unwrap();
    let changed = |event: &mut Recorded| {
        if event.position == 77 {
            event.metadata.recorded_at_us += 1;
        }
    };
    let other = dir.path().join("other");
    let refused = import(&mut view, &other, changed).unwrap_err();
    assert!(
        matches!(refused, UpkeepError::Refused { position: 76, .. }),
        "{refused}"
    );
    assert!(!other.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever is done to the file: what salvage gives is what was written, at its place.
    #[test]
    fn salvage_never_gives_wrong_data(hits in prop::collection::vec((0.0f64..1.0, 1u8..=255), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = runtime.block_on(closed());
        let mut view = LogView::open(dir.path()).unwrap();
        let written = view.read(0, 1_000).unwrap();
        let path = dir.path().join("sled/db");
        let mut raw = fs::read(&path).unwrap();
        for (share, mask) in hits {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small file")]
            let at = (share * raw.len() as f64) as usize;
            raw[at] ^= mask;
        }
        fs::write(&path, raw).unwrap();
        let target = tempfile::tempdir().unwrap();
        let mut kept = Vec::new();
        let report = salvage(dir.path(), target.path(), &mut |_, frame| {
            kept.extend(frame.events().unwrap());
            Ok(())
        }).unwrap();
        let at = |position: u64| usize::try_from(position).unwrap();
        let salvaged = LogView::open(target.path()).unwrap().read(0, 1_000).unwrap();
        prop_assert_eq!(&salvaged, &written[..at(report.head.position)]);
        for event in &kept {
            prop_assert_eq!(event, &written[at(event.position - 1)]);
        }
        let gone: u64 = report.missing.iter().map(|span| span.last - span.first + 1).sum();
        prop_assert_eq!(salvaged.len() + kept.len() + at(gone), written.len());
    }
}

#[tokio::test]
async fn a_log_passes_every_head_it_had_and_no_other() {
    let dir = closed().await;
    let mut view = LogView::open(dir.path()).unwrap();
    let heads: Vec<Head> = view.frames(0).map(|frame| frame.unwrap().head()).collect();
    let clean = verify_heads(dir.path(), None, &heads).unwrap();
    assert_eq!(clean.findings, []);
    let other = |position, hash| verify_heads(dir.path(), None, &[Head { position, hash }]);
    for (position, hash) in [(60, [9; 32]), (59, heads[19].hash), (150, [9; 32])] {
        let report = other(position, hash).unwrap();
        assert_eq!(report.findings.len(), 1, "{position}");
        assert_eq!(report.findings[0].position, position.min(121));
    }
}
