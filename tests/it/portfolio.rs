//! Indexes as the tests use them: half A, half B.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::api::Client;

/// Whatever is waited for comes within this.
pub const SOON: Duration = Duration::from_secs(20);

/// Between two looks at something that cannot be waited for.
pub const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    let found = tokio::time::timeout(SOON, async {
        loop {
            looks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}

/// The body of a new index over two assets.
pub fn halves(method: &str) -> Value {
    json!({
        "name": format!("halves by {method}"),
        "constituents": [
            {"asset": "A", "percentage": "50"},
            {"asset": "B", "percentage": "50"},
        ],
        "rebalancing": {"method": method, "driftThreshold": "5"},
    })
}

/// A number as the API writes it.
pub fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

/// Pushes prices of A and B.
pub async fn push(client: &Client, a: &str, b: &str) {
    let prices = json!({"prices": {"A": a, "B": b}});
    let told = client.post("/api/prices", prices).await.fine();
    assert_eq!(told["held"], json!([]), "{told}");
}

/// A new index's path.
pub async fn created(client: &Client, body: Value) -> String {
    client.post("/api/indexes", body).await.location()
}

/// An index that was constructed from 10,000 at 100/100.
pub async fn constructed(client: &Client, method: &str) -> String {
    push(client, "100", "100").await;
    let path = created(client, halves(method)).await;
    let deposit = json!({"amount": "10000"});
    client
        .post(&format!("{path}/deposit"), deposit)
        .await
        .fine();
    let index = rebalanced(client, &path, 1).await;
    assert_eq!(holdings(&index), [("A", "50"), ("B", "50")]);
    path
}

/// The index when so many rebalances have ended.
pub async fn rebalanced(client: &Client, path: &str, rebalances: usize) -> Value {
    eventually("a rebalance's end", async || {
        let ended = client.all(&format!("{path}/rebalances")).await;
        let open = |item: &&Value| item["endedAt"].is_null();
        let is_over = ended.len() >= rebalances && !ended.iter().any(|item| open(&item));
        if !is_over {
            return None;
        }
        let index = client.get(path).await.fine();
        index["activeRebalanceId"].is_null().then_some(index)
    })
    .await
}

/// What an index holds.
pub fn holdings(index: &Value) -> Vec<(&str, &str)> {
    let lines = index["holdings"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (
                line["asset"].as_str().unwrap(),
                line["quantity"].as_str().unwrap(),
            )
        })
        .collect()
}

/// Runs the drift monitor and waits for what it starts.
pub async fn cycle(client: &Client) -> Value {
    let run = client
        .post_empty("/api/jobs/drift-monitor/run?wait=true")
        .await;
    let run = run.fine();
    assert_eq!(run["status"], "COMPLETED", "{run}");
    run
}
