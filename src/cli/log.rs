//! `evenkeel log`: audit without a server.

mod replay;
mod tail;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use evenkeel_events::{EventLog, SledLog, SledOptions};

use super::CliError;
use crate::config::Config;
use crate::engine::DataDirectory;

/// Look at the event log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check every stored byte; exits with 1 and the first bad position when one is wrong
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print events, oldest first, one JSON object a line
    Tail(tail::TailArgs),
    /// Rebuild the state of the past
    Replay(replay::ReplayArgs),
}

/// Looks at the log.
pub async fn run(args: LogArgs, config: Config) -> Result<ExitCode, CliError> {
    let data = DataDirectory::new(&config.data);
    match args.command {
        LogCommand::Verify { json } => verify::run(&data, json),
        LogCommand::Tail(args) => tail::run(&data, args).await,
        LogCommand::Replay(args) => replay::run(&data, args).await,
    }
}

/// The log of a data directory that no server has open.
fn open(data: &DataDirectory) -> Result<Arc<dyn EventLog>, CliError> {
    if !data.log().is_dir() {
        return Err(CliError::Failed(format!(
            "there is no log in {}",
            data.path().display()
        )));
    }
    Ok(Arc::new(
        SledLog::open(data.log(), SledOptions::default()).map_err(CliError::failed)?,
    ))
}
