//! The filler: a thread that puts into sled what is durable in the journal, and settles it there.
//!
//! ```text
//! writer ─► journal, sync ─► pending ─► replies            pending: read by whoever needs it
//!                               └─► filler, when it is quiet or 8 MiB have gathered ─► sled ─► gone from pending
//!                                       └─ 512 KiB later, a second of quiet, or a new round: settled
//! ```
//! A commit waits for its own sync alone. What sled has not taken yet is served from memory; when
//! too much of it has gathered, the writer waits. A filler that fails closes the log: nothing is
//! lost, the next opening takes it from the journal.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::disk::{Disk, DiskError, panic_text};
use super::guard;
use super::journal::frames_bytes;
use super::reader::Shared;
use crate::frame::Frame;
use crate::log::Position;

/// Bytes of frames that sled may be behind: what a cycle over ten thousand indexes appends at
/// once waits for the journal alone. A largest commit is taken beyond that when sled is not
/// behind at all.
const PENDING_MAX_BYTES: u64 = 16 << 20;

/// Bytes of frames that sled may have unsynced: a quarter of one of its segments, so that what it
/// moves meanwhile seldom reaches a segment that it has just freed.
const UNSETTLED_MAX_BYTES: u64 = 512 << 10;

/// Bytes of frames that gather before sled takes any while the writer is busy: a burst has the
/// disk for itself.
const GATHERED_BYTES: u64 = PENDING_MAX_BYTES / 2;

/// After this long without a commit, sled takes what has gathered.
const QUIET: Duration = Duration::from_millis(10);

/// Frames that sled takes at once: a leaf's worth.
const PUT_FRAMES: usize = 16;

/// After this long with nothing to do, the database is synced, and gives back the memory that it
/// does not need.
const IDLE_REST: Duration = Duration::from_secs(1);

/// What is in the journal and not in sled.
#[derive(Debug, Default)]
struct Waiting {
    frames: BTreeMap<Position, Frame>,
    bytes: u64,
    /// Commits that have come.
    commits: u64,
    /// Bytes that sled has and that are not synced there.
    unsettled: u64,
    /// The writer waits for everything to be settled.
    is_round_due: bool,
    /// Nothing more comes.
    is_ending: bool,
}

impl Waiting {
    /// The next frames, in order: as many as sled takes at once.
    fn next(&self) -> Vec<Frame> {
        self.frames.values().take(PUT_FRAMES).cloned().collect()
    }

    /// Whether sled must take frames though more come.
    fn is_urgent(&self) -> bool {
        self.bytes >= GATHERED_BYTES || self.is_ending || self.is_round_due
    }

    fn is_settled(&self) -> bool {
        self.frames.is_empty() && self.unsettled == 0
    }
}

/// The frames on their way from the journal into sled.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: Mutex<Waiting>,
    /// Told to both sides at every change.
    changed: Condvar,
}

impl Pending {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        guard(&self.waiting)
    }

    fn wait<'g>(&self, waiting: MutexGuard<'g, Waiting>) -> MutexGuard<'g, Waiting> {
        let woken = self.changed.wait(waiting);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, but not for ever; says whether nothing came.
    fn wait_for<'g>(
        &self,
        waiting: MutexGuard<'g, Waiting>,
        span: Duration,
    ) -> (MutexGuard<'g, Waiting>, bool) {
        let woken = self.changed.wait_timeout(waiting, span);
        let (waiting, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
        (waiting, timeout.timed_out())
    }

    /// Hands durable frames over, before anybody is told of them.
    pub(super) fn add(&self, frames: &[Frame]) {
        let mut waiting = self.waiting();
        waiting.bytes += frames_bytes(frames);
        waiting.commits += 1;
        let keyed = frames.iter().map(|frame| (frame.first(), frame.clone()));
        waiting.frames.extend(keyed);
        drop(waiting);
        self.changed.notify_all();
    }

    /// The frame that holds a position, while it is not in sled.
    pub(super) fn frame_at(&self, position: Position) -> Option<Frame> {
        let waiting = self.waiting();
        let (_, frame) = waiting.frames.range(..=position).next_back()?;
        (frame.last() >= position).then(|| frame.clone())
    }

    /// Waits until there is room for `bytes` more, or the log has failed.
    pub(super) fn wait_for_room(&self, bytes: u64, has_failed: impl Fn() -> bool) {
        let mut waiting = self.waiting();
        while waiting.bytes > 0 && waiting.bytes + bytes > PENDING_MAX_BYTES && !has_failed() {
            waiting = self.wait(waiting);
        }
    }

    /// Waits until everything is durable in sled, or the log has failed.
    pub(super) fn wait_until_settled(&self, has_failed: impl Fn() -> bool) {
        let mut waiting = self.waiting();
        while !waiting.is_settled() && !has_failed() {
            waiting.is_round_due = true;
            self.changed.notify_all();
            waiting = self.wait(waiting);
        }
    }

    /// Nothing more comes: the filler settles what there is and ends.
    pub(super) fn end(&self) {
        self.waiting().is_ending = true;
        self.changed.notify_all();
    }
}

/// The state of the filler's thread.
#[derive(Debug)]
pub(super) struct Filler {
    shared: Arc<Shared>,
    /// Once it has begun it goes on until nothing is left.
    is_filling: bool,
}

/// What the filler does next.
enum Step {
    Put(Vec<Frame>),
    Settle,
    Rest,
    End,
}

impl Filler {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
        let mut filler = Self {
            shared,
            is_filling: false,
        };
        let thread = std::thread::Builder::new().name("evenkeel-log-filler".into());
        thread.spawn(move || filler.run())
    }

    fn run(&mut self) {
        let ran = catch_unwind(AssertUnwindSafe(|| self.fill()));
        let ran = ran.unwrap_or_else(|panic| Err(DiskError::Damaged(panic_text(&*panic))));
        if let Err(error) = ran {
            self.shared
                .fail(&format!("the database was not written: {error}"));
        }
        // A writer that waits looks whether the log has failed, or has looked and waits already.
        drop(self.shared.pending.waiting());
        self.shared.pending.changed.notify_all();
    }

    fn fill(&mut self) -> Result<(), DiskError> {
        loop {
            match self.next_step() {
                Step::Put(frames) => self.put(&frames)?,
                Step::Settle => self.settle()?,
                Step::Rest => {
                    self.settle()?;
                    self.shared.rest()?;
                }
                Step::End => return self.settle(),
            }
        }
    }

    fn next_step(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let pending = &shared.pending;
        let mut waiting = pending.waiting();
        loop {
            if !waiting.frames.is_empty() {
                self.is_filling |= waiting.is_urgent();
                if self.is_filling {
                    return Step::Put(waiting.next());
                }
                let before = waiting.commits;
                let is_quiet;
                (waiting, is_quiet) = pending.wait_for(waiting, QUIET);
                self.is_filling = is_quiet && waiting.commits == before;
                continue;
            }
            self.is_filling = false;
            if waiting.is_ending {
                return Step::End;
            }
            if waiting.is_round_due {
                return Step::Settle;
            }
            let is_fed = self.shared.disk().as_ref().is_some_and(Disk::is_fed);
            if waiting.unsettled == 0 && !is_fed {
                waiting = pending.wait(waiting);
                continue;
            }
            let is_idle;
            (waiting, is_idle) = pending.wait_for(waiting, IDLE_REST);
            if is_idle && waiting.frames.is_empty() {
                return Step::Rest;
            }
        }
    }

    fn put(&self, frames: &[Frame]) -> Result<(), DiskError> {
        let bytes = frames_bytes(frames);
        let unsettled = self.shared.pending.waiting().unsettled;
        if unsettled > 0 && unsettled + bytes > UNSETTLED_MAX_BYTES {
            self.settle()?;
        }
        self.shared.pending.waiting().unsettled += bytes;
        self.shared.on_disk(|disk| disk.put(frames))?;
        // Only now: a reader finds a frame here or in sled.
        let mut waiting = self.shared.pending.waiting();
        for frame in frames {
            waiting.frames.remove(&frame.first());
        }
        waiting.bytes -= bytes;
        drop(waiting);
        self.shared.pending.changed.notify_all();
        Ok(())
    }

    /// Makes durable in sled what it was given.
    fn settle(&self) -> Result<(), DiskError> {
        if self.shared.pending.waiting().unsettled > 0 {
            self.shared.on_disk(Disk::settle)?;
        }
        let mut waiting = self.shared.pending.waiting();
        waiting.unsettled = 0;
        waiting.is_round_due = false;
        drop(waiting);
        self.shared.pending.changed.notify_all();
        Ok(())
    }
}
