//! Every byte of a small log, and 200 damages of a large one: reported, or without effect.

use std::fs;
use std::path::Path;

use super::damage::error_or_the_same;
use super::{Dice, copy_of, files, fill, open};
use crate::log::EventLog;
use crate::verify;

/// The unsealed log is opened for every byte at this stride: opening costs more than verifying.
const OPENED_STRIDE: usize = 13;
const LARGE_COMMITS: u64 = 1_500;

#[tokio::test]
async fn every_single_byte_of_a_small_sealed_log_is_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3).await;
    log.close().await.unwrap();
    drop(log);
    let mut dice = Dice(11);
    let mut flipped = 0;
    for path in files(dir.path()) {
        let original = fs::read(&path).unwrap();
        let mut bytes = original.clone();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << dice.below(8);
            fs::write(&path, &bytes).unwrap();
            let report = verify(dir.path(), None);
            let report = report.unwrap_or_else(|e| panic!("byte {at} of {}: {e}", path.display()));
            assert!(!report.is_clean(), "byte {at} of {}", path.display());
            bytes[at] = original[at];
            flipped += 1;
        }
        fs::write(&path, &original).unwrap();
    }
    assert!(flipped > 6_000, "{flipped}");
    assert!(verify(dir.path(), None).unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_of_a_small_unsealed_log_is_an_error_or_without_effect() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, 3).await;
    drop(log);
    let written = open(copy_of(dir.path()).path()).read(0, 100).await.unwrap();
    let mut dice = Dice(12);
    for path in files(dir.path()) {
        let original = fs::read(&path).unwrap();
        // A different remainder in each file.
        let first = usize::try_from(dice.below(OPENED_STRIDE as u64)).unwrap();
        for at in (first..original.len()).step_by(OPENED_STRIDE) {
            let copied = copy_of(dir.path());
            let target = copied.path().join(path.strip_prefix(dir.path()).unwrap());
            let mut bytes = original.clone();
            bytes[at] ^= 1 << dice.below(8);
            fs::write(target, bytes).unwrap();
            let what = format!("byte {at} of {}", path.display());
            let verified = verify(copied.path(), None).is_ok_and(|report| report.is_clean());
            let same = error_or_the_same(copied.path(), &written, &what).await;
            assert!(same || !verified, "{what}: verify found nothing");
        }
    }
}

/// Flips a bit, cuts, or zeroes a block; whether anything changed.
fn harm(path: &Path, kind: u64, dice: &mut Dice) -> bool {
    let original = fs::read(path).unwrap();
    let mut bytes = original.clone();
    let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
    match kind {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.truncate(at),
        _ => {
            let start = at / 4096 * 4096;
            let end = (start + 4096).min(bytes.len());
            bytes[start..end].fill(0);
        }
    }
    fs::write(path, &bytes).unwrap();
    bytes != original
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_damages_of_a_large_log_are_reported_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, LARGE_COMMITS).await;
    let written = log.read(0, usize::MAX).await.unwrap();
    log.close().await.unwrap();
    drop(log);
    let mut dice = Dice(13);
    let (mut reported, mut refused) = (0, 0);
    for round in 0..200 {
        let copied = copy_of(dir.path());
        let what = format!("round {round}");
        if !harm(&copied.path().join("sled/db"), round % 3, &mut dice) {
            continue;
        }
        let report = verify(copied.path(), None).unwrap();
        assert!(!report.is_clean(), "{what} was not found");
        let known = 1..=written.len() as u64 + 1;
        assert!(
            report
                .findings
                .iter()
                .all(|found| known.contains(&found.position)),
            "{what}"
        );
        reported += 1;
        if round % 4 == 0 {
            refused += u32::from(!error_or_the_same(copied.path(), &written, &what).await);
        }
    }
    assert!(reported > 150 && refused > 20, "{reported}, {refused}");
}
