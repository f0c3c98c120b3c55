//! `evenkeel log tail`: events as JSON, one a line.

use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::engine::LoggedEvent;
use evenkeel_actors::journal;
use evenkeel_events::Recorded;
use serde_json::json;

use super::follow;
use crate::audit::Which;
use crate::cli::{CliError, print};
use crate::config::Config;
use crate::engine::DataDirectory;

/// Which events, and from where.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Begin after this position [default: 0, with --follow what comes next]
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Of this type only; a group as trade.*
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Wait for what comes, from a running server
    #[arg(long)]
    pub follow: bool,
    /// Where the server is [default: the configured address]
    #[arg(long, value_name = "URL", env = "EVENKEEL_URL")]
    pub url: Option<String>,
    /// The token to follow with [default: the admin token in the data directory]
    #[arg(
        long,
        value_name = "TOKEN",
        env = "EVENKEEL_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
}

impl TailArgs {
    fn wants(&self, recorded: &Recorded) -> bool {
        let of_type = |wanted: &str| match wanted.strip_suffix('*') {
            Some(group) => recorded.event_type.starts_with(group),
            None => wanted == &*recorded.event_type,
        };
        self.event_type.as_deref().is_none_or(of_type)
            && self
                .stream
                .as_deref()
                .is_none_or(|wanted| wanted == recorded.stream.as_str())
    }
}

pub(super) async fn run(
    data: &DataDirectory,
    args: TailArgs,
    config: &Config,
) -> Result<ExitCode, CliError> {
    if args.follow {
        return follow::run(data, &args, config).await;
    }
    let mut view = super::view(data, Which::Log)?;
    let (after, mut left) = (args.after.unwrap_or(0), args.limit.unwrap_or(usize::MAX));
    for frame in view.frames(after) {
        if left == 0 {
            break;
        }
        let mut text = String::new();
        let events = frame.and_then(|frame| frame.events());
        let events = events.map_err(CliError::failed)?;
        let wanted = |event: &&Recorded| event.position > after && args.wants(event);
        for recorded in events.iter().filter(wanted).take(left) {
            left -= 1;
            text.push_str(&line(&journal::logged(recorded).map_err(CliError::failed)?));
        }
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same fields that the server's stream of events has.
fn line(logged: &LoggedEvent) -> String {
    let value = json!({
        "position": logged.position,
        "stream": logged.stream,
        "version": logged.version,
        "type": &*logged.event_type,
        "payloadVersion": logged.payload_version,
        "at": logged.at,
        "owner": logged.owner,
        "by": &*logged.by,
        "correlation": logged.correlation,
        "causation": logged.causation,
        "data": logged.data(),
    });
    format!("{value}\n")
}
