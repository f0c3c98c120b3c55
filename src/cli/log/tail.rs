//! `evenkeel log tail`: events as JSON, one a line.

use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::engine::LoggedEvent;
use evenkeel_actors::journal;
use serde_json::json;

use crate::cli::{CliError, print};
use crate::engine::DataDirectory;

/// Events read at once.
const PAGE: usize = 1_024;

/// Which events.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Begin after this position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub after: u64,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Of this type only
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
}

pub(super) async fn run(data: &DataDirectory, args: TailArgs) -> Result<ExitCode, CliError> {
    let log = super::open(data)?;
    let (mut after, mut left) = (args.after, args.limit.unwrap_or(usize::MAX));
    while left > 0 {
        let page = log.read(after, PAGE).await.map_err(CliError::failed)?;
        let Some(last) = page.last() else { break };
        after = last.position;
        let wanted = page.iter().filter(|recorded| {
            args.event_type
                .as_deref()
                .is_none_or(|wanted| wanted == &*recorded.event_type)
                && args
                    .stream
                    .as_deref()
                    .is_none_or(|wanted| wanted == recorded.stream.as_str())
        });
        for recorded in wanted.take(left) {
            left -= 1;
            print(&line(&journal::logged(recorded).map_err(CliError::failed)?))?;
        }
    }
    log.close().await.map_err(CliError::failed)?;
    Ok(ExitCode::SUCCESS)
}

fn line(logged: &LoggedEvent) -> String {
    let value = json!({
        "position": logged.position,
        "stream": logged.stream,
        "version": logged.version,
        "type": &*logged.event_type,
        "at": logged.at,
        "owner": logged.owner,
        "by": &*logged.by,
        "correlation": logged.correlation,
        "causation": logged.causation,
        "data": logged.data(),
    });
    format!("{value}\n")
}
