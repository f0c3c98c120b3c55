//! `evenkeel log verify`: every stored byte, every event, every state.

use std::process::ExitCode;

use serde_json::json;

use crate::audit::{Verdict, verify_data};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Verifies and prints; a finding is exit code 1.
pub(super) fn run(data: &DataDirectory, as_json: bool) -> Result<ExitCode, CliError> {
    let verdict = verify_data(data).map_err(CliError::failed)?;
    print(&if as_json {
        as_json_text(&verdict)
    } else {
        as_text(&verdict)
    })?;
    Ok(if verdict.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_json_text(verdict: &Verdict) -> String {
    let findings: Vec<_> = verdict
        .findings()
        .map(|(log, position, text)| json!({ "log": log, "position": position, "detail": text }))
        .collect();
    let value = json!({
        "verified": verdict.is_clean(),
        "events": verdict.log.events,
        "frames": verdict.log.frames,
        "streams": verdict.log.streams,
        "position": verdict.log.head.position,
        "hash": verdict.log.head.hash_hex(),
        "sealed": verdict.log.sealed,
        "findings": findings,
    });
    format!("{value}\n")
}

fn as_text(verdict: &Verdict) -> String {
    let log = &verdict.log;
    let findings = verdict
        .findings()
        .map(|(name, position, detail)| format!("{name}: position {position}: {detail}\n"));
    let mut text: Vec<String> = findings.collect();
    let hash = log.head.hash_hex();
    text.push(if verdict.is_clean() {
        let seal = if log.sealed {
            "sealed, every byte as it was written"
        } else {
            "not sealed: it was not closed orderly"
        };
        format!(
            "{} events in {} frames verified up to position {}, {seal}\nhead {hash}\n",
            log.events, log.frames, log.head.position
        )
    } else {
        "the log is damaged: restore a backup; nothing was changed\n".to_owned()
    });
    text.concat()
}
