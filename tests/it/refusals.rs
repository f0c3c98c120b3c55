//! Bad input: each has its code, and nothing is changed by it.

use serde_json::{Value, json};

use crate::api::Client;
use crate::home::{Home, write};
use crate::portfolio::{constructed, created, cycle, halves, push};

/// The two assets' weights.
fn weights(a: impl Into<Value>, b: impl Into<Value>) -> Value {
    let mut body = halves("DRIFT");
    body["constituents"] = json!([
        {"asset": "A", "percentage": a.into()},
        {"asset": "B", "percentage": b.into()},
    ]);
    body
}

/// The newest position in the log.
async fn position(client: &Client) -> Value {
    client.get("/readyz").await.fine()["position"].clone()
}

#[tokio::test]
async fn definitions_that_do_not_hold_together_are_refused() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let before = position(&owner).await;
    for (body, code) in [
        (weights("50", "49"), "weights_do_not_sum"),
        (weights("50", "50.02"), "weights_do_not_sum"),
        (weights("100", "0"), "validation_failed"),
        (weights("150", "-50"), "validation_failed"),
        (weights("NaN", "50"), "validation_failed"),
        (weights("Infinity", "50"), "validation_failed"),
        (weights("1e2", "0"), "validation_failed"),
        (weights("", "50"), "validation_failed"),
        (weights(Value::Null, "50"), "validation_failed"),
        (weights(true, "50"), "validation_failed"),
        (
            weights("50.00000000000000000000000000001", "50"),
            "validation_failed",
        ),
        (json!({"name": "x"}), "validation_failed"),
        (
            json!({"name": "x", "constituents": []}),
            "validation_failed",
        ),
        (
            json!({"name": "x", "constituents": "A"}),
            "validation_failed",
        ),
        (json!([]), "malformed_json"),
    ] {
        let told = owner.post("/api/indexes", body).await;
        let status = if code == "malformed_json" { 400 } else { 422 };
        told.refused(status, code);
    }
    for (body, code) in [
        (
            r#"{"name":"x","constituents":[{"asset":"A","percentage":NaN}]}"#,
            "malformed_json",
        ),
        (r#"{"name":"x","name":"y"}"#, "malformed_json"),
        ("{", "malformed_json"),
    ] {
        let told = owner.send("POST", "/api/indexes", &[], body).await;
        told.refused(400, code);
    }
    let made = weights("50.005", "50.004");
    owner.post("/api/indexes", made).await.fine();
    let events = owner.all("/api/events").await;
    let made: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "index.created")
        .collect();
    assert_eq!(made.len(), 1, "{before}: {events:?}");
    server.stop().await;
}

#[tokio::test]
async fn amounts_that_are_none_move_nothing() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let path = constructed(&owner, "DRIFT").await;
    let before = owner.get(&path).await.fine();
    let deposit = format!("{path}/deposit");
    for amount in [
        json!("-1"),
        json!("0"),
        json!(-1),
        json!("NaN"),
        json!("Infinity"),
        json!("-Infinity"),
        json!("1e5"),
        json!("1,000"),
        json!("0x10"),
        json!(" "),
        json!(""),
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!("79228162514264337593543950336"),
        json!("0.00000000000000000000000000001"),
    ] {
        let told = owner.post(&deposit, json!({"amount": amount})).await;
        told.refused(422, "validation_failed");
    }
    for body in [
        r#"{"amount":0.1000000000000000055}"#,
        r#"{"amount":12345678901234567890}"#,
        r#"{"amount":1e30}"#,
    ] {
        let told = owner.send("POST", &deposit, &[], body).await;
        told.refused(422, "validation_failed");
    }
    let units = json!({"asset": "A", "quantity": "-1"});
    owner
        .post(&deposit, units)
        .await
        .refused(422, "validation_failed");
    let withdraw = format!("{path}/withdraw");
    for (body, status, code) in [
        (json!({"amount": "1"}), 409, "insufficient_cash"),
        (
            json!({"asset": "A", "quantity": "50.1"}),
            409,
            "insufficient_holding",
        ),
        (json!({"amount": "-1"}), 422, "validation_failed"),
    ] {
        owner.post(&withdraw, body).await.refused(status, code);
    }
    for (price, status, code) in [
        (json!("0"), 422, "validation_failed"),
        (json!("-5"), 422, "validation_failed"),
        (json!("NaN"), 422, "validation_failed"),
    ] {
        let told = owner
            .post("/api/prices", json!({"prices": {"A": price}}))
            .await;
        told.refused(status, code);
    }
    assert_eq!(owner.get(&path).await.fine(), before);
    server.stop().await;
}

#[tokio::test]
async fn bodies_tokens_and_ids_that_are_wrong_are_told_apart() {
    let home = Home::new();
    let server = home.serve();
    let (ann, bob) = (
        server.admin.owner("ann").await,
        server.admin.owner("bob").await,
    );
    let path = constructed(&ann, "DRIFT").await;
    let before = ann.get(&path).await.fine();

    let large = format!(r#"{{"amount":"{}"}}"#, "1".repeat(2 << 20));
    let told = ann
        .send("POST", &format!("{path}/deposit"), &[], large)
        .await;
    told.refused(413, "body_too_large");
    let text = [("content-type", "text/plain")];
    let request = ann.with_token(None).request("POST", "/api/indexes", &text);
    assert_eq!(request.send().await.unwrap().status(), 401);

    for token in [None, Some("evk_wrong"), Some("")] {
        let stranger = ann.with_token(token);
        for (method, path) in [
            ("GET", path.as_str()),
            ("POST", "/api/prices"),
            ("GET", "/api/jobs"),
        ] {
            let told = stranger.send(method, path, &[], "{}").await;
            told.refused(401, "unauthorized");
            assert!(told.header("www-authenticate").starts_with("Bearer"));
        }
    }
    for (method, path) in [
        ("GET", path.clone()),
        ("PUT", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/pause")),
        ("POST", format!("{path}/rebalance")),
        ("GET", format!("{path}/drift")),
        ("GET", format!("{path}/trades")),
        (
            "GET",
            "/api/indexes/idx_00000000000000000000000000000000".to_owned(),
        ),
        ("GET", "/api/indexes/nonsense".to_owned()),
        (
            "GET",
            "/api/webhooks/whk_00000000000000000000000000000000".to_owned(),
        ),
    ] {
        bob.send(method, &path, &[], "{}")
            .await
            .refused(404, "not_found");
    }
    let deposit = json!({"amount": "5"});
    let told = bob.post(&format!("{path}/deposit"), deposit).await;
    told.refused(404, "not_found");
    bob.post("/api/owners", json!({"name": "eve"}))
        .await
        .refused(403, "forbidden");
    assert_eq!(bob.all("/api/indexes").await, [] as [Value; 0]);
    assert_eq!(ann.get(&path).await.fine(), before);
    server.stop().await;
}

#[tokio::test]
async fn an_asset_that_the_feed_can_never_price_is_refused() {
    let home = Home::new();
    let prices = home.beside("prices.csv");
    write(
        &prices,
        "date,A,B\n2026-01-05,100,100\n2026-01-06,101,100\n",
    );
    let home = home.env("EVENKEEL_PRICES", format!("csv:{}", prices.display()));
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    created(&owner, halves("DRIFT")).await;
    let mut unknown = halves("DRIFT");
    unknown["constituents"][1]["asset"] = json!("C");
    let told = owner.post("/api/indexes", unknown).await;
    told.refused(422, "unknown_asset");
    let told = owner
        .post("/api/prices", json!({"prices": {"A": "1"}}))
        .await;
    told.refused(409, "not_push_feed");
    server.stop().await;
}

#[tokio::test]
async fn without_a_price_nothing_is_traded_and_the_reason_is_told() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    owner
        .post("/api/prices", json!({"prices": {"A": "100"}}))
        .await
        .fine();
    let path = created(&owner, halves("DRIFT")).await;
    let deposit = format!("{path}/deposit");
    owner
        .post(&deposit, json!({"amount": "10000"}))
        .await
        .fine();
    owner
        .get(&format!("{path}/drift"))
        .await
        .refused(409, "price_unavailable");
    owner
        .post_empty(&format!("{path}/rebalance"))
        .await
        .refused(409, "price_unavailable");
    let run = cycle(&owner).await;
    assert_eq!(
        (&run["skipped"], &run["rebalancesStarted"]),
        (&json!(1), &json!(0))
    );
    let index = owner.get(&path).await.fine();
    assert_eq!(index["cash"], "10000");
    assert!(index["skipped"].as_str().unwrap().contains('B'), "{index}");
    // The price comes, and so does the construction.
    push(&owner, "100", "100").await;
    assert_eq!(cycle(&owner).await["rebalancesStarted"], 1);
    // A jump that nothing confirms is not believed.
    let jump = json!({"prices": {"A": "151"}});
    let told = owner.post("/api/prices", jump).await.fine();
    assert_eq!(told["held"], json!(["A"]));
    assert_eq!(cycle(&owner).await["skipped"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_venue_that_refuses_fails_the_rebalance_and_keeps_the_cash() {
    let home = Home::new().env("EVENKEEL_PAPER_SLIPPAGE_PERCENT", "2");
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    push(&owner, "100", "100").await;
    // The owner accepts one per cent, the venue takes two: every order is beyond its limit.
    let path = created(&owner, halves("DRIFT")).await;
    let deposit = format!("{path}/deposit");
    owner
        .post(&deposit, json!({"amount": "10000"}))
        .await
        .fine();
    let index = crate::portfolio::rebalanced(&owner, &path, 1).await;
    let done = owner.all(&format!("{path}/rebalances")).await;
    assert_eq!(done[0]["status"], "FAILED", "{done:?}");
    assert!(done[0]["reason"].is_string() || done[0]["trades"][0]["reason"].is_string());
    assert_eq!(
        (&index["cash"], &index["holdings"]),
        (&json!("10000"), &json!([]))
    );
    server.stop().await;
}
