//! `evenkeel serve`: the server.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::{CliError, Overrides, compose};
use crate::admin;
use crate::audit::head_exports::HeadExports;
use crate::audit::heads::SigningKey;
use crate::config::{Config, keys};
use crate::engine::{DataDirectory, Engine};
use crate::http::{self, Api};
use crate::{memory, open_files};

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
pub async fn run(_: ServeArgs, config: Config) -> Result<ExitCode, CliError> {
    open_files::raise_limit();
    let stop = StopSignals::listen().map_err(CliError::failed)?;
    let listener = http::bind(config.listen).await;
    let listener = listener.map_err(|error| {
        CliError::Failed(format!("cannot listen on {}: {error}", config.listen))
    })?;
    let engine = open(&config).await?;
    if let Some(token) = admin::first_token(&engine, &DataDirectory::new(&config.data))
        .await
        .map_err(CliError::failed)?
    {
        println!("admin token: {token}");
    }
    let api = Api::open(
        (*engine).clone(),
        Arc::clone(engine.clock()),
        Arc::clone(engine.entropy()),
    );
    let api = api.await.map_err(CliError::failed)?;
    println!("listening on http://{}", listener.local_addr());
    let exporting = export_heads(&config, &engine)?;
    let trimming = tokio::spawn(memory::trim_at_rest(engine.log().watch()));
    let drained = http::serve(
        listener,
        api.with_stop_deadline(config.stop_deadline),
        stop.asked(),
    )
    .await;
    if !drained {
        tracing::warn!("requests were still in flight at the deadline");
    }
    trimming.abort();
    if let Some(exporting) = exporting {
        exporting.abort();
    }
    engine.close().await.map_err(CliError::failed)?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Signs heads of the log on their schedule, when there is a key for it.
fn export_heads(config: &Config, engine: &Engine) -> Result<Option<JoinHandle<()>>, CliError> {
    let Some(key) = &config.heads.key else {
        return Ok(None);
    };
    let unusable = |error: &dyn std::fmt::Display| CliError::Usage(format!("heads.key: {error}"));
    let key = SigningKey::read(key).map_err(|error| unusable(&error))?;
    let path = &config.heads.file;
    let exports = HeadExports::open(key, path)
        .map_err(|error| CliError::Failed(format!("signed heads, {}: {error}", path.display())))?;
    let (log, clock) = (Arc::clone(engine.log()), Arc::clone(engine.clock()));
    let run = exports.run(log, clock, config.heads.every);
    Ok(Some(tokio::spawn(run)))
}

/// The engine that the configuration describes.
async fn open(config: &Config) -> Result<Engine, CliError> {
    let builder = compose::builder(config);
    let builder = match compose::feed(config)? {
        Some(feed) => builder.feed(feed),
        None => builder,
    };
    builder.open().await.map_err(CliError::failed)
}

/// SIGTERM and Ctrl-C. Listened for from the beginning: one that comes while the log is opened
/// is not lost, and does not end the process where it stands.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they end nothing by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves when one of them has come.
    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping");
    }
}
