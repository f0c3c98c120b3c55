//! `evenkeel demo`: the server with sample indexes on replayed prices.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, Overrides};
use crate::config::{Config, keys};

/// Run the server on sample indexes and replayed prices.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after so many cycles, with a summary
    #[arg(long, value_name = "N")]
    pub cycles: Option<u64>,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    /// The port to listen on [default: the configured one]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

impl DemoArgs {
    /// What the flags give to keys of the configuration.
    pub fn overrides(&self) -> Overrides {
        let listen = |port| (&keys::LISTEN, format!("127.0.0.1:{port}"));
        self.port.map(listen).into_iter().collect()
    }
}

/// Runs the demo.
#[expect(clippy::unused_async, reason = "it is composed later")]
pub async fn run(args: DemoArgs, config: Config) -> Result<ExitCode, CliError> {
    let _ = (args, config);
    Err(CliError::failed("demo is not wired yet"))
}
