//! A run of the reconciliation: each index compares its books with its venue's balances, so that
//! what somebody traded at the venue by hand is found and booked.

use evenkeel_domain::job::CycleSummary;
use futures_util::{StreamExt, stream};
use ractor::ActorRef;
use tokio::sync::oneshot;

use crate::index::IndexMsg;
use crate::indexes::Registry;
use crate::journal::Origin;

/// Indexes whose venue is asked at once: a run of a thousand is over in seconds, and neither the
/// venue nor what else the engine does notices it.
const ASK_AT_ONCE: usize = 16;

/// How an index's comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It has no funds, so there is nothing to compare.
    Idle,
    /// Books and venue agree.
    Same,
    /// They did not; the books follow the venue now.
    Corrected,
    /// A rebalance or a transfer is under way, or began meanwhile.
    Busy,
    /// The venue gave no answer, or none that can be booked.
    Failed,
}

/// An index is asked to compare.
pub(crate) struct ReconcileRequest {
    pub(crate) origin: Origin,
    /// A dropped one counts as failed.
    pub(crate) reply: oneshot::Sender<Compared>,
}

/// Asks every index that lives.
pub(crate) async fn run(registry: &Registry, origin: &Origin) -> CycleSummary {
    let actors: Vec<_> = registry.read().values().cloned().collect();
    let compared = stream::iter(actors)
        .map(|actor| ask(actor, origin.clone()))
        .buffer_unordered(ASK_AT_ONCE);
    let count = async |summary, compared| add(summary, compared);
    compared.fold(CycleSummary::default(), count).await
}

async fn ask(actor: ActorRef<IndexMsg>, origin: Origin) -> Compared {
    let (reply, compared) = oneshot::channel();
    let request = Box::new(ReconcileRequest { origin, reply });
    // A refused message comes back and drops the sender, which is an answer.
    let _ = actor.cast(IndexMsg::Reconcile(request));
    compared.await.unwrap_or(Compared::Failed)
}

fn add(summary: CycleSummary, compared: Compared) -> CycleSummary {
    let CycleSummary {
        checked,
        drifted,
        skipped,
        failed,
        ..
    } = summary;
    let one = |is| u32::from(is);
    CycleSummary {
        checked: checked + one(matches!(compared, Compared::Same | Compared::Corrected)),
        drifted: drifted + one(compared == Compared::Corrected),
        skipped: skipped + one(compared == Compared::Busy),
        failed: failed + one(compared == Compared::Failed),
        ..summary
    }
}
