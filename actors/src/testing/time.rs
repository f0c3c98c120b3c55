//! Virtual time.

use std::time::Duration;

/// Lets virtual time pass: in a test whose runtime began paused, and only there. Nothing is waited
/// for, the clock jumps to the next thing that is due.
pub(crate) async fn time_passes(span: Duration) {
    tokio::time::sleep(span).await;
}
