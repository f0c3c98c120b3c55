//! Thousands of random histories on virtual time: indexes, prices, faults at the venue, crashes,
//! kill switches, trades behind the engine's back. Whatever happens, in the end the books agree
//! with the venue, and nothing was traded twice.
//!
//! `EVENKEEL_SIM_HISTORIES` sets how many, `EVENKEEL_SIM_SEED` lives through one again:
//!
//! ```text
//! EVENKEEL_SIM_SEED=17 cargo test -p evenkeel-actors -- simulation
//! ```

mod history;
mod weather;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;

/// Histories of a run.
const HISTORIES: u64 = 2_000;

/// Threads that live through them: as many as cores.
const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Lives through the history of a seed, on a runtime of its own whose time is virtual.
fn live(seed: u64) -> history::Lived {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(History::new(seed).live())
    }));
    lived.unwrap_or_else(|panic| {
        println!("EVENKEEL_SIM_SEED={seed} cargo test -p evenkeel-actors -- simulation");
        resume_unwind(panic);
    })
}

#[test]
fn every_history_ends_with_books_that_agree_with_the_venue() {
    let (first, count) = match number("EVENKEEL_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("EVENKEEL_SIM_HISTORIES").unwrap_or(HISTORIES)),
    };
    let next = AtomicU64::new(first);
    let lived = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut sum = history::Lived::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= first + count {
                            return sum;
                        }
                        sum.add(&live(seed));
                    }
                })
            })
            .collect();
        let mut sum = history::Lived::default();
        for thread in threads {
            sum.add(&thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        sum
    });
    // Past the capture of the test harness: the seeds are to be seen when all went well, too.
    let last = first + count - 1;
    writeln!(
        std::io::stderr(),
        "simulation: {count} histories, seeds {first} to {last}: {lived}"
    )
    .unwrap();
    if count >= HISTORIES {
        assert!(lived.is_rich(), "too little happened: {lived}");
    }
}
