//! `evenkeel log truncate`: the log up to a position, the rest kept beside.

use std::process::ExitCode;

use clap::Args;

use super::LogName;
use crate::audit::rescue::truncate_data;
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Where to cut. What is kept is the last whole commit that ends at or before the position, or the
/// last intact one if the log is damaged before that. The store as it was moves to a folder beside
/// the log, snapshots with it. Clients that remember a position past the cut must forget it.
#[derive(Debug, Args)]
pub struct TruncateArgs {
    /// The last position to keep
    #[arg(long, value_name = "POSITION")]
    pub after: u64,
    /// Which log
    #[arg(long, value_name = "LOG", default_value = "log")]
    pub of: LogName,
}

pub(super) fn run(data: &DataDirectory, args: &TruncateArgs) -> Result<ExitCode, CliError> {
    let done = truncate_data(data, args.of.into(), args.after).map_err(super::failed)?;
    let head = done.head;
    let Some(aside) = done.aside else {
        print(&format!(
            "nothing to cut: the log is whole and ends at position {}\n",
            head.position
        ))?;
        return Ok(ExitCode::SUCCESS);
    };
    let before = match done.before {
        Some(before) => format!("it ended at position {}", before.position),
        None => "where it ended is not known".to_owned(),
    };
    print(&format!(
        "the log ends at position {} now, {before}\nhead {}\nthe store as it was: {}\n",
        head.position,
        head.hash_hex(),
        aside.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
