//! Who may do what, for every operation that the API's description has: a new one is in the list
//! by itself, and one whose answer is another fails.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::Client;
use crate::description::document;
use crate::home::Home;
use crate::inbox::Inbox;
use crate::portfolio::{constructed, eventually};

/// What needs no token, and why: for supervisors, for who wants to know the API, for recipients.
const OPEN: [&str; 7] = [
    "alive",
    "ready",
    "metrics",
    "document",
    "reference",
    "askToUnsubscribe",
    "unsubscribe",
];

const SCOPES: [&str; 5] = ["read", "trade", "webhooks", "prices", "jobs"];

/// An operation that needs a token.
struct Operation {
    id: String,
    method: String,
    path: String,
    scope: String,
}

/// All of them.
fn operations() -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            if operation["security"] == json!([]) {
                assert!(OPEN.contains(&id.as_str()), "{id} is open to everybody");
                continue;
            }
            let needs = operation["description"].as_str().unwrap();
            found.push(Operation {
                id,
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                scope: needs.split('`').nth(1).unwrap().to_owned(),
            });
        }
    }
    found
}

/// What an owner has, by the names of places in paths.
struct Things {
    index: String,
    rebalance: String,
    webhook: String,
    delivery: String,
    owner: String,
    token: String,
}

impl Things {
    /// One of everything.
    async fn of(admin: &Client, client: &Client) -> Self {
        let inbox = Inbox::open().await;
        let hook = json!({"url": inbox.url("/"), "events": ["*"], "skipTest": true});
        let hook = client.post("/api/webhooks", hook).await.fine();
        let webhook = hook["webhookId"].as_str().unwrap().to_owned();
        let path = constructed(client, "DRIFT").await;
        let rebalances = client.all(&format!("{path}/rebalances")).await;
        let deliveries = format!("/api/webhooks/{webhook}/deliveries");
        let delivery = eventually("a delivery", async || {
            let all = client.all(&deliveries).await;
            Some(all.first()?["deliveryId"].as_str().unwrap().to_owned())
        });
        let owner = hook["owner"].as_str().unwrap().to_owned();
        let tokens = format!("/api/owners/{owner}/tokens");
        let tokens = admin.get(&tokens).await.fine();
        Self {
            index: path.rsplit('/').next().unwrap().to_owned(),
            rebalance: rebalances[0]["rebalanceId"].as_str().unwrap().to_owned(),
            delivery: delivery.await,
            token: tokens["items"][0]["tokenId"].as_str().unwrap().to_owned(),
            webhook,
            owner,
        }
    }

    fn path(&self, template: &str) -> String {
        let id = match template {
            path if path.contains("/tokens/") => &self.token,
            path if path.starts_with("/api/webhooks/") => &self.webhook,
            _ => &self.index,
        };
        let places = [
            ("{id}", id),
            ("{rid}", &self.rebalance),
            ("{delivery}", &self.delivery),
            ("{owner}", &self.owner),
        ];
        let filled = places
            .iter()
            .fold(template.to_owned(), |path, (place, with)| {
                path.replace(place, with)
            });
        filled
            .replace("{name}", "drift-monitor")
            .replace("{account}", "paper")
            .replace("{asset}", "A")
    }
}

/// A body that the operation would take from who may send it.
fn body(id: &str) -> Value {
    match id {
        "deposit" | "withdraw" => json!({"amount": "1"}),
        "resolveRebalance" => json!({"step": 1, "outcome": "NOT_FILLED"}),
        "setIndexTrading" | "setTrading" => json!({"mode": "HALTED"}),
        "redeliver" => json!({"from": 1, "to": 2}),
        "createOwner" | "issueToken" => json!({"name": "eve"}),
        _ => json!({}),
    }
}

async fn token(admin: &Client, owner: &str, scopes: &[&str]) -> (String, String) {
    let wish = json!({"name": "test", "scopes": scopes});
    let made = admin
        .post(&format!("/api/owners/{owner}/tokens"), wish)
        .await
        .fine();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("token"), text("tokenId"))
}

/// No list shows what is another owner's.
async fn lists_show_nothing_of(client: &Client, owner: &str) {
    for list in ["/api/indexes", "/api/webhooks", "/api/events"] {
        let shown = client.all(list).await;
        let foreign = shown.iter().filter(|item| item["owner"] == owner);
        assert_eq!(foreign.count(), 0, "{list}");
    }
}

#[tokio::test]
async fn every_operation_is_for_those_alone_who_may() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let admin = &server.admin;
    let (ann, bob) = (admin.owner("ann").await, admin.owner("bob").await);
    let things = Things::of(admin, &ann).await;
    let seen = async || {
        let index = ann
            .get(&format!("/api/indexes/{}", things.index))
            .await
            .fine();
        let hook = ann
            .get(&format!("/api/webhooks/{}", things.webhook))
            .await
            .fine();
        (index, hook["url"].clone(), hook["enabled"].clone())
    };
    let before = seen().await;
    let (revoked, id) = token(admin, &things.owner, &SCOPES).await;
    let revoke = format!("/api/owners/{}/tokens/{id}", things.owner);
    assert_eq!(admin.send("DELETE", &revoke, &[], "").await.status, 204);
    let mut without = BTreeMap::new();
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        without.insert(scope, token(admin, &things.owner, &others).await.0);
    }

    let operations = operations();
    assert!(operations.len() > 50);
    for Operation {
        id,
        method,
        path,
        scope,
    } in &operations
    {
        let path = things.path(path);
        let body = body(id).to_string();
        let ask = async |client: &Client| client.send(method, &path, &[], body.clone()).await;
        for none in [None, Some("evk_wrong"), Some(revoked.as_str()), Some("")] {
            let refused = ask(&ann.with_token(none)).await;
            assert_eq!(
                refused.refusal(),
                (401, "unauthorized".into()),
                "{id} {none:?}"
            );
            assert!(
                refused.header("www-authenticate").starts_with("Bearer"),
                "{id}"
            );
        }
        // Nobody but an admin has the scope `admin`.
        let lacking = without.get(scope.as_str()).or(without.get("read")).unwrap();
        let refused = ask(&ann.with_token(Some(lacking))).await;
        assert_eq!(refused.refusal(), (403, "forbidden".into()), "{id}");
        let is_of_owner = ["/api/indexes/", "/api/webhooks/"]
            .iter()
            .any(|of| path.starts_with(of));
        if is_of_owner {
            let refused = ask(&bob).await;
            assert_eq!(refused.refusal(), (404, "not_found".into()), "{id}");
        }
    }
    assert_eq!(seen().await, before, "nothing came of it");
    lists_show_nothing_of(&bob, &things.owner).await;
    server.stop().await;
}

#[tokio::test]
async fn a_token_expires_when_it_was_told_to() {
    let home = Home::new();
    let server = home.serve();
    let owner = json!({"name": "ann"});
    let owner = server.admin.post("/api/owners", owner).await.fine();
    let tokens = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
    let past = json!({"name": "late", "expiresAt": "2020-01-01T00:00:00Z"});
    let past = server.admin.post(&tokens, past).await;
    past.refused(422, "validation_failed");
    let later = json!({"name": "later", "expiresAt": "2999-01-01T00:00:00Z"});
    let later = server.admin.post(&tokens, later).await.fine();
    assert_eq!(later["expiresAt"], "2999-01-01T00:00:00Z");
    let ann = server.admin.with_token(later["token"].as_str());
    let listed = async || server.admin.get(&tokens).await.fine()["items"][0].clone();
    assert!(listed().await["lastUsedAt"].is_null());
    ann.get("/api/indexes").await.fine();
    assert!(listed().await["lastUsedAt"].is_string());
    let now = server.admin.get("/api/prices").await.fine()["asOf"].clone();
    let now: evenkeel_domain::values::Timestamp = now.as_str().unwrap().parse().unwrap();
    let soon = now.plus(evenkeel_domain::values::Span::from_secs(5));
    let soon = json!({"name": "soon", "expiresAt": soon});
    let soon = server.admin.post(&tokens, soon).await.fine();
    let ann = server.admin.with_token(soon["token"].as_str());
    eventually("the end of the token", async || {
        (ann.get("/api/indexes").await.status == 401).then_some(())
    })
    .await;
    server.stop().await;
}
