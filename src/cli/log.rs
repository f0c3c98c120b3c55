//! `evenkeel log`: audit, the past, copies and rescue, without a server.

mod backup;
mod diff;
mod exchange;
mod follow;
mod head;
mod inspect;
mod progress;
mod replay;
mod salvage;
mod stats;
mod tail;
mod truncate;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use evenkeel_actors::books::Until;
use evenkeel_domain::values::Timestamp;
use evenkeel_events::{LogView, UpkeepError};

use super::CliError;
use crate::audit::AuditError;
use crate::audit::Which;
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
    Verify(verify::VerifyArgs),
    /// Print events, oldest first, one JSON object a line
    ///
    /// Without --follow they are read from the files of the data directory, also while a server
    /// runs there. With --follow they come from the running server, over HTTP, as it writes them:
    /// the events that the token may see, which for an admin token is all of them. A connection
    /// that breaks is made anew from the last position seen.
    Tail(tail::TailArgs),
    /// Rebuild the state of the past
    ///
    /// Read from the files, also while a server runs.
    Replay(replay::ReplayArgs),
    /// Show what changed between two times or positions
    Diff(diff::DiffArgs),
    /// Show one event: decoded, with its envelope, its frame and its bytes
    Inspect(inspect::InspectArgs),
    /// Count what the log consists of
    Stats(stats::StatsArgs),
    /// Write every event as a line of JSON to standard output
    Export,
    /// Make a data directory from exported lines
    ///
    /// The same positions, versions and hashes, or nothing: a line that was changed is refused.
    Import(exchange::ImportArgs),
    /// Copy the data directory to a new one, also while a server runs
    ///
    /// The copy holds everything that was acknowledged before the command began, and is itself a
    /// data directory: sealed, to be verified, served or restored. With the log go the paper
    /// venue's books, the keys of webhook secrets and of owners' names, and the admin token: keep
    /// it as safe as the original.
    Backup(backup::BackupArgs),
    /// Make the data directory from a backup
    ///
    /// The data directory must not exist yet, or be empty. Every frame is verified on the way.
    Restore(backup::RestoreArgs),
    /// Bring every intact event out of a damaged directory
    ///
    /// FROM is only read, whatever its database thinks. TO becomes a data directory with the
    /// unbroken part of the log; what lies beyond a gap is kept in TO/log.beyond, as frames and as
    /// exported lines; TO/salvage.json says what is missing. Exits with 1 when something is.
    Salvage(salvage::SalvageArgs),
    /// Cut the log after a position; what is cut is kept in a folder beside it
    ///
    /// What is kept is the last whole commit that ends at or before the position, or the last
    /// intact one if the log is damaged before that. The store as it was moves to the folder
    /// log.cut-after-POSITION, snapshots with it. Clients that remember a position past the cut
    /// must forget it.
    Truncate(truncate::TruncateArgs),
    /// Print where the log ends, signed if asked; also while a server runs
    ///
    /// A signed head is one line of JSON. Let a schedule append one to a file on another machine:
    /// `log verify --head FILE --key KEY` tells later whether history was rewritten.
    Head(head::HeadArgs),
    /// Make a key that signs heads
    Key(head::KeyArgs),
}

/// One of the logs in a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogName {
    /// The event log
    Log,
    /// The paper venue's books
    Paper,
}

impl From<LogName> for Which {
    fn from(name: LogName) -> Self {
        match name {
            LogName::Log => Self::Log,
            LogName::Paper => Self::Paper,
        }
    }
}

/// Looks at the log.
pub async fn run(args: LogArgs, config: Config) -> Result<ExitCode, CliError> {
    let data = DataDirectory::new(&config.data);
    match args.command {
        LogCommand::Verify(args) => verify::run(&data, &args),
        LogCommand::Tail(args) => tail::run(&data, args, &config).await,
        LogCommand::Replay(args) => replay::run(&data, &args),
        LogCommand::Diff(args) => diff::run(&data, &args),
        LogCommand::Inspect(args) => inspect::run(&data, &args),
        LogCommand::Stats(args) => stats::run(&data, &args),
        LogCommand::Export => exchange::export(&data),
        LogCommand::Import(args) => exchange::import(&data, &args),
        LogCommand::Backup(args) => backup::backup(&data, &args),
        LogCommand::Restore(args) => backup::restore(&data, &args),
        LogCommand::Salvage(args) => salvage::run(&args),
        LogCommand::Truncate(args) => truncate::run(&data, &args),
        LogCommand::Head(args) => head::run(&data, &args),
        LogCommand::Key(args) => head::make_key(&args),
    }
}

/// The log of a data directory, to be read only: a server may have it open.
fn view(data: &DataDirectory, which: Which) -> Result<LogView, CliError> {
    LogView::open(which.dir(data)).map_err(|error| failed(error.into()))
}

/// A target that is taken is wrong usage, everything else is a failure.
fn failed(error: AuditError) -> CliError {
    match error {
        AuditError::Upkeep(error @ UpkeepError::TargetNotEmpty(_)) => {
            CliError::Usage(error.to_string())
        }
        other => CliError::failed(other),
    }
}

/// A position or a time.
fn until(text: &str) -> Result<Until, String> {
    if let Ok(position) = text.parse::<u64>() {
        return Ok(Until::Position(position));
    }
    text.parse::<Timestamp>()
        .map(Until::Time)
        .map_err(|error| format!("{error}, and no position either"))
}

/// Position of the last event that was acknowledged, for showing progress; 0 when it is not known.
fn end_of(log: PathBuf) -> u64 {
    evenkeel_events::acknowledged_head(log).map_or(0, |head| head.position)
}
