//! `evenkeel serve`: the server.

use std::process::ExitCode;

use clap::Args;

use super::{CliError, Overrides};
use crate::config::{Config, keys};

/// Run the server.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS",
        help = "Where to listen [env: EVENKEEL_LISTEN] [default: 127.0.0.1:3000]"
    )]
    pub listen: Option<String>,
    /// Where prices come from.
    #[arg(
        long,
        value_name = "FEED",
        help = "Where prices come from: push, csv:PATH, http:URL [env: EVENKEEL_PRICES] [default: push]"
    )]
    pub prices: Option<String>,
}

impl ServeArgs {
    /// What the flags give to keys of the configuration.
    pub fn overrides(&self) -> Overrides {
        let listen = self.listen.iter().map(|text| (&keys::LISTEN, text.clone()));
        let prices = self.prices.iter().map(|text| (&keys::PRICES, text.clone()));
        listen.chain(prices).collect()
    }
}

/// Runs the server until it is told to stop.
#[expect(clippy::unused_async, reason = "it is composed later")]
pub async fn run(args: ServeArgs, config: Config) -> Result<ExitCode, CliError> {
    let _ = (args, config);
    Err(CliError::failed("serve is not wired yet"))
}
