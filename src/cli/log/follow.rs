//! `evenkeel log tail --follow`: the running server's stream of events.
//!
//! The server has the log open and says at once when it has grown; the files would have to be
//! scanned again and again. A connection that breaks is made anew, from the last position seen.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::tail::TailArgs;
use crate::cause::innermost;
use crate::cli::{CliError, print};
use crate::config::Config;
use crate::engine::DataDirectory;
use crate::tls;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence: the server breaks it every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Pause before a broken connection is made anew.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often in a row that is tried: a restart of the server takes less.
const AGAIN_MAX: u32 = 60;
/// Longest event in the stream: a largest payload as JSON stays far below.
const EVENT_MAX_BYTES: usize = 4 * 1024 * 1024;

struct Follower<'a> {
    args: &'a TailArgs,
    client: Client,
    url: Url,
    token: String,
    after: u64,
    left: usize,
}

pub(super) async fn run(
    data: &DataDirectory,
    args: &TailArgs,
    config: &Config,
) -> Result<ExitCode, CliError> {
    let mut follower = Follower::new(data, args, config)?;
    let mut response = follower.first().await?;
    while follower.left > 0 {
        follower.print_all(response).await?;
        if follower.left == 0 {
            break;
        }
        response = follower.again().await?;
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> Follower<'a> {
    fn new(data: &DataDirectory, args: &'a TailArgs, config: &Config) -> Result<Self, CliError> {
        let address = args
            .url
            .clone()
            .unwrap_or_else(|| format!("http://{}", config.listen));
        let url = Url::parse(&address).ok().filter(Url::has_host);
        let url = url.ok_or_else(|| {
            CliError::Usage(format!(
                "{address:?} is not a URL such as http://127.0.0.1:3000"
            ))
        })?;
        let written = || std::fs::read_to_string(data.admin_token()).ok();
        let token = args.token.clone().or_else(written).ok_or_else(|| {
            CliError::Usage(
                "no token: set EVENKEEL_TOKEN, or name the server's data directory".to_owned(),
            )
        })?;
        tls::install_provider();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .build()
            .map_err(CliError::failed)?;
        Ok(Self {
            args,
            client,
            url,
            token: token.trim().to_owned(),
            after: args.after.unwrap_or(0),
            left: args.limit.unwrap_or(usize::MAX),
        })
    }

    /// The first connection: whatever is wrong with it is said at once.
    async fn first(&mut self) -> Result<Response, CliError> {
        let unreachable = |error: reqwest::Error| {
            CliError::Failed(format!(
                "no server answers at {}: {}; without --follow the files are read",
                self.url,
                innermost(&error)
            ))
        };
        if self.args.after.is_none() {
            let ready = self.client.get(self.at("/readyz")).send().await;
            let ready = json_of(ready.map_err(unreachable)?).await;
            self.after = ready["position"].as_u64().ok_or_else(|| {
                CliError::Failed(format!("the server at {} is not ready", self.url))
            })?;
        }
        let response = self.connect().await.map_err(unreachable)?;
        self.accepted(response).await
    }

    async fn again(&mut self) -> Result<Response, CliError> {
        for _ in 0..AGAIN_MAX {
            tokio::time::sleep(AGAIN_AFTER).await;
            match self.connect().await {
                Ok(response) if response.status().is_server_error() => {}
                Ok(response) => return self.accepted(response).await,
                Err(error) => tracing::debug!(%error, "the server is not back yet"),
            }
        }
        Err(CliError::Failed(format!(
            "the server at {} is gone; the last event seen is at position {}",
            self.url, self.after
        )))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    async fn connect(&self) -> reqwest::Result<Response> {
        let mut url = self.at("/api/events/stream");
        url.query_pairs_mut()
            .append_pair("after", &self.after.to_string());
        if let Some(event_type) = &self.args.event_type {
            url.query_pairs_mut().append_pair("type", event_type);
        }
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    async fn accepted(&self, response: Response) -> Result<Response, CliError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = json_of(response).await;
        let detail = problem["detail"].as_str().unwrap_or("no reason given");
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; set EVENKEEL_TOKEN",
            _ => "",
        };
        Err(CliError::Failed(format!(
            "the server refused with {}: {detail}{hint}",
            status.as_u16()
        )))
    }

    /// Prints events until the connection breaks or there are enough.
    async fn print_all(&mut self, response: Response) -> Result<(), CliError> {
        let (mut chunks, mut buffer) = (response.bytes_stream(), Vec::new());
        while let Some(Ok(chunk)) = chunks.next().await {
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = buffer.drain(..end + 2).collect();
                self.print_one(&String::from_utf8_lossy(&block))?;
                if self.left == 0 {
                    return Ok(());
                }
            }
            if buffer.len() > EVENT_MAX_BYTES {
                return Err(CliError::Failed(
                    "what the server sends is no stream of events".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn print_one(&mut self, block: &str) -> Result<(), CliError> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let (Some(position), Some(event)) = (field("id: "), field("data: ")) else {
            return Ok(());
        };
        self.after = position.parse().unwrap_or(self.after);
        if let Some(stream) = &self.args.stream {
            let event: Value = serde_json::from_str(event).map_err(CliError::failed)?;
            if event["stream"] != **stream {
                return Ok(());
            }
        }
        self.left -= 1;
        print(&format!("{event}\n"))
    }
}

/// The answer as JSON; null when it is none.
async fn json_of(response: Response) -> Value {
    let bytes = response.bytes().await.unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
