//! What benches of a whole engine under load share: who asks, where the log lies, ranks, the run.

use std::path::PathBuf;

use evenkeel_actors::engine::Caller;
use evenkeel_domain::access::Scope;
use evenkeel_domain::values::{EventKey, OwnerId};
use tempfile::TempDir;

use crate::figure::Figure;

/// Threads for blocking calls, as the server has them: an idle one keeps its memory for a while.
const BLOCKING_THREADS_MAX: usize = 8;

/// A folder on the disk that `EVENKEEL_BENCH_DIR` chooses.
pub fn temporary() -> TempDir {
    let at = std::env::var_os("EVENKEEL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(at).unwrap()
}

pub fn operator() -> Caller {
    Caller {
        owner: OwnerId::from_u128(1),
        token: None,
        scopes: vec![Scope::Admin],
        request: EventKey::from_u128(1),
    }
}

pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// A value of sorted ones, by its rank in per cent.
pub fn rank(sorted: &[f64], per_cent: usize) -> f64 {
    sorted[(sorted.len() * per_cent / 100).min(sorted.len() - 1)]
}

/// From here on the peak of resident memory is counted anew. Where the kernel does not allow it
/// the peak of the preparations is in the figure too.
pub fn forget_peak() {
    evenkeel::memory::trim();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Measures what `EVENKEEL_BENCH_ONLY` names, everything when it names nothing, and prints it.
pub fn run(measure: impl AsyncFnOnce(&str) -> Vec<Figure>) {
    let json = std::env::args().any(|argument| argument == "--json");
    let only = std::env::var("EVENKEEL_BENCH_ONLY").unwrap_or_default();
    evenkeel::memory::map_large_buffers();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .unwrap();
    for figure in runtime.block_on(measure(&only)) {
        figure.print(json);
    }
}
