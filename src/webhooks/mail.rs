//! The mail channel: one message through a relay, whose answer is the outcome of the attempt.
//!
//! ```text
//! {"subject","text"} ─► RFC 5322 message, List-Unsubscribe ─► relay (SMTP, TLS as its URL says)
//! ```

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use evenkeel_actors::ports::{Clock, WebhookRequest};
use evenkeel_domain::values::{Timestamp, WebhookId};
use evenkeel_domain::webhook::AttemptResult;
use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MessageBuilder};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use serde::Deserialize;
use url::Url;

use super::secrets::SecretKeeper;
use super::transport::{ATTEMPT_TIMEOUT, failed};
use crate::cause::innermost;
use crate::tls;

/// The scheme of mail subscriptions' URLs.
const MAILTO: &str = "mailto:";

/// Where the links in mails lead, below the public URL.
pub const UNSUBSCRIBE: &str = "/unsubscribe";

/// The URL of a relay: `smtps://USER:PASSWORD@HOST`, `smtp://…?tls=required`, or `smtp://HOST:PORT`
/// without TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayUrl(String);

impl fmt::Debug for RelayUrl {
    /// It may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayUrl(…)")
    }
}

impl RelayUrl {
    /// A checked URL. A password goes over TLS, or stays on this machine.
    pub fn new(text: &str) -> Result<Self, String> {
        let url: Url = text
            .parse()
            .map_err(|error| format!("it is no URL: {error}"))?;
        // An address in a URL of a scheme that it does not know is text for the parser.
        let host = url.host_str().ok_or("it has no host")?;
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let tls = url.query_pairs().find(|(name, _)| name == "tls");
        let is_secured = match (url.scheme(), tls.as_ref().map(|(_, value)| &**value)) {
            ("smtps", _) | ("smtp", Some("required")) => true,
            ("smtp", None) => false,
            ("smtp", Some(other)) => return Err(format!("tls={other} is not known")),
            (scheme, _) => return Err(format!("the scheme is smtp or smtps, not {scheme}")),
        };
        if url.password().is_some() && !is_secured && !is_local {
            return Err("a password needs TLS: smtps:, or ?tls=required".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// How mails are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// The relay.
    pub relay: RelayUrl,
    /// Whom mails come from.
    pub from: Mailbox,
    /// Domains that mails may go to; any when there is none.
    pub allow_domains: Vec<String>,
    /// This server as others reach it, for the links in mails. Without it a recipient can
    /// unsubscribe by a mail to `from` alone.
    pub public_url: Option<Url>,
}

/// A message for people, as the channel makes it.
#[derive(Debug, Deserialize)]
struct Written {
    subject: String,
    text: String,
}

/// Sends mails.
pub struct MailTransport {
    relay: AsyncSmtpTransport<Tokio1Executor>,
    settings: MailSettings,
    secrets: SecretKeeper,
    wall_clock: Arc<dyn Clock>,
}

impl MailTransport {
    /// A transport through a relay. Nothing is dialled before the first mail.
    pub fn new(
        settings: MailSettings,
        secrets: SecretKeeper,
        wall_clock: Arc<dyn Clock>,
    ) -> Result<Self, SmtpError> {
        tls::install_provider();
        let relay = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.relay.0)?
            .timeout(Some(ATTEMPT_TIMEOUT))
            .build();
        Ok(Self {
            relay,
            settings,
            secrets,
            wall_clock,
        })
    }

    /// Checks the address of a `mailto:` URL.
    pub fn check_url(&self, url: &str) -> Result<Address, String> {
        let address = url.strip_prefix(MAILTO).unwrap_or_default();
        let address: Address = address.parse().map_err(|_| {
            "a mailto: URL has one address and nothing else, as mailto:ops@example.com".to_owned()
        })?;
        let allowed = &self.settings.allow_domains;
        let is_allowed = |domain: &String| domain.eq_ignore_ascii_case(address.domain());
        if !allowed.is_empty() && !allowed.iter().any(is_allowed) {
            let domain = address.domain();
            return Err(format!("mails to {domain} are not allowed by the operator"));
        }
        Ok(address)
    }

    /// One attempt, ended within the time of any attempt.
    pub async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        let message = match self.message(request, self.wall_clock.now()) {
            Ok(message) => message,
            Err(why) => return failed(None, &why),
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, self.relay.send(message)).await {
            Ok(Ok(response)) => AttemptResult::Success {
                status: response.code().into(),
            },
            Ok(Err(error)) => judged(&error),
            Err(_) => failed(
                None,
                &format!("the relay gave no answer within {ATTEMPT_TIMEOUT:?}"),
            ),
        }
    }

    fn message(&self, request: &WebhookRequest, now: Timestamp) -> Result<Message, String> {
        let to = self.check_url(&request.url)?;
        let written: Written =
            serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
        let from = &self.settings.from;
        let micros = u64::try_from(now.as_micros()).unwrap_or_default();
        let builder = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(written.subject)
            .date(UNIX_EPOCH + Duration::from_micros(micros))
            .message_id(Some(format!(
                "<{}@{}>",
                request.message_id,
                from.email.domain()
            )));
        // RFC 3834: no out-of-office notes to us.
        let builder = with(builder, "Auto-Submitted", "auto-generated");
        let builder = with(builder, "X-Webhook-Event", &request.event_type);
        let builder = self.unsubscribable(builder, request.webhook_id);
        let text = written.text + &self.footer(request.webhook_id);
        let message = builder.header(ContentType::TEXT_PLAIN).body(text);
        message.map_err(|error| error.to_string())
    }

    /// RFC 2369, and RFC 8058 where there is a link for one click.
    fn unsubscribable(&self, builder: MessageBuilder, id: WebhookId) -> MessageBuilder {
        if let Some(link) = self.link(id) {
            let builder = with(builder, "List-Unsubscribe", &format!("<{link}>"));
            return with(
                builder,
                "List-Unsubscribe-Post",
                "List-Unsubscribe=One-Click",
            );
        }
        let to = &self.settings.from.email;
        let link = format!("<mailto:{to}?subject=unsubscribe%20{id}>");
        with(builder, "List-Unsubscribe", &link)
    }

    fn footer(&self, id: WebhookId) -> String {
        match self.link(id) {
            Some(link) => format!("\n-- \nSubscription {id}. No more of these: {link}\n"),
            None => format!("\n-- \nSubscription {id}.\n"),
        }
    }

    /// Where a recipient ends a subscription; whoever has the link may.
    fn link(&self, id: WebhookId) -> Option<String> {
        let base = self.settings.public_url.as_ref()?.as_str();
        let base = base.trim_end_matches('/');
        let token = self.secrets.unsubscribe_token(id);
        Some(format!("{base}{UNSUBSCRIBE}/{id}/{token}"))
    }
}

/// Whether a URL is of a mail subscription.
pub fn is_mailto(url: &str) -> bool {
    url.starts_with(MAILTO)
}

fn with(builder: MessageBuilder, name: &'static str, value: &str) -> MessageBuilder {
    let name = HeaderName::new_from_ascii_str(name);
    builder.raw_header(HeaderValue::new(name, value.to_owned()))
}

/// What a relay said, or why there was no answer.
fn judged(error: &SmtpError) -> AttemptResult {
    let kind = if error.is_permanent() {
        "the relay refused it"
    } else if error.is_transient() {
        "the relay puts it off"
    } else {
        "the relay cannot be used"
    };
    let why = format!("{kind}: {}", innermost(error));
    failed(error.status().map(Into::into), &why)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use bytes::Bytes;
    use evenkeel_domain::webhook::Signature;

    use super::*;
    use crate::time::SystemClock;

    fn transport(public_url: Option<&str>, domains: &[&str]) -> MailTransport {
        let settings = MailSettings {
            relay: RelayUrl::new("smtp://127.0.0.1:1").unwrap(),
            from: "evenkeel <keel@example.org>".parse().unwrap(),
            allow_domains: domains.iter().map(ToString::to_string).collect(),
            public_url: public_url.map(|url| url.parse().unwrap()),
        };
        let secrets = SecretKeeper::from_key([7; 32]);
        MailTransport::new(settings, secrets, Arc::new(SystemClock)).unwrap()
    }

    fn request(subject: &str, text: &str) -> WebhookRequest {
        let body = serde_json::json!({"subject": subject, "text": text});
        WebhookRequest {
            webhook_id: WebhookId::from_u128(5),
            url: "mailto:ops@example.com".to_owned(),
            message_id: "msg_5_9".to_owned(),
            event_type: "index.paused".to_owned(),
            body: Bytes::from(body.to_string()),
            keys: Vec::new(),
            signature: Signature::V1,
            headers: Vec::new(),
        }
    }

    fn written(transport: &MailTransport, request: &WebhookRequest) -> String {
        let now = Timestamp::from_micros(1_767_607_200_000_000);
        let message = transport.message(request, now).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn a_mail_says_what_mail_programs_look_for() {
        let link = transport(Some("https://keel.example.org/"), &[]);
        let mail = written(&link, &request("Core: index paused", "Core rests.\n"));
        let token = SecretKeeper::from_key([7; 32]).unsubscribe_token(WebhookId::from_u128(5));
        for line in [
            "From: evenkeel <keel@example.org>",
            "To: ops@example.com",
            "Subject: Core: index paused",
            "Message-ID: <msg_5_9@example.org>",
            "Date: Mon, 05 Jan 2026 10:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "X-Webhook-Event: index.paused",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Content-Type: text/plain; charset=utf-8",
            "Core rests.",
        ] {
            assert!(mail.contains(&format!("{line}\r\n")), "{line}\n{mail}");
        }
        let unfolded = mail.replace("\r\n ", " ");
        let link = format!(
            "<https://keel.example.org/unsubscribe/{}/",
            WebhookId::from_u128(5)
        );
        assert!(unfolded.contains(&link), "{mail}");
        assert!(unfolded.contains(&token));
        let mail = written(&transport(None, &[]), &request("a", "b"));
        let mail = mail.replace("\r\n ", " ");
        assert!(mail.contains("<mailto:keel@example.org?subject=unsubscribe%20whk_"));
        assert!(!mail.contains("One-Click"));
    }

    #[test]
    fn no_text_becomes_a_header() {
        let hostile = "x\r\nBcc: all@example.com\r\n\r\nhello";
        let mail = written(&transport(None, &[]), &request(hostile, "größer als ßß ☃"));
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{mail}");
        assert!(head.contains("Subject: "));
    }

    #[test]
    fn an_address_is_one_address_of_an_allowed_domain() {
        let any = transport(None, &[]);
        assert!(any.check_url("mailto:ops@example.com").is_ok());
        for bad in [
            "mailto:",
            "mailto:ops",
            "mailto:a@example.com,b@example.com",
            "mailto:a@example.com?bcc=b@example.com",
            "mailto:a@example.com\r\nBcc: b@example.com",
            "mailto:A <a@example.com>",
            "MAILTO:a@example.com",
            "https://example.com",
        ] {
            assert!(any.check_url(bad).is_err(), "{bad}");
        }
        let own = transport(None, &["Example.com"]);
        assert!(own.check_url("mailto:ops@example.com").is_ok());
        let refused = own.check_url("mailto:ops@sub.example.com").unwrap_err();
        assert!(refused.contains("not allowed"), "{refused}");
    }

    #[test]
    fn a_password_goes_over_tls_or_stays_here() {
        for (url, is_fine) in [
            ("smtps://u:p@mail.example.com", true),
            ("smtp://u:p@mail.example.com?tls=required", true),
            ("smtp://u:p@127.0.0.1:25", true),
            ("smtp://mail.example.com:25", true),
            ("smtp://u:p@mail.example.com", false),
            ("smtp://u:p@mail.example.com?tls=opportunistic", false),
            ("https://mail.example.com", false),
            ("mail.example.com", false),
        ] {
            assert_eq!(RelayUrl::new(url).is_ok(), is_fine, "{url}");
        }
        let url = RelayUrl::new("smtps://u:geheim@mail.example.com").unwrap();
        assert!(!format!("{url:?}").contains("geheim"));
    }

    #[tokio::test]
    async fn a_relay_that_is_not_there_is_a_failed_attempt() {
        let sent = transport(None, &[]).send(&request("a", "b")).await;
        let AttemptResult::Failure { status, reason, .. } = sent else {
            unreachable!("nobody listens on port 1");
        };
        assert_eq!(status, None);
        assert!(reason.as_str().contains("cannot be used"), "{reason}");
    }
}
