//! `evenkeel log salvage`: every intact event out of a damaged directory.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use evenkeel_events::{SalvageReport, Span};
use serde_json::{Value, json};

use crate::audit::rescue::{Salvaged, salvage_data};
use crate::cli::{CliError, print};

/// Broken places that are listed as text; all of them are in the JSON.
const BROKEN_SHOWN_MAX: usize = 20;

/// From where to where. FROM is only read, whatever its database thinks. TO becomes a data
/// directory with the unbroken part of the log; what lies beyond a gap is kept in TO/log.beyond.
/// Exits with 1 when something is missing.
#[derive(Debug, Args)]
pub struct SalvageArgs {
    /// The damaged data directory, or the folder of one log
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// A new or an empty directory
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &SalvageArgs) -> Result<ExitCode, CliError> {
    let all = salvage_data(&args.from, &args.to).map_err(super::failed)?;
    let is_whole = all.iter().all(|log| log.report.is_whole());
    let report = json!({ "whole": is_whole, "logs": all.iter().map(as_json).collect::<Vec<_>>() });
    let path = args.to.join("salvage.json");
    std::fs::write(&path, format!("{report:#}\n"))
        .map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    print(&if args.json {
        format!("{report}\n")
    } else {
        all.iter().map(as_text).collect()
    })?;
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_json(log: &Salvaged) -> Value {
    let report = &log.report;
    let span = |span: &Span| json!({ "first": span.first, "last": span.last });
    let runs: Vec<Value> = report
        .runs
        .iter()
        .map(|run| {
            json!({
                "first": run.span.first, "last": run.span.last,
                "frames": run.frames, "superseded": run.superseded,
            })
        })
        .collect();
    let broken: Vec<Value> = report
        .broken
        .iter()
        .map(|at| json!({ "file": at.file, "offset": at.offset, "claims": at.claims }))
        .collect();
    json!({
        "log": log.name,
        "position": report.head.position,
        "hash": report.head.hash_hex(),
        "frames": report.frames,
        "acknowledged": report.acknowledged.map(|head| head.position),
        "missing": report.missing.iter().map(span).collect::<Vec<_>>(),
        "beyond": log.beyond.as_ref().map(|path| path.display().to_string()),
        "runs": runs,
        "broken": broken,
        "unreadableBytes": report.unreadable_bytes,
    })
}

fn as_text(log: &Salvaged) -> String {
    let (name, report) = (log.name, &log.report);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{name}: positions 1 to {} in {} frames are a log again, head {}",
        report.head.position,
        report.frames,
        report.head.hash_hex()
    );
    if report.acknowledged.is_none() {
        let _ = writeln!(
            text,
            "{name}: the tip is lost: nobody can say how long the log was"
        );
    }
    for span in &report.missing {
        let count = span.last - span.first + 1;
        let _ = writeln!(
            text,
            "{name}: missing {} to {}, {count} events",
            span.first, span.last
        );
    }
    for run in &report.runs {
        let why = if run.superseded {
            "other events than those in the log: cut off before, or never acknowledged"
        } else {
            "beyond a gap"
        };
        let _ = writeln!(
            text,
            "{name}: kept beside {} to {}, {why}",
            run.span.first, run.span.last
        );
    }
    text + &places(name, report, log)
}

fn places(name: &str, report: &SalvageReport, log: &Salvaged) -> String {
    let mut text = String::new();
    if report.unreadable_bytes > 0 {
        let _ = writeln!(
            text,
            "{name}: the disk refused {} bytes",
            report.unreadable_bytes
        );
    }
    if !report.is_whole() {
        for at in report.broken.iter().take(BROKEN_SHOWN_MAX) {
            let (file, offset, claims) = (&at.file, at.offset, at.claims);
            let _ = writeln!(
                text,
                "{name}: {file}: a broken frame at byte {offset}, it says position {claims}"
            );
        }
    }
    if let Some(beyond) = &log.beyond {
        let _ = writeln!(
            text,
            "{name}: what is kept beside lies in {}",
            beyond.display()
        );
    }
    text
}
