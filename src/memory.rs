//! Memory that is free but not given back: what a burst or the start leaves behind.
//!
//! glibc keeps what was freed between two allocations that live, for as long as they live, and
//! from the first large buffer that is freed on it takes large ones from there too: a server that
//! opened a log of some megabytes would stand at its peak for ever.

use std::time::Duration;

use evenkeel_events::Position;
use tokio::sync::watch;
use tokio::time::timeout;

/// After this long without an event the program is at rest; the log gives its memory back sooner.
const QUIET: Duration = Duration::from_secs(2);

/// How often a program that is never at rest gives memory back. It takes some milliseconds.
const TRIM_EVERY: Duration = Duration::from_mins(1);

/// Gives free memory back to the operating system whenever `events` have come to rest, until
/// there are no more of them.
pub async fn trim_at_rest(mut events: watch::Receiver<Position>) {
    loop {
        // However busy the log is.
        let _ = timeout(TRIM_EVERY, quiet(&mut events)).await;
        trim();
        if events.changed().await.is_err() {
            return;
        }
    }
}

/// Resolves when no event has come for a while.
async fn quiet(events: &mut watch::Receiver<Position>) {
    while let Ok(Ok(())) = timeout(QUIET, events.changed()).await {}
}

pub use allocator::{map_large_buffers, trim};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator {
    use std::ffi::c_int;

    /// `M_MMAP_THRESHOLD` of malloc.h.
    const MMAP_THRESHOLD: c_int = -3;

    /// glibc's own threshold before it starts to raise it.
    const LARGE_BYTES: c_int = 128 << 10;

    #[expect(unsafe_code, reason = "there is no safe way to tell glibc anything")]
    // SAFETY: the declarations are those of malloc.h, and any value is allowed from any thread.
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        safe fn malloc_trim(pad: usize) -> c_int;
    }

    /// From now on a large buffer has memory of its own, which goes when the buffer goes.
    pub fn map_large_buffers() {
        mallopt(MMAP_THRESHOLD, LARGE_BYTES);
    }

    /// Gives free memory back now. Every allocation waits some milliseconds for it.
    pub fn trim() {
        let released = malloc_trim(0) != 0;
        tracing::debug!(released, "free memory was given back");
    }
}

/// Other allocators give back on their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod allocator {
    /// Nothing to tell.
    pub fn map_large_buffers() {}

    /// Nothing to give.
    pub fn trim() {}
}
