//! `log verify`: every byte of a log at rest, every frame, the chain, the tip, every version.
//!
//! ```text
//! lock ─► marker, tip ─► seal, block by block ─┬─ broken ─► raw scan names the positions; sled stays away
//!                                              ├─ whole  ─► every frame through sled, then seal again
//!                                              └─ none   ─► every frame through sled, in a copy beside
//! ```
//! sled rewrites its files when it opens them, so it is let near the original only when every
//! byte there is vouched for.

mod frames;
pub(super) mod raw;

use std::io;
use std::path::Path;

use super::SLED_DIR;
use super::copy::Copy;
use super::format::{self, FORMAT_FILE, Marker, STORE_FORMAT};
use super::journal::Journal;
use super::lock::{DirLock, LOCK_FILE, LockError};
use super::seal::{self, Breach, Found, SEAL_BLOCK_BYTES, SEAL_FILE};
use super::tip::{TIP_FILE, Tip};
use crate::envelope::Recorded;
use crate::frame::GENESIS;
use crate::log::{Head, Position};
use frames::check_frames;
use raw::RawLog;

/// Findings past this one are counted, not kept: a destroyed file differs in every block.
const FINDINGS_MAX: usize = 1_000;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// First log position that cannot be vouched for because of it.
    pub position: Position,
    /// What was found, and where.
    pub text: String,
}

/// What `verify` saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Events that were vouched for.
    pub events: u64,
    /// Frames that were vouched for.
    pub frames: u64,
    /// Streams that were vouched for; 0 when the database itself was not opened.
    pub streams: usize,
    /// The end of what was vouched for.
    pub head: Head,
    /// Whether the log carried a seal: without one, bytes that no read touches are not checked.
    pub sealed: bool,
    /// What was found; empty for a log that is whole.
    pub findings: Vec<Finding>,
    /// Findings that were counted and not kept.
    pub more_findings: u64,
}

impl VerifyReport {
    /// Whether the log is whole.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, position: Position, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { position, text });
        } else {
            self.more_findings += 1;
        }
    }
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another process has the log open.
    #[error("the log is in use by process {pid}; stop it first")]
    InUse {
        /// The process; 0 when it has not said yet.
        pid: u32,
    },
    /// A newer program wrote it.
    #[error(
        "the log has format {found}, this program reads up to {supported}; use a newer evenkeel"
    )]
    NewerFormat {
        /// The format that was found.
        found: u16,
        /// The newest format this program reads.
        supported: u16,
    },
    /// The operating system refused, or there is no log.
    #[error("the log cannot be verified: {0}")]
    Io(String),
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<LockError> for VerifyError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::InUse { pid } => Self::InUse { pid },
            LockError::Io(error) => error.into(),
        }
    }
}

/// What is checked besides the bytes.
struct Checks<'a> {
    event: Option<EventCheck<'a>>,
    heads: Vec<Head>,
}

/// Looks at every event; what it refuses is a finding at that event's position.
pub type EventCheck<'a> = &'a mut dyn FnMut(&Recorded) -> Result<(), String>;

/// Verifies the log in `dir`, which nobody may have open, and leaves it as it was.
///
/// `check`, when given, sees every event in order: to decode it and fold it into its aggregate.
pub fn verify(
    dir: impl AsRef<Path>,
    check: Option<EventCheck<'_>>,
) -> Result<VerifyReport, VerifyError> {
    verify_heads(dir, check, &[])
}

/// As [`verify`]; besides, the log must pass every one of these earlier heads.
pub fn verify_heads(
    dir: impl AsRef<Path>,
    check: Option<EventCheck<'_>>,
    heads: &[Head],
) -> Result<VerifyReport, VerifyError> {
    let dir = dir.as_ref();
    if !dir.join(SLED_DIR).exists() && !dir.join(FORMAT_FILE).exists() {
        return Err(VerifyError::Io(format!(
            "there is no log in {}",
            dir.display()
        )));
    }
    let lock = DirLock::take(dir)?;
    let checks = Checks {
        event: check,
        heads: heads.to_vec(),
    };
    let report = verify_locked(dir, lock.found_is_plausible(), checks);
    lock.release_as_found()?;
    report
}

fn verify_locked(
    dir: &Path,
    lock_is_plausible: bool,
    checks: Checks<'_>,
) -> Result<VerifyReport, VerifyError> {
    let head = Head {
        position: 0,
        hash: GENESIS,
    };
    let mut report = VerifyReport {
        events: 0,
        frames: 0,
        streams: 0,
        head,
        sealed: false,
        findings: Vec::new(),
        more_findings: 0,
    };
    check_marker(dir, &mut report)?;
    let tip = check_tip(dir, &mut report)?;
    let seal = seal::read(dir)?;
    check_seal(dir, &seal, lock_is_plausible, &mut report)?;
    match (tip, report.is_clean()) {
        (Some(tip), true) if report.sealed => {
            seal::remove(dir)?;
            check_frames(dir, tip, Journal::read(dir)?, checks, &mut report)?;
            seal::write(dir)?;
        }
        (Some(tip), true) => {
            let copy = Copy::of(dir)?;
            check_frames(copy.dir(), tip, Journal::read(dir)?, checks, &mut report)?;
        }
        _ => count_raw(dir, tip, &mut report)?,
    }
    Ok(report)
}

fn check_marker(dir: &Path, report: &mut VerifyReport) -> Result<(), VerifyError> {
    match format::read(dir)? {
        Marker::Current | Marker::Older => {}
        Marker::Newer { found } => {
            return Err(VerifyError::NewerFormat {
                found,
                supported: STORE_FORMAT,
            });
        }
        Marker::Missing => report.find(1, format!("{FORMAT_FILE}: the format marker is missing")),
        Marker::Damaged => report.find(1, format!("{FORMAT_FILE}: the format marker is damaged")),
    }
    Ok(())
}

fn check_tip(dir: &Path, report: &mut VerifyReport) -> Result<Option<Tip>, VerifyError> {
    let Some(tip) = Tip::read(dir)? else {
        report.find(
            1,
            format!("{TIP_FILE}: the tip is missing, nothing vouches for the end of the log"),
        );
        return Ok(None);
    };
    let other = |slot: Option<Head>| slot.map_or(1, |head| head.position.max(1));
    if tip.acknowledged.is_none() {
        report.find(
            other(tip.intended),
            format!("{TIP_FILE}: the slot of the acknowledged head is damaged"),
        );
    }
    if tip.intended.is_none() {
        report.find(
            other(tip.acknowledged),
            format!("{TIP_FILE}: the slot of the intended head is damaged"),
        );
    }
    Ok(Some(tip))
}

fn check_seal(
    dir: &Path,
    seal: &Found,
    lock_is_plausible: bool,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    match seal {
        Found::Nothing => return Ok(()),
        Found::Damaged(what) => report.find(1, format!("{SEAL_FILE}: the seal is damaged: {what}")),
        Found::Whole(seal) => {
            report.sealed = true;
            let breaches = seal.breaches(dir)?;
            if !breaches.is_empty() {
                name_positions(dir, breaches, report);
            }
        }
    }
    if !lock_is_plausible {
        report.find(
            1,
            format!("{LOCK_FILE}: the lock holds something that is no pid"),
        );
    }
    Ok(())
}

fn name_positions(dir: &Path, breaches: Vec<Breach>, report: &mut VerifyReport) {
    let raw = RawLog::scan(dir).unwrap_or_default();
    for Breach { file, offset, what } in breaches {
        let is_db = file.strip_prefix(SLED_DIR) == Some("/db");
        let position = if is_db {
            raw.position_at(offset, SEAL_BLOCK_BYTES as u64)
        } else {
            1
        };
        report.find(
            position,
            format!("{file}: {what}, in the {SEAL_BLOCK_BYTES} bytes from offset {offset}"),
        );
    }
}

/// What the raw file still vouches for, when sled is not let near it.
fn count_raw(dir: &Path, tip: Option<Tip>, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let raw = match RawLog::scan(dir) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => RawLog::default(),
        Err(error) => return Err(error.into()),
    };
    report.head = raw.head();
    report.events = report.head.position;
    report.frames = raw.frames();
    let acknowledged = tip
        .and_then(|tip| tip.must_contain())
        .map_or(0, |head| head.position);
    if report.head.position < acknowledged {
        let position = report.head.position + 1;
        report.find(position, format!("no intact frame continues the log here, events up to position {acknowledged} were acknowledged"));
    }
    Ok(())
}
