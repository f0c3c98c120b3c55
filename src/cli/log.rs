//! `evenkeel log`: audit without a server.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::CliError;
use crate::config::Config;

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
    Verify,
    /// Print events, oldest first
    Tail {
        /// Begin after this position
        #[arg(long, value_name = "POSITION", default_value_t = 0)]
        after: u64,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Of this type only
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Of this stream only
        #[arg(long, value_name = "STREAM")]
        stream: Option<String>,
    },
    /// Rebuild the state of the past
    Replay {
        /// As of this time (RFC 3339) or position [default: now]
        #[arg(long, value_name = "TIME|POSITION")]
        at: Option<String>,
        /// Of this index only
        #[arg(long, value_name = "ID")]
        index: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Looks at the log.
#[expect(clippy::unused_async, reason = "it is composed later")]
pub async fn run(args: LogArgs, config: Config) -> Result<ExitCode, CliError> {
    let _ = (args, config);
    Err(CliError::failed("log is not wired yet"))
}
