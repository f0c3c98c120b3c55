//! Subscriptions: tried first, secrets shown once, where they may go.

use serde_json::{Value, json};

use crate::home::Home;
use crate::inbox::Inbox;
use crate::portfolio::{created, eventually, halves};
use crate::verifiers::verify;

#[tokio::test]
async fn a_url_is_tried_before_it_is_taken() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let body = json!({"url": inbox.url("/hook"), "events": ["index.created"]});

    for status in [500, 404, 302] {
        inbox.answer(status);
        let told = owner.post("/api/webhooks", body.clone()).await;
        told.refused(422, "webhook_test_failed");
    }
    inbox.answer(200);
    let nobody = json!({"url": "http://127.0.0.1:1/", "events": ["*"]});
    let told = owner.post("/api/webhooks", nobody.clone()).await;
    told.refused(422, "webhook_test_failed");
    assert_eq!(owner.all("/api/webhooks").await, [] as [Value; 0]);

    let made = owner.post("/api/webhooks", body).await.fine();
    let tried = inbox.messages().pop().unwrap();
    assert_eq!(tried.event_type(), "webhook.test");
    verify(made["secret"].as_str().unwrap(), &[tried]);
    let untried = json!({"url": "http://127.0.0.1:1/", "events": ["*"], "skipTest": true});
    owner.post("/api/webhooks", untried).await.fine();
    server.stop().await;
}

#[tokio::test]
async fn a_secret_is_shown_at_creation_and_rotation_and_then_both_sign() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let body = json!({"url": inbox.url("/hook"), "events": ["index.created"]});
    let made = owner.post("/api/webhooks", body).await;
    let (path, made) = (made.location(), made.fine());
    let rotate = format!("{path}/rotate-secret");
    let rotated = owner.post_empty(&rotate).await.fine();
    let secrets = [&made["secret"], &rotated["secret"]].map(|secret| secret.as_str().unwrap());
    assert_ne!(secrets[0], secrets[1]);
    assert!(secrets.iter().all(|secret| secret.starts_with("whsec_")));
    for shown in [owner.get(&path).await, owner.put(&path, json!({})).await] {
        assert_eq!(shown.fine().get("secret"), None);
    }
    let listed = owner.all("/api/webhooks").await;
    assert_eq!(listed[0].get("secret"), None);

    inbox.clear();
    created(&owner, halves("NONE")).await;
    let messages = inbox.wait_until(|all| all.len() == 1).await;
    for secret in secrets {
        verify(secret, &messages);
    }
    server.stop().await;
    let stored = std::fs::read(home.stored_log()).unwrap();
    let holds = |secret: &str| stored.windows(secret.len()).any(|w| w == secret.as_bytes());
    assert!(
        !secrets.into_iter().any(holds),
        "a secret stands in the log"
    );
}

#[tokio::test]
async fn webhooks_go_to_special_addresses_only_where_an_operator_allows_them() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    for url in [
        "http://127.0.0.1:9/",
        "https://127.0.0.1:9/",
        "https://localhost:9/",
        "https://[::1]:9/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "http://example.com/",
        "ftp://example.com/",
        "https://user:secret@example.com/",
        "nonsense",
    ] {
        let body = json!({"url": url, "events": ["*"], "skipTest": true});
        let told = owner.post("/api/webhooks", body).await;
        told.refused(422, "url_not_allowed");
    }
    server.stop().await;

    // The allowed network takes plain http as well; the rest of the world does not.
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    for (url, allowed) in [
        (inbox.url("/hook"), true),
        (inbox.url("/hook").replace("127.0.0.1", "localhost"), true),
        ("http://10.0.0.1/".to_owned(), false),
        ("http://8.8.8.8/".to_owned(), false),
        ("https://[::1]:9/".to_owned(), false),
    ] {
        let body = json!({"url": url, "events": ["*"]});
        let told = owner.post("/api/webhooks", body).await;
        if allowed {
            told.fine();
        } else {
            told.refused(422, "url_not_allowed");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_delivery_is_tried_three_times_and_ten_failures_disable() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let body = json!({"url": inbox.url("/hook"), "events": ["index.created"]});
    let path = owner.post("/api/webhooks", body).await.location();
    inbox.clear();
    inbox.answer(503);
    for _ in 0..10 {
        created(&owner, halves("NONE")).await;
    }
    let hook = eventually("disabling", async || {
        let hook = owner.get(&path).await.fine();
        (hook["enabled"] == false).then_some(hook)
    })
    .await;
    assert_eq!(hook["failureCount"], 10, "{hook}");
    assert!(hook["disabledReason"].is_string(), "{hook}");
    let messages = inbox.messages();
    let mut ids: Vec<_> = messages
        .iter()
        .map(|m| m.header("webhook-id").to_owned())
        .collect();
    ids.sort_unstable();
    for id in &ids {
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 3, "{id}");
    }
    let failed = format!("{path}/deliveries?status=FAILED");
    let failed = owner.get(&failed).await.fine()["items"].clone();
    assert_eq!(failed.as_array().unwrap().len(), 10);
    let one = failed[0]["deliveryId"].as_str().unwrap();
    let one = owner.get(&format!("{path}/deliveries/{one}")).await.fine();
    let sent = messages
        .iter()
        .find(|m| m.header("webhook-id") == one["request"]["headers"]["webhook-id"])
        .unwrap();
    assert_eq!(one["request"]["body"], sent.json());
    let outcomes: Vec<_> = one["outcomes"].as_array().unwrap().iter().collect();
    let told = |name: &str| {
        outcomes
            .iter()
            .map(|it| it[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told("status"), ["FAILED", "RETRYING", "RETRYING"]);
    assert_eq!(told("attempts"), [3, 2, 1]);
    assert_eq!(told("statusCode"), [503, 503, 503]);
    assert_eq!(one["complete"], true);
    // What was missed comes when it is enabled again, from where it stopped.
    inbox.answer(200);
    inbox.clear();
    owner.post_empty(&format!("{path}/enable")).await.fine();
    created(&owner, halves("NONE")).await;
    inbox.wait_until(|all| !all.is_empty()).await;
    let hook = owner.get(&path).await.fine();
    assert_eq!(hook["disabledReason"], Value::Null);
    server.stop().await;
}
