//! `evenkeel webhook listen`: a receiver for development. One line per message.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use evenkeel_actors::ports::Clock as _;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::serve::StopSignals;
use super::{CliError, print};
use crate::config::Config;
use crate::time::SystemClock;
use crate::webhooks::receiver::{Message, Observer, Receiver};

/// Receive webhooks and check their signatures, for development.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// A secret that messages may be signed with; repeat it for several. Without one signatures
    /// are not checked
    #[arg(
        long,
        value_name = "WHSEC",
        env = "EVENKEEL_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    pub secret: Vec<String>,
    /// Print each message as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Answer the first N messages with status 500, to see retries
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail: u64,
}

/// Listens until it is told to stop.
pub async fn run(args: ListenArgs, _: Config) -> Result<ExitCode, CliError> {
    let stop = StopSignals::listen().map_err(CliError::failed)?;
    let observer = observer(args.json, args.fail);
    let receiver = Receiver::start_with(
        args.listen,
        Arc::new(SystemClock),
        args.secret,
        Some(observer),
    )
    .await;
    let receiver = receiver
        .map_err(|error| CliError::Failed(format!("cannot listen on {}: {error}", args.listen)))?;
    eprintln!("listening on http://{}", receiver.address());
    stop.asked().await;
    receiver.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Prints each message, and fails the first ones.
fn observer(as_json: bool, fail: u64) -> Observer {
    let to_fail = AtomicU64::new(fail);
    Box::new(move |message| {
        let failed = to_fail
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        let status = failed.then_some(StatusCode::INTERNAL_SERVER_ERROR);
        let line = if as_json {
            json_line(message)
        } else {
            text_line(message, failed)
        };
        // A reader that has gone has seen enough.
        let _ = print(&line);
        status
    })
}

fn json_line(message: &Message) -> String {
    let body = serde_json::from_slice::<Value>(&message.body)
        .unwrap_or_else(|_| json!(String::from_utf8_lossy(&message.body)));
    let line = json!({
        "at": SystemClock.now(),
        "id": message.id,
        "type": message.event_type,
        "verified": message.verified,
        "duplicate": message.duplicate,
        "body": body,
    });
    format!("{line}\n")
}

fn text_line(message: &Message, failed: bool) -> String {
    let worth = match message.verified {
        None => "not checked",
        Some(true) => "signature good",
        Some(false) => "SIGNATURE BAD",
    };
    let answered = if failed { ", answered 500" } else { "" };
    let repeat = if message.duplicate { ", repeat" } else { "" };
    format!(
        "{}  {:<26} {}  {worth}{repeat}{answered}\n",
        SystemClock.now(),
        message.event_type,
        message.id
    )
}
