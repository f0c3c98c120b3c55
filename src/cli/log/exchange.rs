//! `evenkeel log export` and `import`: every event as a line of JSON, and back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use crate::audit::exchange::{self, ExchangeError};
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// From what.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What `log export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn failed(error: ExchangeError) -> CliError {
    match error {
        ExchangeError::Audit(error) => super::failed(error),
        other => CliError::failed(other),
    }
}

pub(super) fn export(data: &DataDirectory) -> Result<ExitCode, CliError> {
    let mut progress = Progress::new("export", super::end_of(data.log()));
    let mut out = BufWriter::new(io::stdout().lock());
    let exported = exchange::export(data, &mut out, &mut |position| progress.show(position));
    match exported {
        // A reader that has seen enough is no failure.
        Err(ExchangeError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => drop(other.map_err(failed)?),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn import(data: &DataDirectory, args: &ImportArgs) -> Result<ExitCode, CliError> {
    let mut lines: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&args.file);
        let file = file.map_err(|e| CliError::Usage(format!("{}: {e}", args.file.display())))?;
        Box::new(BufReader::new(file))
    };
    let head = exchange::import(&mut lines, data, &mut |_| {}).map_err(failed)?;
    print(&format!(
        "{} events imported\nhead {}\n",
        head.position,
        head.hash_hex()
    ))?;
    Ok(ExitCode::SUCCESS)
}
