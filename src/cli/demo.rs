//! `evenkeel demo`: the server with sample indexes on replayed prices.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::serve::StopSignals;
use super::{CliError, Overrides, compose, print};
use crate::config::{Config, keys};
use crate::demo::Demo;
use crate::http::{self, Api};
use crate::time::SystemClock;
use crate::venues::Faults;

/// Calls in a thousand that meet a fault when faults are asked for: most rebalances meet one, and
/// nearly none as many in a row as are waited for.
const FAULTS_PERMILLE: u16 = 200;

/// Run the server on sample indexes and replayed prices.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after so many cycles, with a summary
    #[arg(long, value_name = "N")]
    pub cycles: Option<u64>,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Let calls to the paper venue fail, by a seed: errors before and after acting, silence,
    /// slow and double answers, rate limits, refused, expired and partly filled orders
    #[arg(long, value_name = "SEED")]
    pub faults: Option<u64>,
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

/// Runs the demo: without `--data` or a configured directory in a temporary one.
pub async fn run(args: DemoArgs, config: Config) -> Result<ExitCode, CliError> {
    let stop = StopSignals::listen().map_err(CliError::failed)?;
    let data = data_directory(&config).map_err(CliError::failed)?;
    let mut builder = compose::builder(&config);
    if let Some(seed) = args.faults {
        builder = builder.faults(Faults::seeded(seed, FAULTS_PERMILLE));
    }
    let mut demo = Demo::open(builder, config.settings(), data.clone())
        .await
        .map_err(CliError::failed)?;
    let server = start_server(&demo, &config, &args).await?;
    eprintln!("data   {}", data.display());
    eprintln!("url    http://{}", server.address);
    let token = demo.admin_token();
    eprintln!(
        "token  {}",
        token.as_deref().unwrap_or("(admin.token is gone)")
    );
    let played = demo.play(args.cycles, stop.asked()).await;
    server.stop().await;
    played.map_err(CliError::failed)?;
    let summary = demo.end().await.map_err(CliError::failed)?;
    let text = if args.json {
        format!("{}\n", summary.to_json())
    } else {
        summary.to_string()
    };
    print(&text)?;
    Ok(if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The configured directory, or one of its own: a demo never mixes with a server's data unasked.
/// It is kept, to be looked at; nobody can have made it before, or reads what is in it.
fn data_directory(config: &Config) -> io::Result<PathBuf> {
    if config.is_set(&keys::DATA) {
        return Ok(config.data.clone());
    }
    let mut name = tempfile::Builder::new();
    Ok(name.prefix("evenkeel-demo-").tempdir()?.keep())
}

/// The HTTP server beside the demo.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<bool>,
}

impl Server {
    async fn stop(self) {
        // A server that has ended already hears nothing, and is what is wanted.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Listens where it is configured; a default port that is taken gives way to a free one.
async fn start_server(demo: &Demo, config: &Config, args: &DemoArgs) -> Result<Server, CliError> {
    let asked = args.port.is_some() || config.is_set(&keys::LISTEN);
    let listener = match http::bind(config.listen).await {
        Err(error) if !asked => {
            tracing::warn!(%error, address = %config.listen, "the port is taken, another is used");
            http::bind(SocketAddr::new(config.listen.ip(), 0)).await
        }
        other => other,
    };
    let listener = listener.map_err(|error| {
        CliError::Failed(format!("cannot listen on {}: {error}", config.listen))
    })?;
    let engine = demo.engine();
    let api = Api::open(
        (**engine).clone(),
        Arc::new(SystemClock),
        Arc::clone(engine.entropy()),
    );
    let api = api.await.map_err(CliError::failed)?;
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(http::serve(
        listener,
        api.with_stop_deadline(config.stop_deadline),
        async {
            // A dropped sender means that the demo is gone: a reason to stop as well.
            let _ = stopped.await;
        },
    ));
    Ok(Server {
        address,
        stop,
        task,
    })
}
