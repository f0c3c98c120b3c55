//! Figures in Prometheus' text format, written by hand: there are few and they never change shape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evenkeel_actors::engine::EngineStatus;
use http::{Method, StatusCode};

/// Upper bounds of the buckets of request durations, in seconds.
const BUCKETS_SECS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// What is counted of HTTP requests. Its size is bounded by routes × methods × statuses.
#[derive(Debug, Default)]
pub struct Counters {
    inner: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    buckets: [u64; BUCKETS_SECS.len()],
    count: u64,
    sum: Duration,
}

impl Counters {
    /// Counts an answer.
    pub fn record(&self, path: &'static str, method: &Method, status: StatusCode, took: Duration) {
        let mut counted = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path, label(method), status.as_u16());
        *counted.requests.entry(key).or_default() += 1;
        counted.count += 1;
        counted.sum += took;
        for (bucket, bound) in counted.buckets.iter_mut().zip(BUCKETS_SECS) {
            *bucket += u64::from(took.as_secs_f64() <= bound);
        }
    }

    fn render(&self, out: &mut String) {
        let counted = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        head(
            out,
            "evenkeel_http_requests_total",
            "counter",
            "Answers given, by route, method and status.",
        );
        for ((path, method, status), count) in &counted.requests {
            let labels = format!("route=\"{path}\",method=\"{method}\",status=\"{status}\"");
            line(out, "evenkeel_http_requests_total", &labels, *count);
        }
        let name = "evenkeel_http_request_duration_seconds";
        head(
            out,
            name,
            "histogram",
            "Time from the head of a request to the head of its answer.",
        );
        for (bucket, bound) in counted.buckets.iter().zip(BUCKETS_SECS) {
            line(
                out,
                &format!("{name}_bucket"),
                &format!("le=\"{bound}\""),
                *bucket,
            );
        }
        line(out, &format!("{name}_bucket"), "le=\"+Inf\"", counted.count);
        line(out, &format!("{name}_sum"), "", counted.sum.as_secs_f64());
        line(out, &format!("{name}_count"), "", counted.count);
    }
}

/// The method as a label: made-up methods share one, so that clients cannot make series.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

// Writing into a String cannot fail, so the results below carry nothing.
fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

/// All figures.
pub fn render(status: &EngineStatus, counters: &Counters) -> String {
    let mut out = String::with_capacity(8 * 1024);
    for (name, help, value) in gauges(status) {
        head(&mut out, name, "gauge", help);
        line(&mut out, name, "", value);
    }
    for (name, help, value) in totals(status) {
        head(&mut out, name, "counter", help);
        line(&mut out, name, "", value);
    }
    let cycle = "evenkeel_last_cycle_seconds";
    head(
        &mut out,
        cycle,
        "gauge",
        "Duration of the last drift cycle.",
    );
    let last = Duration::from_micros(status.last_cycle_us);
    line(&mut out, cycle, "", last.as_secs_f64());
    counters.render(&mut out);
    out
}

/// Name, help and value.
type Figure = (&'static str, &'static str, u64);

/// What goes up and down.
fn gauges(status: &EngineStatus) -> [Figure; 7] {
    [
        (
            "evenkeel_ready",
            "1 while the engine is up and takes commands.",
            u64::from(status.ready),
        ),
        (
            "evenkeel_log_position",
            "Position of the last event in the log.",
            status.position,
        ),
        ("evenkeel_indexes", "Index actors alive.", status.indexes),
        (
            "evenkeel_indexes_down",
            "Index actors that are being restarted or were given up.",
            status.indexes_down,
        ),
        (
            "evenkeel_rebalances_stuck",
            "Rebalances that nobody knows the fate of.",
            status.rebalances_stuck,
        ),
        (
            "evenkeel_webhooks",
            "Webhook subscriptions.",
            status.webhooks,
        ),
        (
            "evenkeel_commands_in_flight",
            "Commands in flight.",
            status.commands_in_flight,
        ),
    ]
}

/// What only grows, since the start.
fn totals(status: &EngineStatus) -> [Figure; 13] {
    [
        (
            "evenkeel_index_restarts_total",
            "Restarts of index actors.",
            status.index_restarts,
        ),
        ("evenkeel_cycles_total", "Drift cycles.", status.cycles),
        (
            "evenkeel_ticks_coalesced_total",
            "Ticks merged into a running cycle.",
            status.ticks_coalesced,
        ),
        ("evenkeel_checks_total", "Drift checks.", status.checks),
        (
            "evenkeel_rebalances_started_total",
            "Rebalances started.",
            status.rebalances_started,
        ),
        (
            "evenkeel_rebalances_completed_total",
            "Rebalances completed.",
            status.rebalances_completed,
        ),
        (
            "evenkeel_rebalances_failed_total",
            "Rebalances failed.",
            status.rebalances_failed,
        ),
        (
            "evenkeel_rebalances_cancelled_total",
            "Rebalances called off.",
            status.rebalances_cancelled,
        ),
        (
            "evenkeel_trades_executed_total",
            "Trades executed.",
            status.trades_executed,
        ),
        (
            "evenkeel_trades_failed_total",
            "Trades failed.",
            status.trades_failed,
        ),
        (
            "evenkeel_deliveries_succeeded_total",
            "Webhook deliveries that succeeded.",
            status.deliveries_succeeded,
        ),
        (
            "evenkeel_deliveries_failed_total",
            "Webhook deliveries that failed.",
            status.deliveries_failed,
        ),
        (
            "evenkeel_snapshots_discarded_total",
            "Snapshots discarded as old or damaged.",
            status.snapshots_discarded,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_help_and_type() {
        let counters = Counters::default();
        let took = Duration::from_millis(3);
        counters.record("/api/indexes", &Method::GET, StatusCode::OK, took);
        counters.record("/api/indexes", &Method::GET, StatusCode::OK, took);
        let odd = Method::from_bytes(b"BREW").unwrap();
        counters.record("unmatched", &odd, StatusCode::NOT_FOUND, took);
        let status = EngineStatus {
            ready: true,
            position: 7,
            ..EngineStatus::default()
        };
        let text = render(&status, &counters);
        for expected in [
            "# TYPE evenkeel_ready gauge\nevenkeel_ready 1\n",
            "evenkeel_log_position 7\n",
            "evenkeel_http_requests_total{route=\"/api/indexes\",method=\"GET\",status=\"200\"} 2\n",
            "evenkeel_http_requests_total{route=\"unmatched\",method=\"other\",status=\"404\"} 1\n",
            "evenkeel_http_request_duration_seconds_bucket{le=\"0.001\"} 0\n",
            "evenkeel_http_request_duration_seconds_bucket{le=\"0.005\"} 3\n",
            "evenkeel_http_request_duration_seconds_count 3\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .fold(name, |n, end| n.strip_suffix(end).unwrap_or(n));
            assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
        }
    }
}
