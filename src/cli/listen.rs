//! `evenkeel webhook listen`: a receiver that checks signatures.

use std::process::ExitCode;

use clap::Args;

use super::CliError;
use crate::config::Config;

/// Receive webhooks and check their signatures.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// The port to listen on, on the loopback address
    #[arg(long, value_name = "PORT", default_value_t = 4000)]
    pub port: u16,
    /// The secret, `whsec_…`; without it signatures are shown and not checked
    #[arg(
        long,
        value_name = "SECRET",
        env = "EVENKEEL_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    pub secret: Option<String>,
}

/// Receives until it is told to stop.
#[expect(clippy::unused_async, reason = "it is composed later")]
pub async fn run(args: ListenArgs, config: Config) -> Result<ExitCode, CliError> {
    let _ = (args, config);
    Err(CliError::failed("webhook listen is not wired yet"))
}
