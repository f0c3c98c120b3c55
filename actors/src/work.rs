//! The work of jobs: what a run of each one does.
//!
//! ```text
//! drift-monitor    prices once ─► every index checks its drift
//! reconciliation   every index compares its books with its venue, a few at a time
//! ```

use std::sync::Arc;
use std::time::Duration;

use evenkeel_domain::job::{DRIFT_MONITOR, RECONCILIATION, Reason, RunCompleted, RunTrigger};
use evenkeel_domain::values::{EventKey, RunId};
use evenkeel_events::StreamId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cycle::{Cycle, Phase};
use crate::engine::{EngineError, RunView};
use crate::indexes::{IndexesMsg, Registry};
use crate::journal::Origin;
use crate::market::MarketMsg;
use crate::reconciliation;
use crate::shell::Shell;
use crate::streams;

/// How long `wait` waits for the rebalances of a run after its checks.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// Which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    DriftMonitor,
    Reconciliation,
}

/// A run whose work has ended.
pub(crate) struct EndedRun {
    /// What those who wait may wait for still.
    pub(crate) cycle: Option<Arc<Cycle>>,
    pub(crate) completed: RunCompleted,
}

impl Work {
    /// Every job, in the order of their names.
    pub(crate) const ALL: [Self; 2] = [Self::DriftMonitor, Self::Reconciliation];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DriftMonitor => DRIFT_MONITOR,
            Self::Reconciliation => RECONCILIATION,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }

    pub(crate) fn stream(self) -> StreamId {
        match self {
            Self::DriftMonitor => streams::drift_monitor(),
            Self::Reconciliation => streams::reconciliation(),
        }
    }

    /// Who, in the envelope of what a run appends.
    pub(crate) fn by(self) -> &'static str {
        match self {
            Self::DriftMonitor => "schedule:drift-monitor",
            Self::Reconciliation => "schedule:reconciliation",
        }
    }

    /// Whether each start runs it: nobody watched the venue while the process was down.
    pub(crate) fn runs_at_start(self) -> bool {
        self == Self::Reconciliation
    }

    pub(crate) async fn run(
        self,
        shell: &Shell,
        registry: &Registry,
        run_id: RunId,
        trigger: RunTrigger,
    ) -> EndedRun {
        let (began, started_at) = (Instant::now(), shell.now());
        let origin = Origin::new(None, self.by(), EventKey::from_u128(run_id.as_u128()));
        let (cycle, summary, failed) = match self {
            Self::DriftMonitor => {
                let (cycle, checked) = check_all(shell, run_id, origin).await;
                let took = u64::try_from(began.elapsed().as_micros());
                shell.tally.last_cycle_us.set(took.unwrap_or(u64::MAX));
                let summary = cycle.as_ref().map(|cycle| cycle.summary());
                (cycle, summary.unwrap_or_default(), !checked)
            }
            Self::Reconciliation => (None, reconciliation::run(registry, &origin).await, false),
        };
        let error = "the market or the indexes are restarting; the next run comes as scheduled";
        let completed = RunCompleted {
            run_id,
            trigger,
            summary,
            coalesced: 0,
            error: failed.then(|| Reason::optional(error).ok()).flatten(),
            started_at,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            at: shell.now(),
        };
        EndedRun { cycle, completed }
    }
}

/// One run of the drift monitor: prices once, then every index. False when a part was down.
async fn check_all(shell: &Shell, run_id: RunId, origin: Origin) -> (Option<Arc<Cycle>>, bool) {
    let (reply, prices) = oneshot::channel();
    let sent = shell.handles.market.cast(MarketMsg::Refresh(origin, reply));
    let prices = if sent { prices.await.ok() } else { None };
    let Some(prices) = prices else {
        return (None, false);
    };
    let cycle = Cycle::new(run_id, prices, shell.now());
    let message = IndexesMsg::CheckAll(Arc::clone(&cycle));
    let checked = shell.handles.indexes.cast(message);
    if checked {
        cycle.reached(Phase::Checked).await;
    }
    (Some(cycle), checked)
}

/// Answers those who wait when the rebalances have ended too, or after [`SETTLE_MAX`].
pub(crate) fn answer_when_settled(
    cycle: Option<Arc<Cycle>>,
    completed: RunCompleted,
    waiting: Vec<oneshot::Sender<Result<RunView, EngineError>>>,
) {
    if waiting.is_empty() {
        return;
    }
    tokio::spawn(async move {
        if let Some(cycle) = cycle {
            // What has not settled by then goes on by itself; the answer does not depend on it.
            let _ = tokio::time::timeout(SETTLE_MAX, cycle.reached(Phase::Settled)).await;
        }
        let view = RunView::ended(&completed);
        for reply in waiting {
            let _ = reply.send(Ok(view.clone()));
        }
    });
}
