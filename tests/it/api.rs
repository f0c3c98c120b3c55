//! A client of the HTTP API.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::description;

/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_secs(90);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub fn fine(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    /// Where a success was made.
    #[track_caller]
    pub fn location(&self) -> String {
        assert_eq!(self.status, 201, "{self:?}");
        self.header("location")
    }

    /// A header; empty when it is missing.
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    /// The status and code of a refusal, which must be problem details as RFC 9457 has them.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        let problem = self.json();
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(problem["status"], self.status, "{self:?}");
        for field in ["type", "title", "detail", "code"] {
            assert!(problem[field].is_string(), "{field} is missing: {self:?}");
        }
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }

    /// Asserts a refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        let told = self.refusal();
        assert_eq!((told.0, told.1.as_str()), (status, code), "{self:?}");
    }
}

/// A client with a token.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at a URL.
    pub fn new(url: &str, token: &str) -> Self {
        // The first client installs it for all of the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        Self {
            http,
            url: url.to_owned(),
            token: Some(token.to_owned()),
        }
    }

    /// The same with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        let token = token.map(str::to_owned);
        Self {
            token,
            ..self.clone()
        }
    }

    /// The same at another server on the same data.
    pub fn at(&self, url: &str) -> Self {
        let url = url.to_owned();
        Self {
            url,
            ..self.clone()
        }
    }

    /// A new owner's client, who may also push prices and run jobs.
    pub async fn owner(&self, name: &str) -> Self {
        let owner = self.post("/api/owners", json!({"name": name})).await.fine();
        let tokens = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
        let token = self
            .post(
                &tokens,
                json!({
                    "name": "test", "scopes": ["read", "trade", "webhooks", "prices", "jobs"],
                }),
            )
            .await
            .fine();
        self.with_token(token["token"].as_str())
    }

    /// Any request. A body is sent as JSON; the answer is one that the description names.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request(method, path, headers).body(body);
        let answer = request.send().await.unwrap();
        let answer = Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.bytes().await.unwrap(),
        };
        description::check(method, path, &answer);
        answer
    }

    /// A request with its token and headers.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let method: reqwest::Method = method.parse().unwrap();
        let is_write = method == "POST" || method == "PUT";
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if is_write {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], body.to_string()).await
    }

    /// POST without a body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send("POST", path, &[], "").await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], body.to_string()).await
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=100{cursor}")).await.fine();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else {
                return items;
            };
            cursor = format!("&cursor={next}");
        }
    }
}
