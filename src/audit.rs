//! Audit of a data directory that nobody has open: every stored byte, every event, every state.

use evenkeel_actors::books::Books;
use evenkeel_events::{Recorded, VerifyError, VerifyReport, verify};

use crate::engine::DataDirectory;

/// Why a data directory cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log.
    #[error(transparent)]
    Log(VerifyError),
    /// The paper venue's books.
    #[error("the paper venue's books: {0}")]
    Paper(VerifyError),
}

/// What verifying a data directory came to.
pub struct Verdict {
    /// The event log.
    pub log: VerifyReport,
    /// The states that it folds to.
    pub books: Books,
    /// The paper venue's books, if there are any.
    pub paper: Option<VerifyReport>,
}

impl Verdict {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.log.is_clean() && self.paper.as_ref().is_none_or(VerifyReport::is_clean)
    }

    /// What was found: which log, position, text.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
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
pub fn verify_data(data: &DataDirectory) -> Result<Verdict, AuditError> {
    let mut books = Books::default();
    let mut fold = |recorded: &Recorded| books.adopt(recorded).map_err(|error| error.to_string());
    let log = verify(data.log(), Some(&mut fold)).map_err(AuditError::Log)?;
    let paper = if data.paper().is_dir() {
        Some(verify(data.paper(), None).map_err(AuditError::Paper)?)
    } else {
        None
    };
    Ok(Verdict { log, books, paper })
}
