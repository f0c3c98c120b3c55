//! From nothing to a rebalanced index, as a client with nothing but HTTP sees it.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::api::Client;
use crate::home::Home;
use crate::inbox::{Inbox, Message, types};
use crate::portfolio::{constructed, cycle, holdings, push, rebalanced};
use crate::verifiers::verify;

/// What a cycle with a rebalance of two lines tells, sorted.
const TOLD: [&str; 6] = [
    "drift.detected",
    "drift.threshold_exceeded",
    "rebalance.completed",
    "rebalance.started",
    "trade.executed",
    "trade.executed",
];

async fn drift_is_traded_back_and_told(client: &Client, inbox: &Inbox) {
    inbox.clear();
    let hook = json!({"url": inbox.url("/hook"), "events": [
        "drift.detected", "drift.threshold_exceeded", "rebalance.*", "trade.executed",
    ]});
    let hook = client.post("/api/webhooks", hook).await.fine();
    let secret = hook["secret"].as_str().unwrap();
    verify(secret, &inbox.messages());
    let path = constructed(client, "DRIFT").await;
    // The first construction is a rebalance of its own: begun, two trades, ended.
    let construction = inbox
        .wait_until(|all| types(all).contains(&"rebalance.completed".to_owned()))
        .await;
    verify(secret, &construction);
    inbox.wait_until(|all| all.len() >= 5).await;
    inbox.clear();

    push(client, "130", "100").await;
    let drift = client.get(&format!("{path}/drift")).await.fine();
    assert!(drift["drift"].as_str().unwrap().starts_with("6.5217391304"));
    assert_eq!(drift["totalValue"], "11500");
    assert_eq!(drift["exceeded"], true);
    let run = cycle(client).await;
    let counts = [
        "checked",
        "drifted",
        "exceeded",
        "rebalancesStarted",
        "skipped",
    ];
    assert_eq!(
        counts.map(|name| run[name].clone()),
        [1, 1, 1, 1, 0].map(Value::from)
    );

    let index = rebalanced(client, &path, 2).await;
    exactly_half_and_half(client, &path).await;
    assert_eq!(holdings(&index).len(), 2);
    let messages = inbox.wait_until(|all| all.len() >= 6).await;
    let expected: Vec<_> = TOLD.iter().map(|told| (*told).to_owned()).collect();
    assert_eq!(types(&messages), expected);
    verify(secret, &messages);
    each_says_what_it_is_about(&messages, &index);
}

/// Half of 11,500 is no whole number of lots of A at 130: the books are exact to one lot.
async fn exactly_half_and_half(client: &Client, path: &str) {
    let drift = client.get(&format!("{path}/drift")).await.fine();
    assert_eq!(drift["totalValue"], "11500", "{drift}");
    for line in drift["assets"].as_array().unwrap() {
        assert_eq!(rounded(&line["value"]), "5750", "{drift}");
        assert_eq!(rounded(&line["current"]), "50", "{drift}");
    }
    assert_eq!(rounded(&drift["drift"]), "0", "{drift}");
}

/// A decimal to eight places.
fn rounded(decimal: &Value) -> String {
    let decimal: Decimal = decimal.as_str().unwrap().parse().unwrap();
    decimal.round_dp(8).normalize().to_string()
}

fn each_says_what_it_is_about(messages: &[Message], index: &Value) {
    for message in messages {
        let body = message.json();
        assert_eq!(message.header("x-webhook-event"), body["type"], "{body}");
        assert_eq!(body["data"]["indexId"], index["indexId"], "{body}");
        assert_eq!(body["data"]["indexName"], index["name"], "{body}");
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
    }
}

#[tokio::test]
async fn drift_is_traded_back_and_told_to_an_owner_and_to_the_admin() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let inbox = Inbox::open().await;
    let owner = server.admin.owner("ann").await;
    drift_is_traded_back_and_told(&owner, &inbox).await;
    server.stop().await;

    let home = Home::with_local_webhooks();
    let server = home.serve();
    drift_is_traded_back_and_told(&server.admin, &inbox).await;
    server.stop().await;
}
