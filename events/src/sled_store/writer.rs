//! The writer: one thread, one commit at a time, as many appends in it as have come meanwhile.
//!
//! ```text
//! wait for one ─► take what else is there ─► admit each ─► journal, sync ─► publish ─► reply
//!      ▲                 │ the last commit had many and few are there: linger, 100 µs at most
//!      └─────────────────┴─────────────────────────────────────────────────────┘
//! ```
//! A lone writer waits for nobody. A thousand writers share one flush: they come back one after
//! the other once their replies are out, so the writer lingers until as many are there as last
//! time. After a failed write nothing more is accepted.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::cache::CachedFrame;
use super::disk::panic_text;
use super::join;
use super::journal::frames_bytes;
use super::reader::{Shared, State};
use super::tip::{TipPolicy, TipWriter};
use crate::admission::{Admission, Admitted, COMMIT_MAX_BYTES};
use crate::append_ids::AppendId;
use crate::frame::{Commit, Frame};
use crate::log::{AppendError, Appended, Head, Position, StreamAppend};

/// How long a commit waits for one more of the writers that shared the last one: less than a
/// sync takes, and only while they keep coming.
const LINGER: Duration = Duration::from_micros(100);

/// After this long without an append the tip's acknowledgement is made durable on its own.
const IDLE_SYNC: Duration = Duration::from_millis(50);

/// An append on its way, with its share of the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub id: Option<AppendId>,
    pub batch: Vec<StreamAppend>,
    pub bytes: usize,
    pub reply: oneshot::Sender<Result<Appended, AppendError>>,
    pub room: OwnedSemaphorePermit,
}

/// The state of the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub jobs: Receiver<Job>,
    pub published: watch::Sender<Position>,
    /// Puts into sled what is committed; ended by the writer.
    pub filler: Option<JoinHandle<()>>,
    pub tip: TipWriter,
    pub policy: TipPolicy,
    pub commits_since_tip: u32,
    pub last_group: usize,
}

impl Writer {
    /// Runs until every sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        while let Some(first) = self.wait() {
            let group = self.gather(first);
            self.last_group = group.len();
            self.commit(group);
            // After the replies: nobody waits for old positions to leave the memory.
            self.shared.spill();
        }
        self.shared.pending.end();
        join(self.filler.take());
        // A log that has failed keeps its journal: the next opening needs it.
        if !self.shared.has_failed() {
            let head = self.shared.state().head;
            if let Err(error) = self.tip.close(&head) {
                self.shared
                    .fail(&format!("the tip was not settled: {error}"));
            }
        }
    }

    fn wait(&mut self) -> Option<Job> {
        if self.tip.is_unsynced() {
            match self.jobs.recv_timeout(IDLE_SYNC) {
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = self.tip.sync() {
                        self.shared
                            .fail(&format!("the tip was not synced: {error}"));
                    }
                }
                answer => return answer.ok(),
            }
        }
        self.jobs.recv().ok()
    }

    fn gather(&self, first: Job) -> Vec<Job> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while bytes < COMMIT_MAX_BYTES {
            let next = match self.jobs.try_recv() {
                Err(_) if group.len() < self.last_group => self.jobs.recv_timeout(LINGER).ok(),
                other => other.ok(),
            };
            let Some(job) = next else { break };
            bytes += job.bytes;
            group.push(job);
        }
        group
    }

    fn commit(&mut self, group: Vec<Job>) {
        let verdicts = match catch_unwind(AssertUnwindSafe(|| self.write(&group))) {
            Ok(verdicts) => verdicts,
            Err(panic) => Err(AppendError::Store(format!(
                "a panic: {}",
                panic_text(&*panic)
            ))),
        };
        match verdicts {
            Ok(verdicts) => {
                for (job, verdict) in group.into_iter().zip(verdicts) {
                    answer(job, verdict);
                }
            }
            Err(error) => {
                self.shared.fail(&error.to_string());
                for job in group {
                    answer(job, Err(error.clone()));
                }
            }
        }
    }

    /// The verdict on each append once the accepted ones are durable; an error is the store's.
    fn write(&mut self, group: &[Job]) -> Result<Vec<Result<Appended, AppendError>>, AppendError> {
        self.shared.check_writable()?;
        let (verdicts, admitted) = {
            let state = self.shared.state();
            let mut admission = Admission::new(
                &state.index,
                &state.ids,
                state.head,
                self.shared.frame_max_bytes,
            );
            let verdicts = group
                .iter()
                .map(|job| admission.admit(job.id, &job.batch))
                .collect();
            (verdicts, admission.finish())
        };
        if let Some(admitted) = admitted {
            self.store(&admitted)?;
            self.publish(&admitted)?;
        }
        Ok(verdicts)
    }

    /// Makes a commit durable. The slot of the tip says so from then on.
    fn store(&mut self, admitted: &Admitted) -> Result<(), AppendError> {
        let Commit { frames, head } = &admitted.commit;
        let (shared, with_tip) = (Arc::clone(&self.shared), self.is_tip_due());
        let has_failed = || shared.has_failed();
        shared
            .pending
            .wait_for_room(frames_bytes(frames), has_failed);
        if self.tip.is_round_before(frames) {
            shared.pending.wait_until_settled(has_failed);
        }
        // It may have failed meanwhile: then older frames are still needed where they stand.
        shared.check_writable()?;
        let written = self.write_durably(frames, head, with_tip);
        written.map_err(|error| AppendError::Store(error.to_string()))?;
        shared.pending.add(frames);
        Ok(())
    }

    fn write_durably(&mut self, frames: &[Frame], head: &Head, with_tip: bool) -> io::Result<()> {
        if with_tip {
            self.tip.intend(head)?;
        }
        self.tip.journal(frames)?;
        self.tip.sync()?;
        if with_tip {
            self.tip.acknowledge(head)?;
        }
        Ok(())
    }

    fn is_tip_due(&mut self) -> bool {
        self.commits_since_tip += 1;
        let due = match self.policy {
            TipPolicy::EveryCommit => true,
            TipPolicy::EveryN(n) => self.commits_since_tip >= n.get(),
        };
        if due {
            self.commits_since_tip = 0;
        }
        due
    }

    fn publish(&self, admitted: &Admitted) -> Result<(), AppendError> {
        let Head { position, .. } = admitted.commit.head;
        for frame in &admitted.commit.frames {
            self.shared
                .cache
                .put(Arc::new(CachedFrame::new(frame.clone())));
        }
        let mut state = self.shared.state_mut();
        let State { index, ids, .. } = &mut *state;
        admitted.index_into(index, ids)?;
        state.head = admitted.commit.head;
        drop(state);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.published.send_replace(position);
        Ok(())
    }
}

fn answer(job: Job, verdict: Result<Appended, AppendError>) {
    drop(job.room);
    // The caller may have stopped waiting.
    let _ = job.reply.send(verdict);
}
