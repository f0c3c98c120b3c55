//! The command line: arguments, configuration, logging, then one command.
//!
//! Exit codes: 0 fine, 1 a finding or a failure, 2 wrong usage or a wrong configuration.
//! Standard output carries results only; everything else goes to standard error, errors as one
//! line each.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test ends where its expectation does"
    )
)]

mod compose;
pub mod config;
pub mod demo;
pub mod listen;
pub mod log;
pub mod serve;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::keys::{self, Key};
use crate::config::{Config, ConfigErrors, Inputs, LogFormat};
use crate::memory;

/// Keeps index portfolios on target, and can prove every decision.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, propagate_version = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command. Each beats the environment, which beats the file.
#[derive(Debug, Args)]
pub struct Global {
    /// A configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = "The data directory [env: EVENKEEL_DATA]"
    )]
    pub data: Option<PathBuf>,
    /// What is logged.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        help = "A level, or a filter such as info,evenkeel::http=debug [env: EVENKEEL_LOG]"
    )]
    pub log_level: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Run the server on sample indexes and replayed prices
    Demo(demo::DemoArgs),
    /// Look at the event log, copy it, rescue it
    Log(log::LogArgs),
    /// Tools for webhooks
    #[command(subcommand)]
    Webhook(Webhook),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Tools for webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Receive webhooks and check their signatures, for development
    Listen(listen::ListenArgs),
}

/// Values that flags give to keys of the configuration.
pub type Overrides = Vec<(&'static Key, String)>;

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Arguments that cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// A failure in the words of another error.
    pub fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

/// Threads for blocking reads of the log: more would wait for the same disk and cost memory.
const BLOCKING_THREADS_MAX: usize = 8;

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    memory::map_large_buffers();
    run(Cli::parse()).unwrap_or_else(|error| {
        for line in error.to_string().lines() {
            eprintln!("evenkeel: {line}");
        }
        error.exit_code()
    })
}

fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let inputs = inputs(&cli);
    let config = Config::load(&inputs)?;
    start_logging(&config)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(CliError::failed)?;
    runtime.block_on(dispatch(cli.command, config))
}

async fn dispatch(command: Command, config: Config) -> Result<ExitCode, CliError> {
    match command {
        Command::Serve(args) => serve::run(args, config).await,
        Command::Demo(args) => demo::run(args, config).await,
        Command::Log(args) => log::run(args, config).await,
        Command::Webhook(Webhook::Listen(args)) => listen::run(args, config).await,
        Command::Config(command) => config::run(command, &config),
    }
}

/// What the configuration is made of: flags of the command before those of every command.
fn inputs(cli: &Cli) -> Inputs {
    let mut flags = match &cli.command {
        Command::Serve(args) => args.overrides(),
        Command::Demo(args) => args.overrides(),
        Command::Log(_) | Command::Webhook(_) | Command::Config(_) => Overrides::new(),
    };
    if let Some(data) = &cli.global.data {
        flags.push((&keys::DATA, data.display().to_string()));
    }
    if let Some(level) = &cli.global.log_level {
        flags.push((&keys::LOG_LEVEL, level.clone()));
    }
    Inputs {
        flags,
        // Variables that are no UTF-8 are none of ours.
        env: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        file: cli.global.config.clone(),
    }
}

fn start_logging(config: &Config) -> Result<(), CliError> {
    let filter = EnvFilter::builder()
        .parse(&config.log.level)
        .map_err(CliError::failed)?;
    let is_terminal = io::stderr().is_terminal();
    let as_text = match config.log.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = if as_text {
        lines.with_ansi(is_terminal).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    started.map_err(CliError::failed)
}

/// Writes a result to standard output. A reader that has seen enough is no failure.
pub fn print(text: &str) -> Result<(), CliError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::failed(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_arguments_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_taken_before_and_after_the_command() {
        for line in [
            "evenkeel --data D --log-level debug serve --listen 127.0.0.1:0 --prices push",
            "evenkeel serve --listen 127.0.0.1:0 --prices push --data D --log-level debug",
        ] {
            let inputs = inputs(&parse(line));
            let config = Config::load(&Inputs {
                flags: inputs.flags,
                ..Inputs::default()
            })
            .unwrap();
            assert_eq!(config.listen.port(), 0);
            assert_eq!(config.data, PathBuf::from("D"));
            assert_eq!(config.log.level, "debug");
        }
    }

    #[test]
    fn every_command_parses() {
        for line in [
            "evenkeel serve",
            "evenkeel demo --cycles 250 --json --data D",
            "evenkeel log verify --data D",
            "evenkeel log tail --after 5 --limit 10",
            "evenkeel log replay --at 12 --json",
            "evenkeel log replay --stream market",
            "evenkeel log verify --head F --key K",
            "evenkeel log tail --follow --type trade.* --stream S --url http://h",
            "evenkeel log diff 1 2026-01-31T09:30:00Z --json",
            "evenkeel log inspect 7 --of paper",
            "evenkeel log stats --json",
            "evenkeel log export",
            "evenkeel log import F",
            "evenkeel log backup D",
            "evenkeel log restore D",
            "evenkeel log salvage F T --json",
            "evenkeel log truncate --after 7",
            "evenkeel log head --sign F",
            "evenkeel log key F",
            "evenkeel webhook listen",
            "evenkeel config check --config F",
            "evenkeel config print",
        ] {
            parse(line);
        }
        for line in [
            "evenkeel",
            "evenkeel dance",
            "evenkeel serve --liste x",
            "evenkeel log",
            "evenkeel log verify --head F",
            "evenkeel log truncate",
            "evenkeel log inspect 0",
            "evenkeel log diff 1",
            "evenkeel log replay --at yesterday",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
