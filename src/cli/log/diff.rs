//! `evenkeel log diff`: what changed between two times or positions.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::books::Until;
use serde_json::Value;

use crate::audit::diff::{Diff, diff};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Between when. Read from the files, also while a server runs.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier time (RFC 3339) or position
    #[arg(value_name = "FROM", value_parser = super::until)]
    pub from: Until,
    /// The later one
    #[arg(value_name = "TO", value_parser = super::until)]
    pub to: Until,
    /// Of this stream only, or of what has this id
    #[arg(long, value_name = "ID")]
    pub stream: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(data: &DataDirectory, args: &DiffArgs) -> Result<ExitCode, CliError> {
    let backwards = match (args.from, args.to) {
        (Until::Position(from), Until::Position(to)) => from > to,
        (Until::Time(from), Until::Time(to)) => from > to,
        _ => false,
    };
    if backwards {
        return Err(CliError::Usage("FROM is later than TO".to_owned()));
    }
    let diff = diff(data, args.from, args.to, args.stream.as_deref()).map_err(super::failed)?;
    print(&if args.json {
        format!(
            "{}\n",
            serde_json::to_string(&diff).map_err(CliError::failed)?
        )
    } else {
        as_text(&diff)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_text(diff: &Diff) -> String {
    let mut text = format!("from position {} to {}\n", diff.from, diff.to);
    // Writing to a string does not fail.
    for (event_type, count) in &diff.events {
        let _ = writeln!(text, "  {count:>8} {event_type}");
    }
    for change in &diff.changes {
        let new = if change.is_new { "new " } else { "" };
        let _ = writeln!(text, "\n{new}{} {}", change.kind, change.id);
        for field in &change.fields {
            let (from, to) = (plain(&field.from), plain(&field.to));
            let _ = if change.is_new {
                writeln!(text, "  {}: {to}", field.path)
            } else {
                writeln!(text, "  {}: {from} -> {to}", field.path)
            };
        }
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
