//! `evenkeel log backup` and `restore`: a data directory to another one, and back.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use crate::audit::copies::copy_data;
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Where to. The copy holds everything that was acknowledged before the command began, and is
/// itself a data directory: sealed, to be verified, served or restored. With the log go the paper
/// venue's books, the key of webhook secrets and the admin token: keep it as safe as the original.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new or an empty directory
    #[arg(value_name = "TO")]
    pub to: PathBuf,
}

/// From where. The data directory must not exist yet, or be empty. Every frame is verified.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `log backup` wrote
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
}

pub(super) fn backup(data: &DataDirectory, args: &BackupArgs) -> Result<ExitCode, CliError> {
    copy("backup", data, &DataDirectory::new(&args.to))
}

pub(super) fn restore(data: &DataDirectory, args: &RestoreArgs) -> Result<ExitCode, CliError> {
    copy("restore", &DataDirectory::new(&args.from), data)
}

fn copy(
    what: &'static str,
    from: &DataDirectory,
    to: &DataDirectory,
) -> Result<ExitCode, CliError> {
    let copied = {
        let mut progress = Progress::new(what, super::end_of(from.log()));
        copy_data(from, to, &mut |position| progress.show(position)).map_err(super::failed)?
    };
    print(&format!(
        "{} events copied to {}\nhead {}\n",
        copied.log.position,
        to.path().display(),
        copied.log.hash_hex()
    ))?;
    Ok(ExitCode::SUCCESS)
}
