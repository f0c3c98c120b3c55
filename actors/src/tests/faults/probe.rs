//! Where the engine touches the world, and what strikes it there.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use evenkeel_events::{
    AppendError, AppendId, Appended, Direction, EventLog, Head, MemoryLog, Position, ReadError,
    Recorded, StreamAppend, StreamId, Version,
};
use tokio::sync::watch;

/// A place where the engine touches the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Boundary {
    /// An append to the stream of an index.
    Append,
    /// An order is sent.
    Place,
    /// An order is asked for.
    Find,
    /// An order is to be closed.
    Cancel,
    /// The account is asked for.
    Balances,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// It fails and has done nothing.
    Fail,
    /// It has done its work and fails.
    FailAfterEffect,
    /// The process dies before it is done: at an append before the append, at a call before the
    /// effect.
    CrashBefore,
    /// The process dies when it has just been done.
    CrashAfter,
    /// The same, and once more right after the restart.
    RestartTwice,
    /// It is done twice, and the second answer counts.
    Duplicate,
    /// It is done, and no answer ever comes.
    Timeout,
}

impl Strike {
    pub(super) const ALL: [Self; 7] = [
        Self::Fail,
        Self::FailAfterEffect,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::RestartTwice,
        Self::Duplicate,
        Self::Timeout,
    ];

    /// An append is answered once or not at all: the log is in the same process.
    pub(super) fn fits(self, boundary: Boundary) -> bool {
        boundary != Boundary::Append || !matches!(self, Self::Duplicate | Self::Timeout)
    }
}

/// Sees every boundary that is crossed, and strikes at one of them.
#[derive(Debug)]
pub(super) struct Probe {
    seen: Mutex<Vec<Boundary>>,
    strike: Mutex<Option<(usize, Strike)>>,
    crashes: watch::Sender<u32>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            strike: Mutex::default(),
            crashes: watch::Sender::new(0),
        }
    }
}

impl Probe {
    /// Forgets what was seen, and strikes at the boundary of this number from now on.
    pub(super) fn arm(&self, strike: Option<(usize, Strike)>) {
        self.seen.lock().unwrap().clear();
        *self.strike.lock().unwrap() = strike;
    }

    pub(super) fn seen(&self) -> Vec<Boundary> {
        self.seen.lock().unwrap().clone()
    }

    /// Changes whenever the process is to die.
    pub(super) fn crashes(&self) -> watch::Receiver<u32> {
        self.crashes.subscribe()
    }

    /// What strikes at the boundary that is reached now.
    pub(super) fn reach(&self, boundary: Boundary) -> Option<Strike> {
        let mut seen = self.seen.lock().unwrap();
        let at = seen.len();
        seen.push(boundary);
        let mut strike = self.strike.lock().unwrap();
        let struck = strike.filter(|(number, _)| *number == at).map(|s| s.1);
        if struck.is_some() {
            *strike = match struck {
                Some(Strike::RestartTwice) => Some((at + 1, Strike::CrashBefore)),
                _ => None,
            };
        }
        struck
    }

    /// Has the process die; whoever calls this never goes on.
    pub(super) async fn crash(&self) {
        self.crashes.send_modify(|crashes| *crashes += 1);
        std::future::pending::<()>().await;
    }
}

/// A log in memory whose appends to indexes can be struck.
#[derive(Default)]
pub(super) struct ProbedLog {
    inner: MemoryLog,
    pub(super) probe: Arc<Probe>,
}

#[async_trait]
impl EventLog for ProbedLog {
    async fn append(&self, batch: Vec<StreamAppend>) -> Result<Appended, AppendError> {
        let of_index = |append: &StreamAppend| append.stream.as_str().starts_with("idx_");
        let strike = if batch.iter().any(of_index) {
            self.probe.reach(Boundary::Append)
        } else {
            None
        };
        let failed = || Err(AppendError::Store("struck".to_owned()));
        match strike {
            Some(Strike::Fail) => return failed(),
            Some(Strike::CrashBefore) => self.probe.crash().await,
            _ => {}
        }
        let appended = self.inner.append(batch).await;
        match strike {
            Some(Strike::FailAfterEffect) => return failed(),
            Some(Strike::CrashAfter | Strike::RestartTwice) => self.probe.crash().await,
            _ => {}
        }
        appended
    }

    async fn append_once(
        &self,
        id: AppendId,
        batch: Vec<StreamAppend>,
    ) -> Result<Appended, AppendError> {
        self.inner.append_once(id, batch).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.inner.read(after, limit).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        from: Version,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.inner.read_stream(stream, from, limit, direction).await
    }

    fn version(&self, stream: &StreamId) -> Version {
        self.inner.version(stream)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.inner.watch()
    }

    async fn close(&self) -> Result<(), AppendError> {
        self.inner.close().await
    }
}
