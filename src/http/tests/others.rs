//! Webhooks, jobs, tokens, audit and health over the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::funded;
use crate::http::world::{self, Client};

#[tokio::test]
async fn a_webhook_has_indexes_a_schedule_and_a_switch_of_its_own() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client
        .post("/api/webhooks", r#"{"url":"https://up/","events":["*"]}"#)
        .await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let shown = made.made();
    assert_eq!(
        (&shown["indexes"], &shown["retry"]),
        (&json!([]), &json!(["2s", "4s"]))
    );
    let patient = client
        .put(&path, r#"{"retry":["5s","5m","24h"]}"#)
        .await
        .fine();
    assert_eq!(patient["retry"], json!(["5s", "5m", "24h"]));
    for wrong in [
        r#"{"retry":["25h"]}"#,
        r#"{"retry":["0s"]}"#,
        r#"{"retry":"2s"}"#,
        r#"{"indexes":["idx_1"]}"#,
        r#"{"indexes":["idx_000000000000000000000000000000ff"]}"#,
    ] {
        let refused = client.put(&path, wrong).await;
        assert_eq!(refused.code(), "validation_failed", "{wrong}");
    }
    let off = client
        .post(&format!("{path}/disable"), r#"{"reason":"we move"}"#)
        .await
        .fine();
    assert_eq!(
        (&off["enabled"], &off["disabledReason"]),
        (&json!(false), &json!("we move"))
    );
}

#[tokio::test]
async fn a_webhook_has_a_secret_headers_tags_and_a_rate_of_its_owners_choice() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = json!({
        "url": "https://up/", "events": ["*"], "secret": secret, "signature": "v1a",
        "tags": ["income", "income"], "ratePerSecond": 5, "channel": "slack",
        "headers": {"X-Gateway-Token": "Bearer 1"},
    });
    let made = client.post("/api/webhooks", &body.to_string()).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let made = made.made();
    assert_eq!(made["secret"], secret);
    assert!(made["publicKey"].as_str().unwrap().starts_with("whpk_"));
    let shown = client.get(&path).await.fine();
    let text = shown.to_string();
    assert!(!text.contains("Bearer") && !text.contains("MfKQ"), "{text}");
    for (field, value) in [
        ("tags", json!(["income"])),
        ("ratePerSecond", json!(5)),
        ("channel", json!("slack")),
        ("signature", json!("v1a")),
        ("headers", json!(["x-gateway-token"])),
        ("publicKey", made["publicKey"].clone()),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let changed = client
        .put(&path, r#"{"ratePerSecond":null,"tags":[]}"#)
        .await;
    let changed = changed.fine();
    assert_eq!(changed["ratePerSecond"], json!(null));
    assert_eq!(changed["headers"], json!(["x-gateway-token"]), "kept");
    let rotate = format!("{path}/rotate-secret");
    let rotated = client.post(&rotate, r#"{"overlap":"0s"}"#).await.fine();
    assert_ne!(rotated["secret"], secret);
    for (path, wrong) in [
        (&path, r#"{"ratePerSecond":0}"#),
        (&path, r#"{"ratePerSecond":1001}"#),
        (&path, r#"{"headers":{"host":"a"}}"#),
        (&path, r#"{"headers":{"webhook-id":"a"}}"#),
        (&path, r#"{"headers":{"x":"\u00e4"}}"#),
        (&path, r#"{"headers":{"x":"a\r\nb: c"}}"#),
        (&path, r#"{"signature":"v2"}"#),
        (&path, r#"{"channel":"pager"}"#),
        (&path, r#"{"tags":[7]}"#),
        (
            &path,
            r#"{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#,
        ),
        (&rotate, r#"{"overlap":"8d"}"#),
        (&rotate, r#"{"secret":"whsec_AAAA"}"#),
    ] {
        let refused = if *path == rotate {
            client.post(path, wrong).await
        } else {
            client.put(path, wrong).await
        };
        assert_eq!(refused.code(), "validation_failed", "{wrong}");
    }
}

#[tokio::test]
async fn deliveries_are_asked_for_once_more() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let body = r#"{"url":"https://up/","events":["*"]}"#;
    let made = client.post("/api/webhooks", body).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let path = format!("{path}/redeliver");
    for body in [
        r#"{"failedSince":"2026-01-01T00:00:00Z"}"#,
        r#"{"from":1,"to":9}"#,
    ] {
        let answer = client.post(&path, body).await.fine();
        assert_eq!(answer, json!({"requested": 0, "next": null}), "{body}");
    }
    for wrong in [
        "{}",
        r#"{"from":1}"#,
        r#"{"from":9,"to":1}"#,
        r#"{"from":0,"to":1}"#,
        r#"{"failedSince":"today"}"#,
        r#"{"failedSince":"2026-01-01T00:00:00Z","from":1,"to":2}"#,
    ] {
        let refused = client.post(&path, wrong).await;
        assert_eq!(refused.code(), "validation_failed", "{wrong}");
    }
}

#[tokio::test]
async fn webhooks_are_tried_shown_and_switched() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let post = |body: &'static str| client.post("/api/webhooks", body);
    for (body, code) in [
        (
            r#"{"url":"https://down/","events":["*"]}"#,
            "webhook_test_failed",
        ),
        (r#"{"url":"http://up/","events":["*"]}"#, "url_not_allowed"),
        (
            r#"{"url":"https://up/","events":["index.exploded"]}"#,
            "validation_failed",
        ),
        (r#"{"url":"https://up/","events":[]}"#, "validation_failed"),
        (r#"{"events":["*"]}"#, "validation_failed"),
    ] {
        let told = post(body).await;
        assert_eq!((told.status, told.code().as_str()), (422, code), "{body}");
    }
    let made =
        post(r#"{"url":"https://up/","events":["trade.*","drift.detected"],"description":"d"}"#)
            .await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let hook = made.made();
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        (&hook["failureCount"], &hook["enabled"]),
        (&json!(0), &json!(true))
    );
    let shown = client.get(&path).await.fine();
    assert_eq!(shown.get("secret"), None);
    let rotated = client
        .post(&format!("{path}/rotate-secret"), "")
        .await
        .fine();
    assert_ne!(rotated["secret"], hook["secret"]);
    let off = client.put(&path, r#"{"enabled":false}"#).await.fine();
    assert_eq!(
        (&off["enabled"], &off["url"]),
        (&json!(false), &json!("https://up/"))
    );
    assert!(off["disabledReason"].is_string());
    let on = client
        .post(&format!("{path}/enable"), r#"{"from":"now"}"#)
        .await
        .fine();
    assert_eq!(
        (&on["enabled"], &on["disabledReason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        client
            .post(&format!("{path}/enable"), r#"{"from":"then"}"#)
            .await
            .code(),
        "validation_failed"
    );
    assert_eq!(
        client.post(&format!("{path}/test"), "").await.fine()["status"],
        "SUCCEEDED"
    );
    let list = client.get("/api/webhooks?limit=1").await.fine();
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["next"]),
        (1, &Value::Null)
    );
}

#[tokio::test]
async fn jobs_tell_their_next_times() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let put = |body: &'static str| client.put("/api/jobs/drift-monitor", body);
    let job = put(r#"{"schedule":"30 2 * * 1-5","timezone":"Europe/Berlin","enabled":true}"#)
        .await
        .fine();
    assert_eq!(job["next"].as_array().unwrap().len(), 5);
    assert_eq!(job["next"][0], "2026-01-06T01:30:00Z");
    assert_eq!(job["warning"], Value::Null);
    let odd = put(r#"{"schedule":"*/90 * * * *"}"#).await.fine();
    assert!(odd["warning"].is_string() && odd["timezone"] == "Europe/Berlin");
    for body in [
        r#"{"schedule":"* * * * * *"}"#,
        r#"{"schedule":"60 * * * *"}"#,
        r#"{"schedule":"invalid"}"#,
        r#"{"schedule":"0 0 31 2 *"}"#,
        r#"{"timezone":"Mars/Olympus"}"#,
    ] {
        let told = put(body).await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (422, "schedule_invalid"),
            "{body}"
        );
    }
    let off = put(r#"{"enabled":false}"#).await.fine();
    assert_eq!((&off["enabled"], &off["next"]), (&json!(false), &json!([])));
    client
        .post("/api/jobs/drift-monitor/run?wait=1", "")
        .await
        .fine();
    let runs = client.get("/api/jobs/drift-monitor/runs").await.fine();
    assert_eq!(runs["items"][0]["status"], "COMPLETED");
    assert_eq!(
        client.get("/api/jobs").await.fine()["items"][0]["lastRun"]["trigger"],
        "MANUAL"
    );
    for path in ["/api/jobs/nothing", "/api/jobs/nothing/runs"] {
        assert_eq!(client.get(path).await.code(), "not_found");
    }
    assert_eq!(
        client
            .post("/api/jobs/drift-monitor/run?wait=perhaps", "")
            .await
            .status,
        400
    );
}

/// Prices and jobs are everybody's: who may trade for one owner may not move the others.
#[tokio::test]
async fn a_token_is_good_for_its_owner_alone_unless_it_is_asked_for_more() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let owner = admin.post("/api/owners", r#"{"name":"ann"}"#).await.made();
    let tokens = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
    let token = admin.post(&tokens, r#"{"name":"t"}"#).await.made();
    assert_eq!(token["scopes"], json!(["read", "trade", "webhooks"]));
    let ann = admin.with_token(token["token"].as_str().unwrap());
    ann.get("/api/prices").await.fine();
    let prices = r#"{"prices":{"BTC":"100"}}"#;
    assert_eq!(ann.post("/api/prices", prices).await.code(), "forbidden");
    let run = "/api/jobs/drift-monitor/run";
    assert_eq!(ann.post(run, "").await.code(), "forbidden");
}

#[tokio::test]
async fn tokens_end_when_they_are_revoked() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let ann = admin.owner("ann").await;
    let owners = admin.get("/api/owners?limit=1").await.fine();
    assert_eq!(owners["items"].as_array().unwrap().len(), 1);
    let next = format!("/api/owners?cursor={}", owners["next"].as_str().unwrap());
    let owner = admin.get(&next).await.fine()["items"][0].clone();
    assert_eq!(
        (&owner["name"], &owner["tokens"]),
        (&json!("ann"), &json!(1))
    );
    let tokens = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
    let token = admin.get(&tokens).await.fine()["items"][0].clone();
    assert_eq!(
        token["scopes"],
        json!(["read", "trade", "webhooks", "prices", "jobs"])
    );
    assert_eq!(token.get("token"), None);
    assert_eq!(ann.get("/api/owners").await.code(), "forbidden");
    let path = format!("{tokens}/{}", token["tokenId"].as_str().unwrap());
    assert_eq!(admin.send("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(ann.get("/api/indexes").await.code(), "unauthorized");
    assert_eq!(
        admin.send("DELETE", &path, &[], "").await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn the_audit_is_paged_by_position() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let client = admin.owner("ann").await;
    let path = funded(&client).await;
    let id = path.rsplit('/').next().unwrap();
    let (mut after, mut types) = (0, Vec::new());
    loop {
        let page = client
            .get(&format!("/api/events?limit=2&after={after}&index={id}"))
            .await
            .fine();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["stream"], id);
            assert!(item["position"].as_u64().unwrap() > after);
            types.push(item["type"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = next.parse().unwrap(),
            None => break,
        }
    }
    assert_eq!(types[..2], ["index.created", "index.deposited"]);
    assert_eq!(
        types.last().map(String::as_str),
        Some("rebalance.completed")
    );
    let trades = client.get("/api/events?type=trade.*").await.fine();
    assert_eq!(trades["items"].as_array().unwrap().len(), 2);
    let of_index = client
        .get(&format!("{path}/events?type=rebalance.completed"))
        .await
        .fine();
    assert_eq!(of_index["items"].as_array().unwrap().len(), 1);
    let bad = client.get("/api/events?after=x").await;
    assert_eq!(
        (bad.status, bad.code().as_str()),
        (400, "malformed_request")
    );
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let api = world::api().await;
    let client = Client::admin(&api);
    assert_eq!(client.get("/healthz").await.fine()["status"], "ok");
    let until_ready = async {
        while client.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), until_ready)
        .await
        .unwrap();
    let metrics = client.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("evenkeel_ready 1\n") && text.contains("route=\"/readyz\""));
    api.stopping.send_replace(true);
    let told = client.get("/readyz").await;
    assert_eq!((told.status, told.code().as_str()), (503, "stopping"));
    assert_eq!(client.get("/healthz").await.status, 200);
}
