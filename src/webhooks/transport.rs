//! The HTTP client of webhooks: one signed POST, bounded in time and in what it reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use evenkeel_actors::ports::{
    Clock, SealRefused, SigningKey, UrlRefused, WebhookRequest, WebhookTransport,
};
use evenkeel_domain::values::{Sealed, Span, Text, Timestamp, WebhookId};
use evenkeel_domain::webhook::{
    self, ANSWER_MAX, Answer, AttemptResult, HeaderName, IN_FLIGHT_MAX, Reason, Signature,
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Proxy, Response, redirect};
use url::{Host, Url};

use super::names::{Names, PolicedNames, SystemNames};
use super::policy::{AddressPolicy, PolicyError, Scheme, scheme_of};
use super::secrets::SecretKeeper;
use super::signature;
use crate::cause::innermost;
use crate::tls;

/// Longest attempt, from connecting to the last byte of the answer.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read of an answer: it is only looked at to free the connection for the next one.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// What is kept of the answer to an attempt that failed: characters have four bytes at most.
const ANSWER_KEPT_BYTES: usize = 4 * ANSWER_MAX;

/// Idle connections kept per receiver: what the windows of eight subscriptions to it take.
const IDLE_CONNECTIONS_MAX: usize = 8 * IN_FLIGHT_MAX;

/// How long one is kept: receivers that are seldom sent to hold none.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the webhook client cannot be made: {0}")]
pub struct TransportError(String);

/// The URL of a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl fmt::Debug for ProxyUrl {
    /// It may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyUrl(…)")
    }
}

impl ProxyUrl {
    /// A checked URL.
    pub fn new(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self(url))
        } else {
            Err("the URL must begin with http:// or https://".to_owned())
        }
    }
}

/// Sends signed messages over HTTP.
pub struct HttpTransport {
    tls: Client,
    plain: Client,
    /// Whether something else dials: then names are judged before each attempt.
    is_proxied: bool,
    names: PolicedNames,
    secrets: SecretKeeper,
    wall_clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl HttpTransport {
    /// A transport. Its clock is the wall's: receivers compare the time of a message with theirs.
    pub fn new(
        policy: AddressPolicy,
        secrets: SecretKeeper,
        wall_clock: Arc<dyn Clock>,
    ) -> Result<Self, TransportError> {
        Self::with_names(policy, Arc::new(SystemNames), secrets, wall_clock)
    }

    /// The same with names that somebody else looks up.
    pub fn with_names(
        policy: AddressPolicy,
        names: Arc<dyn Names>,
        secrets: SecretKeeper,
        wall_clock: Arc<dyn Clock>,
    ) -> Result<Self, TransportError> {
        tls::install_provider();
        let names = PolicedNames {
            names,
            policy: Arc::new(policy),
        };
        Ok(Self {
            tls: built(client().no_proxy().dns_resolver(names.of(Scheme::Tls)))?,
            plain: built(client().no_proxy().dns_resolver(names.of(Scheme::Plain)))?,
            is_proxied: false,
            names,
            secrets,
            wall_clock,
            timeout: ATTEMPT_TIMEOUT,
        })
    }

    /// The same through a proxy, which is dialled wherever it is. It looks the names up itself: the
    /// policy here decides on what they lead to for us.
    pub fn through(mut self, proxy: &ProxyUrl) -> Result<Self, TransportError> {
        let refused = |error: reqwest::Error| TransportError(error.to_string());
        let proxied = || Proxy::all(proxy.0.clone()).map_err(refused);
        self.tls = built(client().proxy(proxied()?))?;
        self.plain = built(client().proxy(proxied()?))?;
        self.is_proxied = true;
        Ok(self)
    }

    /// The same with another limit on the length of an attempt.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The answer, and how its body begins.
    async fn attempt(&self, request: &WebhookRequest) -> Result<(Response, Vec<u8>), String> {
        // Names are checked when they are resolved for dialling, literal addresses here.
        let url = self.names.policy.check_text(&request.url);
        let url = url.map_err(|error| error.to_string())?;
        if self.is_proxied {
            self.judge_name(&url)
                .await
                .map_err(|error| error.to_string())?;
        }
        let client = match scheme_of(&url) {
            Scheme::Tls => &self.tls,
            Scheme::Plain => &self.plain,
        };
        let timestamp = self.wall_clock.now().as_secs();
        let post = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &request.message_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.signatures(request, timestamp)?)
            .header("x-webhook-event", &request.event_type)
            .headers(self.headers(request)?)
            .body(request.body.clone());
        let mut response = post.send().await.map_err(|error| told(&error))?;
        let (mut read, mut begins) = (0, Vec::new());
        while read <= ANSWER_MAX_BYTES {
            match response.chunk().await.map_err(|error| told(&error))? {
                Some(chunk) => {
                    read += chunk.len();
                    let room = ANSWER_KEPT_BYTES.saturating_sub(begins.len());
                    begins.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                None => break,
            }
        }
        Ok((response, begins))
    }

    /// Looks up where a URL's name leads to and judges it.
    async fn judge_name(&self, url: &Url) -> Result<(), PolicyError> {
        if let Some(Host::Domain(name)) = url.host() {
            self.names.resolve(name, scheme_of(url)).await?;
        }
        Ok(())
    }

    fn signatures(&self, request: &WebhookRequest, timestamp: i64) -> Result<String, String> {
        let WebhookRequest {
            webhook_id,
            message_id,
            body,
            keys,
            ..
        } = request;
        let sign = |key: &SigningKey| {
            let secret = self.secrets.secret_of(*webhook_id, key);
            let secret = secret.ok_or("the secret was sealed with another key; rotate it")?;
            let signature = signature::sign(&secret, message_id, timestamp, body);
            signature.map_err(|error| error.to_string())
        };
        let mut signatures = keys.iter().map(sign).collect::<Result<Vec<_>, String>>()?;
        if request.signature == Signature::V1a {
            signatures.extend(keys.iter().map(|key| {
                let pair = self.secrets.asymmetric(*webhook_id, key.generation);
                pair.sign(message_id, timestamp, body)
            }));
        }
        Ok(signatures.join(" "))
    }

    /// The headers of the owner, marked so that no log shows what they say.
    fn headers(&self, request: &WebhookRequest) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for header in &request.headers {
            let value = self.secrets.open_header(request.webhook_id, header);
            let unusable = || format!("the header {} cannot be read; set it anew", header.name);
            let value = value.ok_or_else(unusable)?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| unusable())?;
            value.set_sensitive(true);
            let name = reqwest::header::HeaderName::from_bytes(header.name.as_str().as_bytes());
            headers.append(name.map_err(|_| unusable())?, value);
        }
        Ok(headers)
    }

    fn judge(&self, response: &Response, begins: &[u8]) -> AttemptResult {
        let status = response.status();
        if status.is_success() {
            return AttemptResult::Success {
                status: status.as_u16(),
            };
        }
        let why = if status.is_redirection() {
            "redirects are not followed"
        } else {
            "the receiver did not take it"
        };
        AttemptResult::Failure {
            status: Some(status.as_u16()),
            reason: reason(&format!("{why}: status {status}")),
            retry_after: retry_after(response.headers(), self.wall_clock.now()),
            answer: said(response.headers(), begins),
        }
    }
}

#[async_trait]
impl WebhookTransport for HttpTransport {
    async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        match tokio::time::timeout(self.timeout, self.attempt(request)).await {
            Ok(Ok((response, begins))) => self.judge(&response, &begins),
            Ok(Err(why)) => failed(None, &why),
            Err(_) => failed(
                None,
                &format!("no complete answer within {:?}", self.timeout),
            ),
        }
    }

    async fn check_url(&self, url: &str) -> Result<(), UrlRefused> {
        let refused = |error: PolicyError| UrlRefused(error.to_string());
        let url = self.names.policy.check_text(url).map_err(refused)?;
        self.judge_name(&url).await.map_err(refused)
    }

    fn secret(&self, webhook_id: WebhookId, key: &SigningKey) -> Option<String> {
        self.secrets.secret_of(webhook_id, key)
    }

    fn public_key(&self, webhook_id: WebhookId, generation: u32) -> Option<String> {
        Some(self.secrets.asymmetric(webhook_id, generation).public())
    }

    fn may_unsubscribe(&self, webhook_id: WebhookId, token: &str) -> bool {
        self.secrets.may_unsubscribe(webhook_id, token)
    }

    fn seal_secret(&self, webhook_id: WebhookId, secret: &str) -> Result<Sealed, SealRefused> {
        let refused = |error: &dyn fmt::Display| SealRefused(error.to_string());
        signature::check_secret(secret).map_err(|error| refused(&error))?;
        let sealed = self.secrets.seal_secret(webhook_id, secret);
        sealed.map_err(|error| refused(&error))
    }

    fn seal_header(
        &self,
        webhook_id: WebhookId,
        name: &HeaderName,
        value: &webhook::HeaderValue,
    ) -> Result<Sealed, SealRefused> {
        let sealed = self.secrets.seal_header(webhook_id, name, value.as_str());
        sealed.map_err(|error| SealRefused(error.to_string()))
    }
}

fn client() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
}

fn built(client: ClientBuilder) -> Result<Client, TransportError> {
    client
        .build()
        .map_err(|error| TransportError(error.to_string()))
}

/// What went wrong, from the innermost cause, without the URL: it may hold a secret.
fn told(error: &reqwest::Error) -> String {
    let kind = if error.is_connect() {
        "cannot connect"
    } else {
        "the exchange failed"
    };
    format!("{kind}: {}", innermost(error))
}

/// `Retry-After` in both of its forms: seconds, which some write with decimals, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Span> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Span::from_secs(seconds));
    }
    if let Some((seconds, decimals)) = text.split_once('.')
        && decimals.bytes().all(|digit| digit.is_ascii_digit())
        && let Ok(seconds) = seconds.parse::<u64>()
    {
        // Later is allowed, earlier is not.
        return Some(Span::from_secs(seconds.saturating_add(1)));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from_micros(date.timestamp_micros()).since(now))
}

/// What a receiver said, as far as it is kept.
fn said(headers: &HeaderMap, begins: &[u8]) -> Answer {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    Answer {
        content_type: kept(content_type.unwrap_or_default()),
        body: kept(begins),
    }
}

/// Text of a stranger: cut, and without what could move a reader's cursor.
fn kept<const MAX: usize>(bytes: &[u8]) -> Text<MAX> {
    let text = String::from_utf8_lossy(bytes);
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = visible.take(MAX).collect();
    Text::optional(&cut).unwrap_or_default()
}

/// An attempt to which nobody answered with more than a status.
pub(super) fn failed(status: Option<u16>, why: &str) -> AttemptResult {
    AttemptResult::Failure {
        status,
        reason: reason(why),
        retry_after: None,
        answer: Answer::default(),
    }
}

/// A reason, cut to the length that one may have.
fn reason(text: &str) -> Reason {
    let cut: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Reason::optional(&cut).unwrap_or_default()
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
