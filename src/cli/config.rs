//! `evenkeel config`: what the other commands would run with.

use std::process::ExitCode;

use clap::Subcommand;

use super::{CliError, print};
use crate::config::Config;

/// Check or print the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with the configuration, or that nothing is
    Check,
    /// Print the configuration as TOML, with the source of each value and without secrets
    Print,
}

/// Both load the configuration; when that fails, the program has said why and ended with 2.
pub fn run(command: ConfigCommand, config: &Config) -> Result<ExitCode, CliError> {
    match command {
        ConfigCommand::Check => print("the configuration is fine\n")?,
        ConfigCommand::Print => print(&config.print())?,
    }
    Ok(ExitCode::SUCCESS)
}
