//! The part of `verify` that goes through the database: every frame, every event, every head.

use std::path::Path;

use super::{Checks, EventCheck, VerifyError, VerifyReport, count_raw};
use crate::frame::{FRAME_FORMAT, Frame, FrameError};
use crate::log::Head;
use crate::sled_store::disk::{Disk, DiskError};
use crate::sled_store::journal::Journal;
use crate::sled_store::recovery::{Fault, Recovery, Stop};
use crate::sled_store::tip::Tip;
use crate::sled_store::{SLED_DIR, StoreSize};

pub(super) fn check_frames(
    dir: &Path,
    tip: Tip,
    journal: Journal,
    checks: Checks<'_>,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let disk = match Disk::open(&dir.join(SLED_DIR), StoreSize::default().segment_bytes()) {
        Ok(disk) => disk,
        Err(DiskError::Io(detail)) => return Err(VerifyError::Io(detail)),
        Err(DiskError::Damaged(detail)) => {
            count_raw(dir, Some(tip), report)?;
            report.find(report.head.position + 1, detail);
            return Ok(());
        }
    };
    let recovery = walk(&disk, Recovery::new(tip, journal), checks, report)?;
    report.head = recovery.head;
    report.events = recovery.head.position;
    report.frames = recovery.frames;
    report.streams = recovery.index.streams();
    // A database that was damaged may refuse to close; the findings say so already.
    if let (Err(error), true) = (disk.close(), report.is_clean()) {
        report.find(report.head.position, error.to_string());
    }
    Ok(())
}

fn walk(
    disk: &Disk,
    mut recovery: Recovery,
    mut checks: Checks<'_>,
    report: &mut VerifyReport,
) -> Result<Recovery, VerifyError> {
    let walked = recovery.walk(disk, |frame| {
        meet_heads(frame, &checks.heads, report);
        match &mut checks.event {
            Some(check) => show(frame, check, report),
            None => Ok(()),
        }
    });
    match walked {
        Err(Stop::Io(detail)) => Err(VerifyError::Io(detail)),
        Err(Stop::Fault(Fault {
            error: FrameError::NewerFormat { found },
            ..
        })) => Err(VerifyError::NewerFormat {
            found,
            supported: FRAME_FORMAT,
        }),
        Err(Stop::Fault(Fault {
            position,
            error: FrameError::Damaged(detail),
        })) => {
            report.find(position, detail);
            Ok(recovery)
        }
        Ok(()) => {
            miss_heads(&recovery.head, &checks.heads, report);
            Ok(recovery)
        }
    }
}

/// Compares a frame with the earlier heads that fall on it.
fn meet_heads(frame: &Frame, heads: &[Head], report: &mut VerifyReport) {
    let positions = frame.first()..=frame.last();
    for head in heads
        .iter()
        .filter(|head| positions.contains(&head.position))
    {
        if head.position != frame.last() || head.hash != frame.hash() {
            report.find(
                head.position,
                format!(
                    "the log had another head here, hash {}: its history was rewritten",
                    head.hash_hex()
                ),
            );
        }
    }
}

fn miss_heads(end: &Head, heads: &[Head], report: &mut VerifyReport) {
    for head in heads.iter().filter(|head| head.position > end.position) {
        report.find(
            end.position + 1,
            format!(
                "the log ends here, it once had a head at position {}",
                head.position
            ),
        );
    }
}

fn show(frame: &Frame, check: &mut EventCheck<'_>, report: &mut VerifyReport) -> Result<(), Fault> {
    let events = frame.events().map_err(|error| Fault {
        position: frame.first(),
        error,
    })?;
    for event in &events {
        if let Err(what) = check(event) {
            let name = format!(
                "{} of stream {}, version {}",
                event.event_type, event.stream, event.version
            );
            report.find(event.position, format!("{name}: {what}"));
        }
    }
    Ok(())
}
