//! Cutting a log after a position, by explicit command: the way out when a backup is no option.
//!
//! ```text
//! lock ─► intact chain ─► the last whole commit at or before the position
//!      ─► a new store beside the log ─► the old files move to `<log>.cut-after-<n>` ─► the new ones in
//! ```
//! Nothing is thrown away: the store as it was, the cut part in it, stays in that folder, complete
//! with its tip. The kept part is written anew, so that no stale copy of a cut frame is left. A
//! crash in between leaves a log that refuses to open, never one that is silently shorter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::sync_dir;
use super::format::{FORMAT_FILE, STORE_FORMAT};
use super::fresh::FreshStore;
use super::lock::DirLock;
use super::places::{Place, Places, whole_commits};
use super::seal::{Found, SEAL_FILE};
use super::tip::{TIP_FILE, Tip};
use super::upkeep::UpkeepError;
use super::view::StoredFrame;
use super::{SLED_DIR, format, seal, tip};
use crate::frame::FRAME_FORMAT;
use crate::log::{Head, Position};

/// Folders of cut parts beside one log; past it the operator has other worries.
const ASIDE_MAX: u32 = 1_000;

/// What a cut came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The end of the log now.
    pub head: Head,
    /// The head that was acknowledged before; none when the tip was lost.
    pub before: Option<Head>,
    /// Where the store is kept as it was; none when nothing had to be cut.
    pub aside: Option<PathBuf>,
}

/// Cuts the log in `dir`, which nobody may have open, after the last whole commit that ends at or
/// before `after`.
///
/// `before_cut` is told the folder for the old store once it is sure that something is cut and
/// before anything has changed: snapshots of states that are cut off must go there, for a later
/// event could bring a stream back to their version.
pub fn truncate(
    dir: impl AsRef<Path>,
    after: Position,
    before_cut: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<Truncated, UpkeepError> {
    let dir = dir.as_ref();
    let is_log = dir.join(SLED_DIR).is_dir() || dir.join(TIP_FILE).exists();
    if !is_log {
        return Err(UpkeepError::NoLog(dir.display().to_string()));
    }
    let mut lock = DirLock::take(dir)?;
    let result = cut(dir, after, &mut lock, before_cut);
    match result {
        // The log was written anew and sealed: the lock says that nobody is in.
        Ok(done) if done.aside.is_some() => Ok(done),
        other => {
            lock.release_as_found()?;
            other
        }
    }
}

fn cut(
    dir: &Path,
    after: Position,
    lock: &mut DirLock,
    before_cut: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<Truncated, UpkeepError> {
    let places = Places::scan(dir).map_err(|error| UpkeepError::io(dir, &error))?;
    if let Some((position, found)) = places.newer.filter(|(position, _)| *position <= after) {
        tracing::debug!(
            position,
            "a frame of a newer format lies in the part to keep"
        );
        let supported = FRAME_FORMAT;
        return Err(UpkeepError::NewerFormat { found, supported });
    }
    let tip = Tip::read(dir)?;
    let before = tip.and_then(|tip| tip.must_contain());
    let full = places.chain(before.as_slice());
    let kept = kept(&full, after);
    let end = kept.last().map_or(0, |place| place.last);
    let last = kept.last().map(|place| read(&places, place)).transpose()?;
    if is_whole(last.as_ref(), before, &full, dir)? {
        return Ok(Truncated {
            head: before.unwrap_or_else(genesis),
            before,
            aside: None,
        });
    }
    let fresh = beside(dir, "cutting");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let head = write_kept(&places, kept, &fresh)?;
    let aside = free_name(dir, end)?;
    fs::create_dir_all(&aside)?;
    before_cut(&aside)?;
    swap(dir, &fresh, &aside, &head)?;
    lock.clear()?;
    seal::write(dir)?;
    Ok(Truncated {
        head,
        before,
        aside: Some(aside),
    })
}

/// The whole commits at the start of a chain that end at or before a position.
fn kept(chain: &[Place], after: Position) -> &[Place] {
    let end = chain.partition_point(|place| place.last <= after);
    whole_commits(&chain[..end])
}

/// Whether what is to be kept is all there is, vouched for by the tip, every byte as it was sealed.
fn is_whole(
    last: Option<&StoredFrame>,
    before: Option<Head>,
    chain: &[Place],
    dir: &Path,
) -> Result<bool, UpkeepError> {
    let end = last.map_or_else(genesis, StoredFrame::head);
    let chain_end = chain.last().map_or(0, |place| place.last);
    let is_end = before == Some(end) && chain_end == end.position;
    let is_sealed_well = match seal::read(dir)? {
        Found::Nothing => true,
        Found::Damaged(_) => false,
        Found::Whole(seal) => seal.breaches(dir)?.is_empty(),
    };
    Ok(is_end && is_sealed_well && super::view::check_marker(dir).is_ok())
}

fn genesis() -> Head {
    Head {
        position: 0,
        hash: crate::frame::GENESIS,
    }
}

fn read(places: &Places, place: &Place) -> Result<StoredFrame, UpkeepError> {
    let damaged = || UpkeepError::Damaged {
        position: place.first,
        detail: "the frame cannot be read a second time".into(),
    };
    Ok(StoredFrame::new(places.read(place)?.ok_or_else(damaged)?))
}

fn write_kept(places: &Places, kept: &[Place], to: &Path) -> Result<Head, UpkeepError> {
    let mut store = FreshStore::create(to)?;
    for place in kept {
        store.take(read(places, place)?.into_frame())?;
    }
    store.finish()
}

/// Moves the database out and the new one in. The old tip stays in force until the new database
/// is there: a log without the events that it vouches for does not open.
fn swap(dir: &Path, fresh: &Path, aside: &Path, head: &Head) -> Result<(), UpkeepError> {
    for name in [FORMAT_FILE, TIP_FILE, SEAL_FILE] {
        copy_if_there(&dir.join(name), &aside.join(name))?;
    }
    sync_dir(aside)?;
    seal::remove(dir)?;
    if dir.join(SLED_DIR).exists() {
        fs::rename(dir.join(SLED_DIR), aside.join(SLED_DIR))?;
        sync_dir(aside)?;
    }
    fs::rename(fresh.join(SLED_DIR), dir.join(SLED_DIR))?;
    sync_dir(dir)?;
    tip::reset(dir, head)?;
    seal::write_durably(dir, FORMAT_FILE, format::text(STORE_FORMAT).as_bytes())?;
    fs::remove_dir_all(fresh)?;
    Ok(())
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Ok(_) => fs::File::open(to)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

fn free_name(dir: &Path, end: Position) -> Result<PathBuf, UpkeepError> {
    let names = (1..=ASIDE_MAX).map(|n| match n {
        1 => beside(dir, &format!("cut-after-{end}")),
        n => beside(dir, &format!("cut-after-{end}-{n}")),
    });
    let mut free = names.filter(|path| !path.exists());
    free.next().ok_or_else(|| {
        UpkeepError::Io(format!(
            "{ASIDE_MAX} cut parts lie beside {}; remove some",
            dir.display()
        ))
    })
}
