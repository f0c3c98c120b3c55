//! The names of streams: one aggregate, one stream.

use evenkeel_domain::values::{IndexId, OwnerId, WebhookId};
use evenkeel_events::StreamId;

/// The stream of prices.
pub const MARKET: &str = "market";

/// What the names of job streams begin with.
pub const JOB_PREFIX: &str = "job_";

/// A name that is known to fit: ids and constants are of the accepted characters.
fn name(text: &str) -> StreamId {
    #[expect(
        clippy::expect_used,
        reason = "an id is 36 bytes of [a-z0-9_], a job name is checked at registration"
    )]
    StreamId::new(text).expect("ids and constants are stream names")
}

/// The stream of an index and its rebalances.
pub fn index(id: IndexId) -> StreamId {
    name(&id.to_string())
}

/// The stream of a subscription.
pub fn webhook(id: WebhookId) -> StreamId {
    name(&id.to_string())
}

/// The stream of an owner and its tokens.
pub fn owner(id: OwnerId) -> StreamId {
    name(&id.to_string())
}

/// The stream of prices.
pub fn market() -> StreamId {
    name(MARKET)
}

/// The stream of the kill switch for all indexes.
pub fn trading() -> StreamId {
    name("trading")
}

/// The stream of requests that may be sent again.
pub fn requests() -> StreamId {
    name("requests")
}

/// The stream of the reconciliation.
pub fn reconciliation() -> StreamId {
    name(concat!("job_", "reconciliation"))
}

/// The stream of the drift monitor.
pub fn drift_monitor() -> StreamId {
    name(concat!("job_", "drift-monitor"))
}
