//! Slack and Discord, as receivers that hold senders to the limits in those services' documents:
//! what is too fast gets a 429 and must stay away as long as it was told, what has not their form
//! gets a 400.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::home::Home;
use crate::inbox::serve;
use crate::portfolio::{SOON, created, eventually, halves};

/// What a service takes.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// The field with the text, and the most characters that it may have.
    text: (&'static str, usize),
    /// Messages in a span of time.
    rate: (usize, Duration),
    /// What it answers to one that it takes.
    taken: u16,
}

/// docs.slack.dev: one message a second to an incoming webhook; text of at most 40,000 characters.
const SLACK: Rules = Rules {
    text: ("text", 40_000),
    rate: (1, Duration::from_secs(1)),
    taken: 200,
};

/// docs.discord.com: five requests in two seconds to a webhook; content of at most 2,000.
const DISCORD: Rules = Rules {
    text: ("content", 2_000),
    rate: (5, Duration::from_secs(2)),
    taken: 204,
};

/// Which message gets a 429 though it came in time, and what it must wait then.
const REFUSED: usize = 2;
const QUIET: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Seen {
    texts: Vec<String>,
    /// When messages came that were taken.
    times: Vec<Instant>,
    quiet_until: Option<Instant>,
    came: usize,
    /// What the service would have blocked the sender for.
    faults: Vec<String>,
}

/// A service, and what it has taken.
#[derive(Debug, Clone)]
struct Service {
    rules: Rules,
    seen: Arc<Mutex<Seen>>,
    taken: watch::Sender<usize>,
}

impl Service {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            seen: Arc::default(),
            taken: watch::Sender::new(0),
        }
    }

    /// Its answer to a message: the status, and what to wait.
    fn judge(&self, body: &[u8]) -> (u16, Option<String>) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap();
        if seen.quiet_until.is_some_and(|until| now < until) {
            seen.faults.push("it did not stay away".to_owned());
        }
        let (field, max) = self.rules.text;
        let text = serde_json::from_slice::<Value>(body).ok();
        let text = text.and_then(|body| Some(body[field].as_str()?.to_owned()));
        let Some(text) = text.filter(|text| (1..=max).contains(&text.chars().count())) else {
            seen.faults.push("a message without its form".to_owned());
            return (400, None);
        };
        seen.came += 1;
        let (most, span) = self.rules.rate;
        let within = |at: &&Instant| now.duration_since(**at) < span;
        let recent = seen.times.iter().filter(within).count();
        if seen.came == REFUSED {
            seen.quiet_until = Some(now + QUIET);
            return (429, Some(QUIET.as_secs().to_string()));
        }
        if recent >= most {
            let wait = span.as_secs_f64();
            seen.quiet_until = Some(now + span);
            return (429, Some(format!("{wait:.3}")));
        }
        seen.times.push(now);
        seen.texts.push(text);
        self.taken.send_replace(seen.texts.len());
        (self.rules.taken, None)
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (status, wait) = self.judge(&body);
        let mut response = Response::builder().status(status);
        if let Some(wait) = wait {
            response = response.header("retry-after", wait);
        }
        Ok(response.body(Empty::new()).unwrap())
    }

    async fn wait_for(&self, count: usize) {
        let mut taken = self.taken.subscribe();
        let waited = tokio::time::timeout(2 * SOON, taken.wait_for(|taken| *taken >= count)).await;
        assert!(waited.is_ok(), "{:?}", self.seen.lock().unwrap());
    }
}

#[tokio::test]
async fn slack_and_discord_get_what_they_take_as_fast_as_they_take_it() {
    const EVENTS: usize = 7;
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let services = [("slack", SLACK), ("discord", DISCORD)]
        .map(|(channel, rules)| (channel, Service::new(rules)));
    let mut hooks = HashMap::new();
    for (channel, service) in &services {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let service = service.clone();
        tokio::spawn(serve(listener, move |request| {
            service.clone().take(request)
        }));
        let hook = json!({
            "url": url, "events": ["index.created"], "channel": channel, "skipTest": true,
        });
        let hook = owner.post("/api/webhooks", hook).await.location();
        hooks.insert(*channel, hook);
    }
    for n in 0..EVENTS {
        let mut body = halves("NONE");
        body["name"] = json!(format!("*{n}* <@everyone> {}", "_".repeat(60)));
        created(&owner, body).await;
    }
    for (channel, service) in &services {
        service.wait_for(EVENTS).await;
        let hook = &hooks[channel];
        let hook = eventually("the outcomes", async || {
            let hook = owner.get(hook).await.fine();
            (hook["succeeded"] == EVENTS).then_some(hook)
        });
        assert_eq!(hook.await["failed"], 0);
        let seen = service.seen.lock().unwrap();
        assert_eq!(seen.texts.len(), EVENTS, "{channel}");
        assert!(seen.faults.is_empty(), "{channel}: {:?}", seen.faults);
        assert!(
            seen.texts.iter().all(|text| !text.contains("<@")),
            "{channel}"
        );
    }
    server.stop().await;
}
