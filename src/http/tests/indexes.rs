//! Indexes over the API: the flow, changes, refusals, foreign owners.

use evenkeel_actors::engine::Caller;
use evenkeel_domain::access::Scope;
use evenkeel_domain::index::Funds;
use evenkeel_domain::values::EventKey;
use serde_json::{Value, json};

use super::{HALVES, funded};
use crate::http::Api;
use crate::http::world::{self, Client};

#[tokio::test]
async fn from_nothing_to_a_rebalanced_index() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let path = funded(&client).await;
    client
        .post("/api/prices", r#"{"prices":{"A":"130"}}"#)
        .await
        .fine();
    let drift = client.get(&format!("{path}/drift")).await.fine();
    assert_eq!(drift["totalValue"], "11500");
    assert!(
        drift["drift"].as_str().unwrap().starts_with("6.52173913"),
        "{drift}"
    );
    assert_eq!(
        (&drift["exceeded"], &drift["threshold"]),
        (&json!(true), &json!("5"))
    );
    assert_eq!(drift["assets"][0]["asset"], "A");

    let recorded = format!("{path}/drift/history");
    assert_eq!(client.get(&recorded).await.fine()["items"], json!([]));
    let dry = client
        .post(&format!("{path}/rebalance"), r#"{"dryRun":true}"#)
        .await
        .fine();
    assert_eq!(dry["status"], "PLANNED");
    assert_eq!(dry["plan"]["orders"][0]["side"], "SELL");

    let run = client
        .post("/api/jobs/drift-monitor/run?wait=true", "")
        .await
        .fine();
    assert_eq!(run["status"], "COMPLETED");
    let counts =
        ["checked", "drifted", "exceeded", "rebalancesStarted"].map(|name| run[name].clone());
    assert_eq!(counts, [1, 1, 1, 1].map(Value::from), "{run}");

    let recorded = client.get(&recorded).await.fine();
    assert_eq!(recorded["items"][0]["totalValue"], "11500");
    assert_eq!(recorded["items"][0]["exceeded"], true);
    let again = client.post(&format!("{path}/rebalance"), "").await.fine();
    assert_eq!(again["status"], "NOT_NEEDED");
    let history = client.get(&format!("{path}/rebalances")).await.fine();
    assert_eq!(history["items"][0]["status"], "COMPLETED");
    assert_eq!(history["items"][0]["trigger"], "DRIFT");
    assert_eq!(history["items"][0]["trades"].as_array().unwrap().len(), 2);
    assert_eq!(history["items"][1]["trigger"], "DEPOSIT");
    let trades = client.get(&format!("{path}/trades?limit=3")).await.fine();
    assert_eq!(trades["items"].as_array().unwrap().len(), 3);
    let next = format!("{path}/trades?cursor={}", trades["next"].as_str().unwrap());
    assert_eq!(
        client.get(&next).await.fine()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_band_is_shown_with_the_drift_and_is_a_breach_by_itself() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let path = funded(&client).await;
    let change = r#"{"constituents":[{"asset":"A","percentage":"50"},{"asset":"B",
        "percentage":"50","band":{"type":"ABSOLUTE","width":"0.5"}}]}"#;
    client.put(&path, change).await.fine();
    client
        .post("/api/prices", r#"{"prices":{"A":"105"}}"#)
        .await
        .fine();
    let drift = client.get(&format!("{path}/drift")).await.fine();
    // 1.2 points off: far from the threshold of 5.
    let shown = ["driftMeasure", "threshold", "exceeded"].map(|name| drift[name].clone());
    assert_eq!(
        shown,
        [json!("ABSOLUTE"), json!("5"), json!(true)],
        "{drift}"
    );
    let bands: Vec<_> = drift["assets"].as_array().unwrap().iter().collect();
    let of = |at: usize| ["band", "outside"].map(|name| bands[at][name].clone());
    assert_eq!(of(0), [Value::Null, json!(false)]);
    let band = json!({"type": "ABSOLUTE", "width": "0.5"});
    assert_eq!(of(1), [band, json!(true)]);
    let refused = r#"{"constituents":[{"asset":"A","percentage":"100",
        "band":{"type":"ABSOLUTE","width":"0"}}]}"#;
    let refused = client.put(&path, refused).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "validation_failed")
    );
}

#[tokio::test]
async fn an_index_is_changed_with_care() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client.post("/api/indexes", HALVES).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let tag = made.headers["etag"].to_str().unwrap().to_owned();
    let renamed = client
        .put(&path, r#"{"name":"two","tags":["x"]}"#)
        .await
        .fine();
    assert_eq!(
        (&renamed["name"], &renamed["rebalancing"]["method"]),
        (&json!("two"), &json!("DRIFT"))
    );
    let stale = client
        .send("PUT", &path, &[("if-match", &tag)], r#"{"name":"three"}"#)
        .await;
    assert_eq!(
        (stale.status, stale.code().as_str()),
        (412, "version_mismatch")
    );
    for (body, code) in [
        (
            r#"{"constituents":[{"asset":"A","percentage":"99"}]}"#,
            "weights_do_not_sum",
        ),
        (
            r#"{"constituents":[{"asset":"A","percentage":"50"},{"asset":"A","percentage":"50"}]}"#,
            "duplicate_asset",
        ),
        (r#"{"account":"nowhere"}"#, "unknown_account"),
        (
            r#"{"rebalancing":{"minInterval":"0s"}}"#,
            "validation_failed",
        ),
        (r#"{"colour":"red"}"#, "validation_failed"),
        ("{", "malformed_json"),
    ] {
        assert_eq!(client.put(&path, body).await.code(), code, "{body}");
    }
    let found = client.get("/api/indexes?tag=x&status=PENDING").await.fine();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(
        client.get("/api/indexes?tag=y").await.fine()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(client.get("/api/indexes?status=GONE").await.status, 400);
    let gone = client.send("DELETE", &path, &[], "").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(client.get(&path).await.code(), "not_found");
}

#[tokio::test]
async fn refusals_of_the_engine_reach_the_client() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let path = funded(&client).await;
    let withdraw = format!("{path}/withdraw");
    let much = client.post(&withdraw, r#"{"amount":"1"}"#).await;
    assert_eq!(
        (much.status, much.code().as_str()),
        (409, "insufficient_cash")
    );
    let units = client
        .post(&withdraw, r#"{"asset":"A","quantity":"51"}"#)
        .await;
    assert_eq!(units.code(), "insufficient_holding");
    client.post(&format!("{path}/pause"), "").await.fine();
    assert_eq!(
        client.post(&format!("{path}/pause"), "").await.code(),
        "index_paused"
    );
    assert_eq!(
        client.post(&format!("{path}/rebalance"), "{}").await.code(),
        "index_paused"
    );
    client.post(&format!("{path}/resume"), "").await.fine();
    let jump = client
        .post("/api/prices", r#"{"prices":{"A":"1000","B":"101"}}"#)
        .await
        .fine();
    assert_eq!(
        (&jump["accepted"], &jump["held"]),
        (&json!(1), &json!(["A"]))
    );
    let drift = client.get(&format!("{path}/drift")).await;
    assert_eq!(
        (drift.status, drift.code().as_str()),
        (409, "price_unavailable")
    );
    let prices = client.get("/api/prices").await.fine();
    assert_eq!(prices["items"][0]["problem"], "jump");
    let confirmed = r#"{"prices":{"A":"1000"},"confirm":true}"#;
    assert_eq!(
        client.post("/api/prices", confirmed).await.fine()["held"],
        json!([])
    );
}

#[tokio::test]
async fn another_owner_sees_nothing() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let (ann, bob) = (admin.owner("ann").await, admin.owner("bob").await);
    let index = funded(&ann).await;
    let hook = ann
        .post("/api/webhooks", r#"{"url":"https://up/","events":["*"]}"#)
        .await;
    let hook = hook.headers["location"].to_str().unwrap().to_owned();
    let asks = [
        ("GET", index.clone()),
        ("PUT", index.clone()),
        ("DELETE", index.clone()),
        ("POST", format!("{index}/pause")),
        ("POST", format!("{index}/resume")),
        ("POST", format!("{index}/rebalance")),
        ("GET", format!("{index}/drift")),
        ("GET", format!("{index}/rebalances")),
        ("GET", format!("{index}/trades")),
        ("GET", format!("{index}/events")),
        ("GET", hook.clone()),
        ("PUT", hook.clone()),
        ("DELETE", hook.clone()),
        ("POST", format!("{hook}/test")),
        ("POST", format!("{hook}/rotate-secret")),
        ("POST", format!("{hook}/enable")),
        ("POST", format!("{hook}/disable")),
        ("GET", format!("{hook}/deliveries")),
        (
            "POST",
            format!(
                "{hook}/deliveries/{}-1/retry",
                hook.rsplit('/').next().unwrap()
            ),
        ),
    ];
    for (method, path) in asks {
        let told = bob.send(method, &path, &[], "").await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    let funds = bob
        .post(&format!("{index}/deposit"), r#"{"amount":"1"}"#)
        .await;
    assert_eq!(funds.code(), "not_found");
    for list in ["/api/indexes", "/api/webhooks", "/api/events"] {
        let items = bob.get(list).await.fine()["items"].clone();
        let foreign = |item: &Value| item["data"].get("name") != Some(&json!("bob"));
        let foreign = items
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| foreign(item) && list != "/api/events");
        assert_eq!(foreign.count(), 0, "{list}");
    }
    assert_eq!(
        admin.get("/api/indexes").await.fine()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// What is in the log when a process ends in the middle of a request: its beginning, and what came
/// of it until then.
#[tokio::test]
async fn a_request_that_broke_off_is_done_anew_only_if_nothing_followed_from_it() {
    use crate::http::idempotency::{asked, place};
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client.post("/api/indexes", HALVES).await.made();
    let owner = made["owner"].as_str().unwrap().parse().unwrap();
    let index = made["indexId"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/indexes/{}/deposit", made["indexId"].as_str().unwrap());
    let body = r#"{"amount":"100","invest":false}"#;
    for (key, request, has_effect) in [("k-1", 71, false), ("k-2", 72, true)] {
        let caller = Caller {
            owner,
            token: None,
            scopes: vec![Scope::Trade],
            request: EventKey::from_u128(request),
        };
        let (key, asked) = (place(owner, &path, key), asked("", body.as_bytes()));
        api.engine.begin_request(&caller, key, asked).await.unwrap();
        if has_effect {
            let cash = Funds::Cash("100".parse().unwrap());
            api.engine
                .deposit(&caller, index, cash, false)
                .await
                .unwrap();
        }
    }
    let api = Api::open(api.engine, api.clock, api.entropy).await.unwrap();
    let client = client.at(&api);
    let again = client
        .send("POST", &path, &[("idempotency-key", "k-1")], body)
        .await;
    assert_eq!(again.status, 200, "{:?}", again.body);
    assert!(!again.headers.contains_key("idempotency-replayed"));
    let unclear = client
        .send("POST", &path, &[("idempotency-key", "k-2")], body)
        .await;
    assert_eq!(
        (unclear.status, unclear.code()),
        (409, "idempotency_outcome_unknown".into())
    );
    let index = client.get(path.strip_suffix("/deposit").unwrap()).await;
    assert_eq!(index.fine()["cash"], "200");
}

#[tokio::test]
async fn a_deposit_with_a_key_is_booked_once() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client.post("/api/indexes", HALVES).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let deposit = format!("{path}/deposit");
    let key = [("idempotency-key", "k-1")];
    let body = r#"{"amount":"100","invest":false}"#;
    let first = client.send("POST", &deposit, &key, body).await;
    let again = client.send("POST", &deposit, &key, body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(client.get(&path).await.fine()["cash"], "100");
}
