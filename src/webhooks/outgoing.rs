//! Everything that goes out to subscribers: over HTTP, or by mail, as the URL says.

use async_trait::async_trait;
use evenkeel_actors::ports::{
    SealRefused, SigningKey, UrlRefused, WebhookRequest, WebhookTransport,
};
use evenkeel_domain::values::{Sealed, WebhookId};
use evenkeel_domain::webhook::{AttemptResult, HeaderName, HeaderValue};

use super::mail::{MailTransport, is_mailto};
use super::transport::{HttpTransport, failed};

/// What is said where no mails are sent.
const NO_MAIL: &str = "no mails are sent here; an operator can set mail.smtp and mail.from";

/// Sends by the URL's scheme.
pub struct Outgoing {
    /// For `https:` and `http:`.
    pub http: HttpTransport,
    /// For `mailto:`.
    pub mail: Option<MailTransport>,
}

#[async_trait]
impl WebhookTransport for Outgoing {
    async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        match &self.mail {
            _ if !is_mailto(&request.url) => self.http.send(request).await,
            Some(mail) => mail.send(request).await,
            None => failed(None, NO_MAIL),
        }
    }

    async fn check_url(&self, url: &str) -> Result<(), UrlRefused> {
        match &self.mail {
            _ if !is_mailto(url) => self.http.check_url(url).await,
            Some(mail) => mail.check_url(url).map(drop).map_err(UrlRefused),
            None => Err(UrlRefused(NO_MAIL.to_owned())),
        }
    }

    fn secret(&self, webhook_id: WebhookId, key: &SigningKey) -> Option<String> {
        self.http.secret(webhook_id, key)
    }

    fn public_key(&self, webhook_id: WebhookId, generation: u32) -> Option<String> {
        self.http.public_key(webhook_id, generation)
    }

    fn seal_secret(&self, webhook_id: WebhookId, secret: &str) -> Result<Sealed, SealRefused> {
        self.http.seal_secret(webhook_id, secret)
    }

    fn seal_header(
        &self,
        webhook_id: WebhookId,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> Result<Sealed, SealRefused> {
        self.http.seal_header(webhook_id, name, value)
    }

    fn may_unsubscribe(&self, webhook_id: WebhookId, token: &str) -> bool {
        self.http.may_unsubscribe(webhook_id, token)
    }
}
