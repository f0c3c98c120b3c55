//! `evenkeel log stats`: what the log consists of.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use evenkeel_domain::values::Timestamp;

use super::LogName;
use super::progress::Progress;
use crate::audit::Which;
use crate::audit::stats::{Stats, stats};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Of which log. Read from the files, also while a server runs.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Of which log
    #[arg(long, value_name = "LOG", default_value = "log")]
    pub of: LogName,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(data: &DataDirectory, args: &StatsArgs) -> Result<ExitCode, CliError> {
    let log = Which::from(args.of).dir(data);
    let stats = {
        let mut progress = Progress::new("stats", super::end_of(log.clone()));
        stats(&log, &mut |position| progress.show(position)).map_err(super::failed)?
    };
    print(&if args.json {
        format!(
            "{}\n",
            serde_json::to_string(&stats).map_err(CliError::failed)?
        )
    } else {
        as_text(&stats)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_text(stats: &Stats) -> String {
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
    let rows = [
        ("events", stats.events.to_string()),
        ("streams", stats.streams.to_string()),
        (
            "commits",
            format!(
                "{}, {} events each",
                stats.commits,
                tenths(stats.events, stats.commits)
            ),
        ),
        ("frames", stats.frames.to_string()),
        ("payload bytes", stats.payload_bytes.to_string()),
        ("frame bytes", stats.frame_bytes.to_string()),
        ("file bytes", stats.file_bytes.to_string()),
        ("first event", time(stats.first_at)),
        ("last event", time(stats.last_at)),
        ("head", stats.hash.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    let mut text = String::new();
    // Writing to a string does not fail.
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<14} {value}");
    }
    let _ = writeln!(
        text,
        "\n{:<28} {:>10} {:>14}",
        "type", "events", "payload bytes"
    );
    for (name, of_type) in &stats.types {
        let (events, bytes) = (of_type.events, of_type.payload_bytes);
        let _ = writeln!(text, "{name:<28} {events:>10} {bytes:>14}");
    }
    text
}

/// A quotient with one digit after the point.
fn tenths(part: u64, whole: u64) -> String {
    let tenths = (part * 10).checked_div(whole).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}
