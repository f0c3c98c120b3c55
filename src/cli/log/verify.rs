//! `evenkeel log verify`: every stored byte, every event, every state.

use std::process::ExitCode;

use evenkeel_actors::books::Books;
use evenkeel_events::{Recorded, VerifyReport, verify};
use serde_json::json;

use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// What verifying a data directory came to.
pub(crate) struct Verdict {
    /// The event log.
    pub(crate) log: VerifyReport,
    /// The states that it folds to.
    pub(crate) books: Books,
    /// The paper venue's books, if there are any.
    pub(crate) paper: Option<VerifyReport>,
}

impl Verdict {
    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.log.is_clean() && self.paper.as_ref().is_none_or(VerifyReport::is_clean)
    }

    /// What was found: which log, position, text.
    fn findings(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        let log = self
            .log
            .findings
            .iter()
            .map(|f| ("log", f.position, f.text.as_str()));
        let paper = self.paper.iter().flat_map(|report| &report.findings);
        log.chain(paper.map(|f| ("paper venue", f.position, f.text.as_str())))
    }
}

/// Verifies the logs of a data directory that nobody has open. Every event is decoded and folded.
pub(crate) fn verify_data(data: &DataDirectory) -> Result<Verdict, CliError> {
    let mut books = Books::default();
    let mut fold = |recorded: &Recorded| books.adopt(recorded).map_err(|error| error.to_string());
    let log = verify(data.log(), Some(&mut fold)).map_err(CliError::failed)?;
    let paper = if data.paper().is_dir() {
        Some(
            verify(data.paper(), None)
                .map_err(|error| CliError::Failed(format!("the paper venue's books: {error}")))?,
        )
    } else {
        None
    };
    Ok(Verdict { log, books, paper })
}

/// Verifies and prints; a finding is exit code 1.
pub(super) fn run(data: &DataDirectory, as_json: bool) -> Result<ExitCode, CliError> {
    let verdict = verify_data(data)?;
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
        "hash": hex(&verdict.log.head.hash),
        "sealed": verdict.log.sealed,
        "findings": findings,
    });
    format!("{value}\n")
}

fn as_text(verdict: &Verdict) -> String {
    let log = &verdict.log;
    let mut text = String::new();
    for (name, position, detail) in verdict.findings() {
        text += &format!("{name}: position {position}: {detail}\n");
    }
    let hash = hex(&log.head.hash);
    text += &if verdict.is_clean() {
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
    };
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
