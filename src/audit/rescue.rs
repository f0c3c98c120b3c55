//! Rescue: out of a damaged data directory, every intact frame; or a log cut to what is whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use evenkeel_events::{
    Position, Run, SalvageReport, StoredFrame, Truncated, UpkeepError, salvage, truncate,
};

use super::copies::{copy_secrets, ensure_empty};
use super::exchange::{ExchangeError, write_frame};
use super::{AuditError, Which};
use crate::engine::DataDirectory;

/// What was salvaged of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// `log` or `paper`.
    pub name: &'static str,
    /// What was found.
    pub report: SalvageReport,
    /// The folder of frames beyond a gap; none when there are none.
    pub beyond: Option<PathBuf>,
}

/// Brings what is intact out of `from`, a data directory or one log's folder, into the new or
/// empty directory `to`, which is a data directory afterwards. What lies beyond a gap goes to
/// `<log>.beyond/`: each unbroken run as its frames and as exported lines.
pub fn salvage_data(from: &Path, to: &Path) -> Result<Vec<Salvaged>, AuditError> {
    ensure_empty(to)?;
    let (source, target) = (DataDirectory::new(from), DataDirectory::new(to));
    if from.join("sled").is_dir() {
        return Ok(vec![salvage_log(from, &target, Which::Log)?]);
    }
    if !source.log().is_dir() && !source.paper().is_dir() {
        return Err(UpkeepError::NoLog(from.display().to_string()).into());
    }
    let mut all = Vec::new();
    for which in Which::ALL {
        if which.dir(&source).is_dir() {
            all.push(salvage_log(&which.dir(&source), &target, which)?);
        }
    }
    copy_secrets(&source, &target)?;
    Ok(all)
}

fn salvage_log(from: &Path, to: &DataDirectory, which: Which) -> Result<Salvaged, AuditError> {
    let name = which.name();
    let folder = to.path().join(format!("{name}.beyond"));
    let mut keeper = Keeper {
        name,
        folder: folder.clone(),
        open: None,
        count: 0,
    };
    let report = salvage(from, which.dir(to), &mut |run, frame| {
        keeper.keep(run, frame)
    })?;
    Ok(Salvaged {
        name,
        report,
        beyond: (keeper.count > 0).then_some(folder),
    })
}

/// Writes the runs beyond a gap.
struct Keeper {
    name: &'static str,
    folder: PathBuf,
    open: Option<(usize, File, File)>,
    count: u32,
}

impl Keeper {
    fn keep(&mut self, run: &Run, frame: &StoredFrame) -> io::Result<()> {
        if self.open.is_none() {
            fs::create_dir_all(&self.folder)?;
            self.count += 1;
            let kind = if run.superseded {
                "replaced"
            } else {
                "positions"
            };
            let (n, span) = (self.count, run.span);
            let stem = format!("{n:04}-{kind}-{}-{}", span.first, span.last);
            let create = |ending: &str| File::create(self.folder.join(format!("{stem}.{ending}")));
            self.open = Some((run.frames, create("frames")?, create("jsonl")?));
        }
        if let Some((left, frames, lines)) = &mut self.open {
            frames.write_all(frame.bytes())?;
            let mut text = Vec::new();
            match write_frame(self.name, frame, &mut text) {
                Ok(()) => lines.write_all(&text)?,
                Err(ExchangeError::Io(error)) => return Err(error),
                // The frame is kept; what cannot be read is said where it would stand.
                Err(error) => writeln!(
                    lines,
                    "{}",
                    serde_json::json!({ "unreadable": error.to_string() })
                )?,
            }
            *left -= 1;
            if *left == 0 {
                frames.sync_all()?;
                lines.sync_all()?;
                self.open = None;
            }
        }
        Ok(())
    }
}

/// Cuts a log of a data directory, which nobody may have open, after a position. With the event
/// log go its snapshots: replay stands in for them.
pub fn truncate_data(
    data: &DataDirectory,
    which: Which,
    after: Position,
) -> Result<Truncated, AuditError> {
    let snapshots = data.snapshots();
    let mut before_cut = |aside: &Path| {
        if which == Which::Log && snapshots.is_dir() {
            fs::rename(&snapshots, aside.join("snapshots"))?;
        }
        Ok(())
    };
    Ok(truncate(which.dir(data), after, &mut before_cut)?)
}
