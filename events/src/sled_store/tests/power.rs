//! A disk that loses its power: what would be left of a log's files at any moment.
//!
//! ```text
//! sync begins ─► content now ─► the real sync ─► that content is durable
//! power cut   ─► per file: durable content + some of the 4 KiB pages (or 512-byte sectors)
//!                written since; per directory: the entries of the last sync, or those of now
//! ```
//! The world's lock is held while our code writes, while a sync's beginning or end is noted and
//! while an image is taken: an image is one moment, as a power cut is.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::Dice;
use crate::sled_store::guard;

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

/// The worlds of the running tests, by directory.
static WORLDS: Mutex<Vec<(PathBuf, Weak<World>)>> = Mutex::new(Vec::new());

type Inode = u64;
/// Name → inode, and whether it is a directory.
type Entries = BTreeMap<String, (Inode, bool)>;
type AtSync = Box<dyn Fn(&World) + Send + Sync>;

/// What the disk under one directory holds for certain.
#[derive(Default)]
struct Durable {
    contents: HashMap<Inode, Vec<u8>>,
    entries: HashMap<PathBuf, Entries>,
}

/// A directory under observation.
pub(in crate::sled_store) struct World {
    dir: PathBuf,
    durable: Mutex<Durable>,
    /// Whether the journal's syncs happen; without them the log must be seen to lose events.
    syncs_journal: bool,
    syncs: AtomicU64,
    at_sync: Mutex<Option<AtSync>>,
}

impl World {
    /// Observes `dir`, whose present content is taken to be durable.
    pub(super) fn observe(dir: &Path, syncs_journal: bool) -> Arc<Self> {
        let mut durable = Durable::default();
        durable.take_all(dir);
        let world = Arc::new(Self {
            dir: dir.canonicalize().unwrap(),
            durable: Mutex::new(durable),
            syncs_journal,
            syncs: AtomicU64::new(0),
            at_sync: Mutex::new(None),
        });
        let mut worlds = guard(&WORLDS);
        worlds.retain(|(_, world)| world.strong_count() > 0);
        worlds.push((world.dir.clone(), Arc::downgrade(&world)));
        world
    }

    /// Calls `act` before and after every sync, on the thread that syncs.
    pub(super) fn at_every_sync(&self, act: impl Fn(&Self) + Send + Sync + 'static) {
        *guard(&self.at_sync) = Some(Box::new(act));
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Writes what a power cut at this moment may leave to `target`.
    pub(super) fn cut(&self, target: &Path, dice: &mut Dice) {
        let durable = guard(&self.durable);
        let loss = Loss::roll(dice);
        durable.cut_dir(&self.dir, target, &loss, dice);
    }

    fn call_at_sync(&self) {
        if let Some(act) = &*guard(&self.at_sync) {
            act(self);
        }
    }
}

fn world_of(path: &Path) -> Option<Arc<World>> {
    let worlds = guard(&WORLDS);
    let found = worlds.iter().find(|(dir, _)| path.starts_with(dir));
    found.and_then(|(_, world)| world.upgrade())
}

fn path_of(file: &File) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

pub(in crate::sled_store) fn data(file: &File) -> io::Result<()> {
    watched(file, How::Data)
}

pub(in crate::sled_store) fn all(file: &File) -> io::Result<()> {
    watched(file, How::All)
}

pub(in crate::sled_store) fn undivided<T>(file: &File, write: impl FnOnce() -> T) -> T {
    let world = world_of(&path_of(file));
    let _held = world.as_ref().map(|world| guard(&world.durable));
    write()
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Data,
    All,
}

fn watched(file: &File, how: How) -> io::Result<()> {
    let path = path_of(file);
    let is_of_journal = how == How::Data && path.ends_with("tip");
    let sync = |file: &File| match how {
        How::Data => file.sync_data(),
        How::All => file.sync_all(),
    };
    let Some(world) = world_of(&path) else {
        return sync(file);
    };
    world.call_at_sync();
    if world.syncs_journal || !is_of_journal {
        // Only what was written before the sync began is certain to be covered by it.
        let before = Taken::of(&path, &guard(&world.durable));
        sync(file)?;
        guard(&world.durable).keep(&path, before);
    }
    world.syncs.fetch_add(1, Ordering::Relaxed);
    world.call_at_sync();
    Ok(())
}

/// What a sync covers.
enum Taken {
    Content(Inode, Vec<u8>),
    Entries(Entries),
    Nothing,
}

impl Taken {
    /// The proof that the world's lock is held is asked for, not used.
    fn of(path: &Path, _held: &Durable) -> Self {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Self::Entries(entries(path)),
            Ok(meta) => Self::Content(meta.ino(), fs::read(path).unwrap()),
            Err(_) => Self::Nothing,
        }
    }
}

impl Durable {
    fn take_all(&mut self, dir: &Path) {
        let found = entries(dir);
        for (name, (inode, is_dir)) in &found {
            let path = dir.join(name);
            if *is_dir {
                self.take_all(&path);
            } else {
                self.contents.insert(*inode, fs::read(path).unwrap());
            }
        }
        self.entries.insert(dir.canonicalize().unwrap(), found);
    }

    fn keep(&mut self, path: &Path, taken: Taken) {
        match taken {
            Taken::Content(inode, bytes) => drop(self.contents.insert(inode, bytes)),
            Taken::Entries(entries) => {
                for (name, (inode, _)) in entries.iter().filter(|(name, _)| is_synced_by_sled(name))
                {
                    if let Ok(bytes) = fs::read(path.join(name)) {
                        self.contents.insert(*inode, bytes);
                    }
                }
                self.entries.insert(path.to_owned(), entries);
            }
            Taken::Nothing => {}
        }
    }

    fn cut_dir(&self, dir: &Path, target: &Path, loss: &Loss, dice: &mut Dice) {
        fs::create_dir_all(target).unwrap();
        let (then, now) = (self.entries.get(dir), entries(dir));
        let then = then.cloned().unwrap_or_default();
        let mut left = if loss.loses_entries {
            then.clone()
        } else {
            now.clone()
        };
        if loss.unites_entries {
            left = then.into_iter().chain(now.clone()).collect();
        }
        for (name, (inode, is_dir)) in left {
            let path = dir.join(&name);
            if is_dir {
                self.cut_dir(&path, &target.join(name), loss, dice);
                continue;
            }
            let current = now.values().any(|(other, _)| *other == inode);
            let path = now.iter().find(|(_, (other, _))| *other == inode);
            let path = path.map_or_else(|| dir.join(&name), |(name, _)| dir.join(name));
            let written = current.then(|| fs::read(path).unwrap());
            let durable = match self.contents.get(&inode) {
                Some(bytes) => bytes.as_slice(),
                None if is_synced_by_sled(&name) => written.as_deref().unwrap_or_default(),
                None => &[],
            };
            let bytes = loss.apply(durable, written.as_deref().unwrap_or(durable), dice);
            fs::write(target.join(name), bytes).unwrap();
        }
    }
}

/// sled syncs its snapshots itself, before it gives them their names.
fn is_synced_by_sled(name: &str) -> bool {
    name.starts_with("snap.") && !name.ends_with(".generating")
}

fn entries(dir: &Path) -> Entries {
    let Ok(read) = fs::read_dir(dir) else {
        return Entries::new();
    };
    let entry = |entry: io::Result<fs::DirEntry>| {
        let (entry, name) = entry
            .map(|entry| (entry.metadata(), entry.file_name()))
            .unwrap();
        let meta = entry.ok()?;
        Some((name.into_string().unwrap(), (meta.ino(), meta.is_dir())))
    };
    read.filter_map(entry).collect()
}

/// How much of what was not synced a cut takes.
struct Loss {
    /// Of 100 units that were written and not synced, so many are kept.
    kept_percent: u64,
    /// What is kept or lost as one: a page, or a sector when pages are torn.
    unit_bytes: usize,
    loses_length: bool,
    loses_entries: bool,
    unites_entries: bool,
}

impl Loss {
    fn roll(dice: &mut Dice) -> Self {
        let kept_percent = match dice.below(4) {
            0 => 0,
            1 => 100,
            _ => dice.below(100),
        };
        Self {
            kept_percent,
            unit_bytes: if dice.below(2) == 0 {
                PAGE_BYTES
            } else {
                SECTOR_BYTES
            },
            loses_length: dice.below(2) == 0,
            loses_entries: dice.below(2) == 0,
            unites_entries: dice.below(4) == 0,
        }
    }

    fn apply(&self, durable: &[u8], written: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut left = durable.to_vec();
        let mut at = 0;
        while at < written.len() {
            let end = (at + self.unit_bytes).min(written.len());
            let differs = durable.get(at..end) != Some(&written[at..end]);
            if differs && dice.below(100) < self.kept_percent {
                if left.len() < end {
                    left.resize(end, 0);
                }
                left[at..end].copy_from_slice(&written[at..end]);
            }
            at = end;
        }
        if !self.loses_length {
            left.resize(written.len(), 0);
        }
        left
    }
}

mod tests {
    use super::*;

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_go() {
        let (durable, written) = (vec![1; 2 * PAGE_BYTES], vec![2; 3 * PAGE_BYTES]);
        let loss = |kept_percent| Loss {
            kept_percent,
            unit_bytes: PAGE_BYTES,
            loses_length: true,
            loses_entries: true,
            unites_entries: false,
        };
        let mut dice = Dice(1);
        assert_eq!(loss(0).apply(&durable, &written, &mut dice), durable);
        assert_eq!(loss(100).apply(&durable, &written, &mut dice), written);
        let some = loss(50).apply(&durable, &written, &mut dice);
        let pages: Vec<_> = some.chunks(PAGE_BYTES).map(|page| page[0]).collect();
        assert!(
            pages.iter().all(|byte| [0, 1, 2].contains(byte)),
            "{pages:?}"
        );
    }
}
