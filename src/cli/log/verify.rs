//! `evenkeel log verify`: every stored byte, every event, every state, every snapshot.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use evenkeel_events::Head;
use serde_json::json;

use super::progress::Progress;
use crate::audit::heads::{HeadError, VerifyingKey};
use crate::audit::{Verdict, verify_data_against};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// What to check.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Signed heads, one a line, that the log must still contain
    #[arg(long, value_name = "FILE", requires = "key")]
    pub head: Option<PathBuf>,
    /// The public key that signed them: a PEM file, a file with base64, or base64
    #[arg(long, value_name = "KEY", requires = "head")]
    pub key: Option<String>,
}

/// Verifies and prints; a finding is exit code 1.
pub(super) fn run(data: &DataDirectory, args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let heads = heads(args)?;
    let verdict = {
        let mut progress = Progress::new("verify", super::end_of(data.log()));
        verify_data_against(data, &heads, &mut |position| progress.show(position))
    };
    let verdict = verdict.map_err(super::failed)?;
    print(&if args.json {
        as_json_text(&verdict, heads.len())
    } else {
        as_text(&verdict, heads.len())
    })?;
    Ok(if verdict.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The heads that the log must contain. A key that is none is wrong usage; a signature that does
/// not hold is a finding of its own.
fn heads(args: &VerifyArgs) -> Result<Vec<Head>, CliError> {
    let (Some(file), Some(key)) = (&args.head, &args.key) else {
        return Ok(Vec::new());
    };
    let key = VerifyingKey::read(key).map_err(|error| CliError::Usage(error.to_string()))?;
    key.heads_in(file).map_err(|error| match error {
        HeadError::Signature { .. } => CliError::failed(error),
        other => CliError::Usage(other.to_string()),
    })
}

fn as_json_text(verdict: &Verdict, heads: usize) -> String {
    let findings: Vec<_> = verdict
        .findings()
        .map(|(log, position, text)| json!({ "log": log, "position": position, "detail": text }))
        .collect();
    let snapshots = &verdict.snapshots;
    let books = &verdict.books;
    let value = json!({
        "verified": verdict.is_clean(),
        "events": verdict.log.events,
        "frames": verdict.log.frames,
        "streams": verdict.log.streams,
        "position": verdict.log.head.position,
        "hash": verdict.log.head.hash_hex(),
        "sealed": verdict.log.sealed,
        "states": {
            "indexes": books.indexes.len(),
            "webhooks": books.webhooks.len(),
            "owners": books.owners.len(),
            "jobs": books.jobs.len(),
            "prices": books.market.quotes.len(),
            "runningRebalances": books.rebalances.len(),
        },
        "snapshots": {
            "agreed": snapshots.agreed,
            "unusable": snapshots.unusable,
            "databaseDamaged": snapshots.database_damaged,
        },
        "paper": verdict.paper.as_ref().map(|paper| json!({
            "events": paper.events,
            "position": paper.head.position,
            "hash": paper.head.hash_hex(),
            "sealed": paper.sealed,
        })),
        "headsMet": if verdict.is_clean() { heads } else { 0 },
        "findings": findings,
    });
    format!("{value}\n")
}

fn as_text(verdict: &Verdict, heads: usize) -> String {
    let log = &verdict.log;
    let findings = verdict
        .findings()
        .map(|(name, position, detail)| format!("{name}: position {position}: {detail}\n"));
    let mut text: Vec<String> = findings.collect();
    if !verdict.is_clean() {
        text.push("damaged: nothing was changed; ways out: `log restore` from a backup, `log salvage` into a new directory, `log truncate` to the last good position\n".to_owned());
        return text.concat();
    }
    let seal = if log.sealed {
        "sealed, every byte as it was written"
    } else {
        "not sealed: it was not closed orderly"
    };
    text.push(format!(
        "{} events in {} frames verified up to position {}, {seal}\n",
        log.events, log.frames, log.head.position
    ));
    text.push(snapshot_line(verdict));
    if let Some(paper) = &verdict.paper {
        text.push(format!("paper venue: {} events verified\n", paper.events));
    }
    if heads > 0 {
        text.push(format!("{heads} signed heads are in it\n"));
    }
    text.push(format!("head {}\n", log.head.hash_hex()));
    text.concat()
}

fn snapshot_line(verdict: &Verdict) -> String {
    let snapshots = &verdict.snapshots;
    let unusable = match (snapshots.database_damaged, snapshots.unusable) {
        (true, _) => ", their database is damaged: states are replayed".to_owned(),
        (false, 0) => String::new(),
        (false, n) => format!(", {n} damaged or old: their states are replayed"),
    };
    format!(
        "{} indexes, {} webhooks, {} owners folded; {} snapshots agree{unusable}\n",
        verdict.books.indexes.len(),
        verdict.books.webhooks.len(),
        verdict.books.owners.len(),
        snapshots.agreed
    )
}
