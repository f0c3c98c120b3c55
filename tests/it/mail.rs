//! Mails through a real relay: `tests/it/relay.py` on loopback, where a Python has `aiosmtpd`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::Client;
use crate::home::Home;
use crate::portfolio::{SOON, created, eventually, halves};
use crate::process::Server;
use crate::python;

const RELAY: &str = include_str!("relay.py");

/// The server as its mails name it.
const PUBLIC: &str = "https://keel.example.org";

/// A relay that keeps what it took.
struct Relay {
    child: Child,
    port: u16,
    mails: watch::Receiver<Vec<Value>>,
}

impl Relay {
    /// None where no Python has what it needs, unless `EVENKEEL_TEST_PYTHON` names one.
    fn open() -> Option<Self> {
        let python = python::with("aiosmtpd")?;
        let mut child = Command::new(python)
            .args(["-c", RELAY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let (sender, mails) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).unwrap();
                sender.send_modify(|all: &mut Vec<Value>| all.push(mail));
            }
        });
        Some(Self { child, port, mails })
    }

    /// A home whose server sends its mails here.
    fn home(&self) -> Home {
        Home::with_local_webhooks()
            .env(
                "EVENKEEL_MAIL_SMTP",
                format!("smtp://127.0.0.1:{}", self.port),
            )
            .env("EVENKEEL_MAIL_FROM", "evenkeel <keel@example.org>")
            .env("EVENKEEL_PUBLIC_URL", PUBLIC)
    }

    fn mails(&self) -> Vec<Value> {
        self.mails.borrow().clone()
    }

    async fn wait_until(&self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut mails = self.mails.clone();
        let waited = tokio::time::timeout(SOON, mails.wait_for(|all| enough(all))).await;
        let waited = waited.map(|all| all.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("only these came: {:?}", self.mails()))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often an event of an index was told.
fn told(mails: &[Value], headline: &str) -> usize {
    let text = |mail: &Value| mail["text"].as_str().unwrap().to_owned();
    mails
        .iter()
        .map(|mail| text(mail).matches(headline).count())
        .sum()
}

fn index(name: &str) -> Value {
    let mut body = halves("NONE");
    body["name"] = json!(name);
    body
}

async fn subscribed(client: &Client, body: Value) -> String {
    client.post("/api/webhooks", body).await.location()
}

#[tokio::test]
async fn events_gather_over_a_kill_and_each_is_told_once() {
    let Some(relay) = Relay::open() else { return };
    let home = relay.home();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let hook = json!({
        "url": "mailto:ops@example.com", "events": ["index.created"], "digestWindow": "5s",
    });
    let made = owner.post("/api/webhooks", hook).await;
    let hook = made.location();
    assert_eq!(made.json()["channel"], "email");
    assert!(made.json()["secret"].is_null());
    assert_eq!(relay.mails().len(), 1, "the address was tried first");
    for name in ["Größe", "B & <b>", "C"] {
        created(&owner, index(name)).await;
    }
    server.process.kill();

    let server = home.serve();
    let owner = owner.at(&server.url);
    let mails = relay
        .wait_until(|all| told(all, ": index created") >= 3)
        .await;
    for name in ["Größe", "B & <b>", "C"] {
        assert_eq!(told(&mails, &format!("{name}: index created")), 1);
    }
    for mail in &mails {
        assert_eq!(mail["from"], "keel@example.org");
        assert_eq!(mail["to"], json!(["ops@example.com"]));
        let headers = &mail["headers"];
        assert_eq!(headers["auto-submitted"], "auto-generated");
        assert_eq!(
            headers["list-unsubscribe-post"],
            "List-Unsubscribe=One-Click"
        );
        let message_id = headers["message-id"].as_str().unwrap();
        assert!(message_id.starts_with("<msg_") && message_id.ends_with("@example.org>"));
    }
    let delivered = eventually("the outcomes", async || {
        let hook = owner.get(&hook).await.fine();
        (hook["succeeded"] == 3).then_some(hook)
    });
    assert_eq!(delivered.await["failed"], 0);
    server.stop().await;
}

#[tokio::test]
async fn what_is_urgent_comes_at_once_and_what_gathers_waits() {
    let Some(relay) = Relay::open() else { return };
    let home = relay.home();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let hook = json!({
        "url": "mailto:ops@example.com", "events": ["index.created", "webhook.disabled"],
        "digestWindow": "24h", "skipTest": true,
    });
    let hook = subscribed(&owner, hook).await;
    let other = json!({"url": "mailto:x@example.com", "events": ["*"], "skipTest": true});
    let other = subscribed(&owner, other).await;
    created(&owner, index("waits")).await;
    owner.post_empty(&format!("{other}/disable")).await.fine();
    let mails = relay.wait_until(|all| !all.is_empty()).await;
    assert_eq!(mails[0]["headers"]["subject"], "webhook disabled");
    assert_eq!(told(&mails, "index created"), 0);

    ends_by_its_link(&server, &owner, &hook, &mails[0]).await;
    server.stop().await;
}

/// Loading the link changes nothing; one click ends the mails, and no other link does.
async fn ends_by_its_link(server: &Server, owner: &Client, hook: &str, mail: &Value) {
    let header = mail["headers"]["list-unsubscribe"].as_str().unwrap();
    let link = header.trim_matches(['<', '>']).replace(' ', "");
    let path = link.strip_prefix(PUBLIC).unwrap();
    let stranger = server.admin.with_token(None);
    let page = stranger.get(path).await;
    assert_eq!(page.status, 200);
    assert!(String::from_utf8_lossy(&page.body).contains("<form method=\"post\">"));
    assert_eq!(owner.get(hook).await.fine()["enabled"], true);

    let id = hook.rsplit('/').next().unwrap();
    let forged = format!("/unsubscribe/{id}/{}", "0".repeat(64));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let click = "List-Unsubscribe=One-Click";
    let refused = stranger.send("POST", &forged, &form, click).await;
    refused.refused(404, "not_found");
    for _ in 0..2 {
        let clicked = stranger.send("POST", path, &form, click).await;
        assert_eq!(clicked.status, 200, "{clicked:?}");
    }
    let ended = owner.get(hook).await.fine();
    assert_eq!(ended["enabled"], false);
    assert_eq!(ended["disabledReason"], "its recipient has unsubscribed");
}

#[tokio::test]
async fn a_relay_that_puts_off_is_asked_again_and_one_that_refuses_is_believed() {
    let Some(relay) = Relay::open() else { return };
    let home = relay.home();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let to = |address: &str| {
        json!({
            "url": format!("mailto:{address}"), "events": ["index.created"],
            "digestWindow": "0s", "retry": ["1s"], "skipTest": true,
        })
    };
    let busy = subscribed(&owner, to("busy@example.com")).await;
    let gone = subscribed(&owner, to("gone@example.com")).await;
    created(&owner, index("Core")).await;
    relay
        .wait_until(|all| told(all, "Core: index created") == 1)
        .await;
    let outcome = async |hook: &str, status: &str| {
        let path = format!("{hook}/deliveries");
        eventually("the outcome", async || {
            let found = owner.all(&path).await;
            found.into_iter().find(|item| item["status"] == status)
        })
        .await
    };
    let done = outcome(&busy, "SUCCEEDED").await;
    assert_eq!(
        (&done["attempts"], &done["statusCode"]),
        (&json!(2), &json!(250))
    );
    let failed = outcome(&gone, "FAILED").await;
    assert_eq!(
        (&failed["attempts"], &failed["statusCode"]),
        (&json!(2), &json!(550))
    );
    assert!(failed["reason"].as_str().unwrap().contains("no such user"));
    let refused = json!({"url": "mailto:gone@example.com", "events": ["*"]});
    let refused = owner.post("/api/webhooks", refused).await;
    refused.refused(422, "webhook_test_failed");
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_relay_without_the_tls_that_was_asked_for() {
    let Some(relay) = Relay::open() else { return };
    let url = format!("smtp://u:p@127.0.0.1:{}?tls=required", relay.port);
    let home = relay.home().env("EVENKEEL_MAIL_SMTP", url);
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let mail = json!({"url": "mailto:ops@example.com", "events": ["*"]});
    let refused = owner.post("/api/webhooks", mail).await;
    refused.refused(422, "webhook_test_failed");
    assert!(relay.mails().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_mail_subscription_that_cannot_be_is_refused_with_its_reason() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let mail = json!({"url": "mailto:ops@example.com", "events": ["*"]});
    let no_relay = owner.post("/api/webhooks", mail.clone()).await;
    no_relay.refused(422, "url_not_allowed");
    for (field, value) in [
        ("channel", json!("slack")),
        ("headers", json!({"x-token": "a"})),
        ("secret", json!("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")),
        ("signature", json!("v1a")),
        ("digestWindow", json!("25h")),
        ("channel", json!("pigeon")),
    ] {
        let mut body = mail.clone();
        body[field] = value;
        let refused = owner.post("/api/webhooks", body).await;
        refused.refused(422, "validation_failed");
        assert_eq!(refused.json()["errors"][0]["field"], field);
    }
    let plain = json!({"url": "https://example.com", "events": ["*"], "digestWindow": "1m"});
    let refused = owner.post("/api/webhooks", plain).await;
    refused.refused(422, "validation_failed");
    server.stop().await;

    let bad = home.env("EVENKEEL_MAIL_SMTP", "smtp://u:geheim@mail.example.com");
    let told = bad.run(&["config", "check"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.stderr.contains("mail.smtp") && !told.stderr.contains("geheim"));
}
