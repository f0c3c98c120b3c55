//! The routes over an engine in memory, and the server over real sockets.

mod indexes;
mod others;
mod rebalances;
mod sockets;
mod switches;
pub mod venue;

use std::time::Duration;

use serde_json::Value;

use super::world::Client;

const HALVES: &str = r#"{"name":"halves","constituents":[{"asset":"A","percentage":"50"},{"asset":"B","percentage":"50"}]}"#;

/// Waits until the rebalance of an index has ended.
async fn at_rest(client: &Client, path: &str) -> Value {
    let look = async {
        loop {
            let index = client.get(path).await.fine();
            if index["activeRebalanceId"].is_null() && index["cash"] != "10000" {
                return index;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), look)
        .await
        .unwrap()
}

/// A client with half A, half B, constructed from 10,000 at 100/100.
async fn funded(client: &Client) -> String {
    client
        .post("/api/prices", r#"{"prices":{"A":"100","B":100}}"#)
        .await
        .fine();
    let made = client.post("/api/indexes", HALVES).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let index = made.made();
    assert_eq!(
        path,
        format!("/api/indexes/{}", index["indexId"].as_str().unwrap())
    );
    assert_eq!(index["status"], "PENDING");
    client
        .post(&format!("{path}/deposit"), r#"{"amount":"10000"}"#)
        .await
        .fine();
    at_rest(client, &path).await;
    path
}
