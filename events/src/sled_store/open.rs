//! Opening: lock, marker, seal off, sled, every frame, journal, tip, writer.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use tokio::sync::{Semaphore, watch};

use super::cache::FrameCache;
use super::disk::{Disk, DiskError, sync_dir};
use super::filler::Filler;
use super::format::{FORMAT_FILE, Marker, STORE_FORMAT};
use super::journal::Journal;
use super::lock::{DirLock, LockError};
use super::reader::{Shared, State};
use super::recovery::{Fault, Recovery, Stop};
use super::seal::Found;
use super::tip::{Tip, TipPolicy, TipWriter};
use super::upkeep::UpkeepError;
use super::verify::raw::RawLog;
use super::view::LogView;
use super::writer::Writer;
use super::{QUEUE_MAX_KIB, SLED_DIR, SledLog, format, rebuild, seal, tip};
use crate::frame::{FRAME_FORMAT, FrameError, GENESIS};
use crate::index::Blocks;
use crate::log::{Head, Position};

/// How the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SledOptions {
    /// When the second witness of the head is written.
    pub tip: TipPolicy,
    /// What it may take of the memory.
    pub size: StoreSize,
}

/// What a store may take of the memory and, in return, of the disk's speed. What stands on the
/// disk is read by either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreSize {
    /// Frames of up to 28 KiB; some 5 MiB of buffers.
    #[default]
    Large,
    /// Frames, hence events, of up to 7 KiB; some 1 MiB of buffers.
    Small,
}

impl StoreSize {
    /// Size of sled's segments: it keeps two buffers of that size.
    pub(super) fn segment_bytes(self) -> usize {
        match self {
            Self::Large => 2 << 20,
            Self::Small => 512 << 10,
        }
    }

    /// Bytes of recent frames and their decoded events that are kept: the last seconds of a busy
    /// log, and the streams that were read last.
    pub(super) fn cache_bytes(self) -> usize {
        match self {
            Self::Large => 8 << 20,
            Self::Small => 512 << 10,
        }
    }
}

/// Why the log was not opened. Nothing was written into it, except by sled's own recovery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the log is in use by process {pid}; stop it first")]
    InUse {
        /// The process; 0 when it has not said yet.
        pid: u32,
    },
    /// Bytes are not what was written.
    #[error(
        "the log is damaged at position {position}: {detail}; restore a backup, or cut with `log truncate`"
    )]
    Damaged {
        /// First position that cannot be vouched for.
        position: Position,
        /// What was found.
        detail: String,
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
    /// The operating system refused.
    #[error("the log cannot be opened: {0}")]
    Io(String),
    /// The database refused.
    #[error("the log's database cannot be opened: {0}")]
    Store(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<LockError> for OpenError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::InUse { pid } => Self::InUse { pid },
            LockError::Io(error) => error.into(),
        }
    }
}

impl From<UpkeepError> for OpenError {
    fn from(error: UpkeepError) -> Self {
        match error {
            UpkeepError::Damaged { position, detail } => Self::Damaged { position, detail },
            UpkeepError::NewerFormat { found, supported } => Self::NewerFormat { found, supported },
            UpkeepError::InUse { pid } => Self::InUse { pid },
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<Stop> for OpenError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(fault) => fault.into(),
            Stop::Io(detail) => Self::Store(detail),
        }
    }
}

impl From<Fault> for OpenError {
    fn from(Fault { position, error }: Fault) -> Self {
        match error {
            FrameError::NewerFormat { found } => Self::NewerFormat {
                found,
                supported: FRAME_FORMAT,
            },
            FrameError::Damaged(detail) => Self::Damaged { position, detail },
        }
    }
}

pub(super) fn open(dir: &Path, options: SledOptions) -> Result<SledLog, OpenError> {
    fs::create_dir_all(dir)?;
    let lock = DirLock::take(dir)?;
    let marker = check_marker(dir)?;
    let is_new = marker == Marker::Missing;
    if !is_new {
        // Before sled is let near: it cuts its file at the first damage that it finds, and
        // whatever lies beyond would be lost to a salvage.
        rebuild::resume(dir)?;
        LogView::open(dir)?;
        if matches!(seal::read(dir)?, Found::Nothing) {
            rebuild::unless_readable(dir, read_tip(dir)?)?;
        }
    }
    seal::remove(dir)?;
    if is_new {
        tip::reset(
            dir,
            &Head {
                position: 0,
                hash: GENESIS,
            },
        )?;
        // A database without a tip would look like a tip that was lost.
        sync_dir(dir)?;
    }
    let tip = read_tip(dir)?;
    let disk = open_disk(dir, options.size)?;
    if is_new {
        finish_creation(dir, &disk)?;
    }
    let mut recovery = recover(dir, &disk, tip)?;
    if marker == Marker::Older {
        // Before there is a journal: a program that knows none must not miss what is in it.
        seal::write_durably(dir, FORMAT_FILE, format::text(STORE_FORMAT).as_bytes())?;
    }
    let newest = recovery.take_newest();
    let tip_writer = TipWriter::start(dir, &recovery.head, &newest)?;
    drop(newest);
    let state = State {
        index: recovery.index,
        ids: recovery.ids,
        head: recovery.head,
    };
    let cache = FrameCache::new(options.size.cache_bytes());
    start(
        Shared::new(dir, lock, disk, cache, state),
        tip_writer,
        options,
    )
}

/// The marker, missing when there is nothing yet; an error when what is there is not ours to open.
fn check_marker(dir: &Path) -> Result<Marker, OpenError> {
    match format::read(dir)? {
        Marker::Newer { found } => Err(OpenError::NewerFormat {
            found,
            supported: STORE_FORMAT,
        }),
        Marker::Damaged => Err(damaged(1, "the format marker is damaged")),
        Marker::Missing => check_unmarked(dir).map(|()| Marker::Missing),
        known => Ok(known),
    }
}

/// The marker is the last thing that a creation writes. Without one there is nothing yet, or what
/// an interrupted creation has left, in which case no event was ever acknowledged.
fn check_unmarked(dir: &Path) -> Result<(), OpenError> {
    let has_database = dir.join(SLED_DIR).exists();
    match Tip::read(dir)? {
        None if has_database => Err(damaged(1, "the format marker and the tip are missing")),
        None => Ok(()),
        Some(tip) => match tip.must_contain() {
            // The database is begun only after the tip is durable.
            None if !has_database => Ok(()),
            Some(head) if head.position == 0 => clear_unfinished(dir),
            _ => Err(damaged(1, "the format marker is missing")),
        },
    }
}

/// sled cannot open what a power cut leaves of a half-made database. Nothing is lost with it,
/// which is looked at all the same.
fn clear_unfinished(dir: &Path) -> Result<(), OpenError> {
    if !dir.join(SLED_DIR).exists() {
        return Ok(());
    }
    let frames = match RawLog::scan(dir) {
        Ok(raw) => raw.head().position,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    if frames > 0 {
        return Err(damaged(
            1,
            "the format marker is missing, and there are events",
        ));
    }
    fs::remove_dir_all(dir.join(SLED_DIR))?;
    Ok(sync_dir(dir)?)
}

fn read_tip(dir: &Path) -> Result<Tip, OpenError> {
    let tip = Tip::read(dir)?.ok_or_else(|| {
        damaged(
            1,
            "the tip is missing: nothing vouches for the end of the log",
        )
    })?;
    if tip.acknowledged.is_none() || tip.intended.is_none() {
        tracing::warn!(dir = %dir.display(), "a slot of the log's tip is damaged; the other one stands in");
    }
    Ok(tip)
}

fn open_disk(dir: &Path, size: StoreSize) -> Result<Disk, OpenError> {
    Disk::open(&dir.join(SLED_DIR), size.segment_bytes()).map_err(|error| match error {
        DiskError::Io(detail) => OpenError::Store(detail),
        DiskError::Damaged(detail) => damaged_at_first_hole(dir, &detail),
    })
}

/// sled does not say what it stumbled over; the raw file says which frames are whole.
fn damaged_at_first_hole(dir: &Path, detail: &str) -> OpenError {
    match RawLog::scan(dir) {
        Ok(raw) => damaged(
            raw.head().position + 1,
            &format!(
                "{detail}; the raw file holds intact frames up to position {}",
                raw.head().position
            ),
        ),
        Err(error) => damaged(
            1,
            &format!("{detail}; the raw file cannot be read: {error}"),
        ),
    }
}

fn finish_creation(dir: &Path, disk: &Disk) -> Result<(), OpenError> {
    disk.sync_creation()
        .map_err(|error| OpenError::Store(error.to_string()))?;
    seal::write_durably(dir, FORMAT_FILE, format::text(STORE_FORMAT).as_bytes())?;
    if let Some(parent) = dir.canonicalize()?.parent() {
        sync_dir(parent)?;
    }
    Ok(())
}

fn recover(dir: &Path, disk: &Disk, tip: Tip) -> Result<Recovery, OpenError> {
    let mut recovery = Recovery::indexed_in(tip, Journal::read(dir)?, Blocks::in_dir(dir)?);
    recovery.walk(disk, |_| Ok(()))?;
    let restored = recovery.take_restored();
    if !restored.is_empty() {
        let brought = disk.restore(&restored).and_then(|()| disk.settle());
        brought.map_err(|error| OpenError::Store(error.to_string()))?;
        tracing::info!(
            frames = restored.len(),
            head = recovery.head.position,
            "the database was behind and was brought forward from the journal"
        );
    }
    Ok(recovery)
}

fn start(shared: Shared, tip: TipWriter, options: SledOptions) -> Result<SledLog, OpenError> {
    let shared = Arc::new(shared);
    let (published, watch) = watch::channel(shared.state().head.position);
    let (sender, jobs) = mpsc::channel();
    let filler = Filler::start(Arc::clone(&shared))?;
    let writer = Writer {
        shared: Arc::clone(&shared),
        filler: Some(filler),
        jobs,
        published,
        tip,
        policy: options.tip,
        commits_since_tip: 0,
        last_group: 0,
    };
    let thread = std::thread::Builder::new().name("evenkeel-log-writer".into());
    let thread = thread.spawn(move || writer.run())?;
    Ok(SledLog {
        shared,
        jobs: Mutex::new(Some(sender)),
        room: Arc::new(Semaphore::new(QUEUE_MAX_KIB)),
        watch,
        writer: Arc::new(Mutex::new(Some(thread))),
    })
}

pub(super) fn damaged(position: Position, detail: &str) -> OpenError {
    OpenError::Damaged {
        position,
        detail: detail.to_owned(),
    }
}
