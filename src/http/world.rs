//! An engine in memory behind the API, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tests::venue::HandVenue;
use super::token::token_hash;
use async_trait::async_trait;
use evenkeel_actors::engine::{Ports, Settings};
use evenkeel_actors::ports::{
    Clock, Entropy, SealRefused, SigningKey, UrlRefused, Venue, WebhookRequest, WebhookTransport,
};
use evenkeel_actors::{Engine, MemoryKeys};
use evenkeel_domain::values::{Sealed, Timestamp, WebhookId};
use evenkeel_domain::webhook::{Answer, AttemptResult, HeaderName, HeaderValue, Reason};
use evenkeel_events::MemoryLog;
use evenkeel_snapshots::MemorySnapshots;

use super::Api;
use super::server;
use super::stack::Stack;
use super::stack::tests::{Told, ask};
use crate::webhooks::secrets::SecretKeeper;

/// The admin's token.
pub const ADMIN: &str = "evk_admin";

/// Asks for a token of an owner that may also do what concerns all owners.
const ALL_BUT_ADMIN: &str = r#"{"name":"t","scopes":["read","trade","webhooks","prices","jobs"]}"#;

struct World;

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_607_200_000_000)
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Accepts what goes to `https://up…`.
fn keeper() -> SecretKeeper {
    SecretKeeper::from_key([7; 32])
}

#[async_trait]
impl WebhookTransport for World {
    async fn send(&self, request: &WebhookRequest) -> AttemptResult {
        if request.url.starts_with("https://up") {
            return AttemptResult::Success { status: 200 };
        }
        let reason = Reason::optional("connection refused").unwrap();
        AttemptResult::Failure {
            status: None,
            reason,
            retry_after: None,
            answer: Answer::default(),
        }
    }
    async fn check_url(&self, url: &str) -> Result<(), UrlRefused> {
        if url.starts_with("https://") {
            Ok(())
        } else {
            Err(UrlRefused("it must begin with https://".to_owned()))
        }
    }
    fn secret(&self, id: WebhookId, key: &SigningKey) -> Option<String> {
        keeper().secret_of(id, key)
    }

    fn public_key(&self, id: WebhookId, generation: u32) -> Option<String> {
        Some(keeper().asymmetric(id, generation).public())
    }

    fn seal_secret(&self, id: WebhookId, secret: &str) -> Result<Sealed, SealRefused> {
        let sealed = keeper().seal_secret(id, secret);
        sealed.map_err(|error| SealRefused(error.to_string()))
    }

    fn seal_header(
        &self,
        id: WebhookId,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> Result<Sealed, SealRefused> {
        let sealed = keeper().seal_header(id, name, value.as_str());
        sealed.map_err(|error| SealRefused(error.to_string()))
    }
}

/// The API of a fresh engine that pushes prices and has an admin.
pub async fn api() -> Api {
    api_with(Arc::default()).await
}

/// The same over a venue that the test keeps in hand.
pub async fn api_with(venue: Arc<HandVenue>) -> Api {
    let entropy: Arc<dyn Entropy> = Arc::new(Counter::default());
    let venue: Arc<dyn Venue> = venue;
    let ports = Ports {
        log: Arc::new(MemoryLog::new()),
        snapshots: Arc::new(MemorySnapshots::new()),
        clock: Arc::new(World),
        entropy: Arc::clone(&entropy),
        feed: None,
        venues: BTreeMap::from([("paper".to_owned(), venue)]),
        transport: Arc::new(World),
        personal: Arc::<MemoryKeys>::default(),
    };
    let settings = Settings {
        drift_enabled: Some(false),
        reconciliation_enabled: Some(false),
        ..Settings::default()
    };
    let engine = Engine::start(ports, settings).await.unwrap();
    engine.bootstrap(token_hash(ADMIN)).await.unwrap();
    let api = Api::open(engine, Arc::new(World), entropy);
    api.await.unwrap()
}

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    stack: Stack,
    token: String,
}

impl Client {
    pub fn admin(api: &Api) -> Self {
        Self {
            stack: server::stack(api),
            token: ADMIN.to_owned(),
        }
    }

    /// A client of a new owner, who may also push prices and run jobs.
    pub async fn owner(&self, name: &str) -> Self {
        let owner = self
            .post("/api/owners", &format!("{{\"name\":\"{name}\"}}"))
            .await
            .made();
        let path = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
        let token = self.post(&path, ALL_BUT_ADMIN).await.made();
        self.with_token(token["token"].as_str().unwrap())
    }

    /// The same over another API.
    pub fn at(&self, api: &Api) -> Self {
        Self {
            stack: server::stack(api),
            ..self.clone()
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Told {
        let authorization = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend(more);
        ask(&self.stack, method, path, &headers, body).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Told {
        self.send("POST", path, &[], body).await
    }

    pub async fn put(&self, path: &str, body: &str) -> Told {
        self.send("PUT", path, &[], body).await
    }
}

impl Told {
    /// The body of a 201.
    #[track_caller]
    pub fn made(&self) -> serde_json::Value {
        assert_eq!(self.status, 201, "{:?}", self.body);
        self.json()
    }

    /// The body of a 200.
    #[track_caller]
    pub fn fine(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.json()
    }
}
