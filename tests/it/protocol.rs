//! What holds for every route: methods, keys, open routes, streams.

use serde_json::{Value, json};

use crate::api::Client;
use crate::home::Home;
use crate::portfolio::{constructed, created, halves, rebalanced};

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_405_with_those_it_knows() {
    let home = Home::new();
    let server = home.serve();
    for (method, path, known) in [
        ("DELETE", "/api/indexes", "GET, POST, HEAD, OPTIONS"),
        (
            "PATCH",
            "/api/indexes/idx_1",
            "GET, PUT, DELETE, HEAD, OPTIONS",
        ),
        ("GET", "/api/jobs/drift-monitor/run", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("PUT", "/api/prices", "POST, GET, HEAD, OPTIONS"),
    ] {
        let told = server.admin.send(method, path, &[], "{}").await;
        told.refused(405, "method_not_allowed");
        let sorted = |allow: &str| {
            let mut methods: Vec<_> = allow.split(", ").map(str::to_owned).collect();
            methods.sort_unstable();
            methods
        };
        assert_eq!(
            sorted(&told.header("allow")),
            sorted(known),
            "{method} {path}"
        );
    }
    server
        .admin
        .get("/api/nowhere")
        .await
        .refused(404, "not_found");
    server.admin.get("/").await.refused(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn a_post_with_a_key_happens_once() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let path = created(&owner, halves("NONE")).await;
    let deposit = format!("{path}/deposit");
    let key = [("idempotency-key", "deposit-1")];
    let body = r#"{"amount":"100","invest":false}"#;
    let first = owner.send("POST", &deposit, &key, body).await;
    let again = owner.send("POST", &deposit, &key, body).await;
    assert_eq!(first.fine(), again.fine());
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = r#"{"amount":"200","invest":false}"#;
    owner
        .send("POST", &deposit, &key, other)
        .await
        .refused(422, "idempotency_key_reused");
    assert_eq!(owner.get(&path).await.fine()["cash"], "100");
    // Another owner's key is another key; of two at once one runs, the other is told so.
    let bob = server.admin.owner("bob").await;
    let key = [("idempotency-key", "index-1")];
    let body = halves("NONE").to_string();
    let both = [
        bob.send("POST", "/api/indexes", &key, body.clone()),
        bob.send("POST", "/api/indexes", &key, body.clone()),
    ];
    for answer in futures_util::future::join_all(both).await {
        if answer.status != 201 {
            answer.refused(409, "idempotency_key_running");
        }
    }
    assert_eq!(bob.all("/api/indexes").await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_post_with_a_key_happens_once_over_a_kill_and_its_secrets_are_not_in_the_log() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let admin = server.admin.clone();
    let owner = admin.owner("ann").await;
    let path = created(&owner, halves("NONE")).await;
    let deposit = format!("{path}/deposit");
    let body = r#"{"amount":"100","invest":false}"#;
    let key = [("idempotency-key", "k-1")];
    let first = owner.send("POST", &deposit, &key, body).await;
    let hook = r#"{"url":"http://127.0.0.1:9/","events":["*"],"skipTest":true}"#;
    let hooked = owner.send("POST", "/api/webhooks", &key, hook).await;
    let secret = hooked.fine()["secret"].as_str().unwrap().to_owned();
    let eve = admin
        .send("POST", "/api/owners", &key, r#"{"name":"Evelyn"}"#)
        .await;
    let tokens = format!(
        "/api/owners/{}/tokens",
        eve.fine()["owner"].as_str().unwrap()
    );
    let issued = admin
        .send("POST", &tokens, &key, r#"{"name":"laptop"}"#)
        .await;
    let token = issued.fine()["token"].as_str().unwrap().to_owned();
    server.process.kill();

    let server = home.serve();
    let (admin, owner) = (admin.at(&server.url), owner.at(&server.url));
    let again = owner.send("POST", &deposit, &key, body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for name in ["content-type", "etag"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(owner.get(&path).await.fine()["cash"], "100");
    let other = r#"{"amount":"200","invest":false}"#;
    let other = owner.send("POST", &deposit, &key, other).await;
    other.refused(422, "idempotency_key_reused");
    let hooked = owner.send("POST", "/api/webhooks", &key, hook).await;
    hooked.refused(409, "idempotency_answer_not_kept");
    assert_eq!(owner.all("/api/webhooks").await.len(), 1);
    let issued = admin
        .send("POST", &tokens, &key, r#"{"name":"laptop"}"#)
        .await;
    issued.refused(409, "idempotency_answer_not_kept");
    server.stop().await;
    let log = home.run(&["log", "export"]).fine();
    assert!(log.contains("request.answered"));
    for hidden in [secret.as_str(), token.as_str(), "Evelyn", "laptop"] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}

#[tokio::test]
async fn the_audit_finds_what_followed_from_a_request_and_what_was_when() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let path = constructed(&owner, "DRIFT").await;
    let cash = json!({"amount": "1000"});
    let deposit = owner.post(&format!("{path}/deposit"), cash).await;
    rebalanced(&owner, &path, 2).await;
    let key = deposit.header("x-correlation-id");
    let found = async |client: &Client, filter: &str| {
        let page = client
            .get(&format!("/api/events?limit=500&{filter}"))
            .await
            .fine();
        page["items"].as_array().unwrap().clone()
    };
    let followed = found(&owner, &format!("correlation={key}")).await;
    let types: Vec<&str> = followed
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    for expected in [
        "index.deposited",
        "rebalance.started",
        "trade.executed",
        "rebalance.completed",
    ] {
        assert!(types.contains(&expected), "{expected}: {types:?}");
    }
    let at = followed[0]["at"].as_str().unwrap();
    let before = found(&owner, &format!("to={at}")).await;
    let since = found(&owner, &format!("from={at}")).await;
    let position = |event: &Value| event["position"].as_u64().unwrap();
    assert!(
        before
            .iter()
            .all(|it| position(it) <= position(&followed[0]))
    );
    assert_eq!(position(&since[0]), position(&followed[0]));
    let id = followed[0]["owner"].as_str().unwrap();
    let of_ann = found(&server.admin, &format!("owner={id}")).await;
    assert!(!of_ann.is_empty() && of_ann.iter().all(|it| it["owner"] == id));
    let bob = server.admin.owner("bob").await;
    assert!(found(&bob, &format!("owner={id}")).await.is_empty());
    assert!(found(&bob, &format!("correlation={key}")).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn health_readiness_and_figures_are_open_to_everybody() {
    let home = Home::new();
    let server = home.serve();
    let nobody = server.admin.with_token(None);
    assert_eq!(nobody.get("/healthz").await.fine()["status"], "ok");
    assert_eq!(nobody.get("/readyz").await.fine()["status"], "ready");
    let figures = nobody.get("/metrics").await;
    assert!(figures.header("content-type").starts_with("text/plain"));
    assert!(String::from_utf8_lossy(&figures.body).contains("# TYPE evenkeel_"));
    let told = nobody.get("/api/indexes").await;
    told.refused(401, "unauthorized");
    assert!(!told.header("x-request-id").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    for _ in 0..3 {
        created(&owner, halves("NONE")).await;
    }
    let events = owner.all("/api/events").await;
    let seen = events[events.len() - 2]["position"].to_string();
    let last = [("last-event-id", seen.as_str())];
    let mut stream = owner
        .request("GET", "/api/events/stream", &last)
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("data: ") {
        let chunk = stream.chunk().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let newest = &events[events.len() - 1];
    assert!(
        text.contains(&format!("id: {}\n", newest["position"])),
        "{text}"
    );
    assert!(!text.contains(&format!("id: {seen}\n")), "{text}");
    server.stop().await;
}
