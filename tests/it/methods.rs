//! When each method trades.

use serde_json::json;

use crate::home::Home;
use crate::portfolio::{constructed, created, cycle, halves, push, rebalanced};

/// Method, whether drift of 6.5 points right after the construction is traded, and what a second
/// cycle with more drift does.
const TABLE: [(&str, u64, u64); 4] = [
    ("NONE", 0, 0),
    ("DRIFT", 1, 1),
    // The construction counts for the interval of 24 hours.
    ("DAILY", 0, 0),
    ("HYBRID", 1, 1),
];

#[tokio::test]
async fn each_method_trades_as_the_table_says() {
    let home = Home::new();
    let server = home.serve();
    for (method, first, second) in TABLE {
        let owner = server.admin.owner(method).await;
        let path = constructed(&owner, method).await;
        push(&owner, "130", "100").await;
        assert_eq!(cycle(&owner).await["rebalancesStarted"], first, "{method}");
        push(&owner, "180", "100").await;
        assert_eq!(cycle(&owner).await["rebalancesStarted"], second, "{method}");
        let expected = usize::try_from(1 + first + second).unwrap();
        rebalanced(&owner, &path, expected).await;
        let done = owner.all(&format!("{path}/rebalances")).await;
        assert_eq!(done.len(), expected, "{method}");
        // Drift is measured and told by every method.
        let found = owner.all(&format!("{path}/drift/history")).await;
        assert_eq!(found.len(), 2, "{method}: {found:?}");
        owner.send("DELETE", &path, &[], "").await;
        push(&owner, "130", "100").await;
        push(&owner, "100", "100").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn daily_trades_once_in_an_interval_and_no_more() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    push(&owner, "100", "100").await;
    let mut body = halves("DAILY");
    body["rebalancing"]["minInterval"] = json!("1s");
    let path = created(&owner, body).await;
    let deposit = format!("{path}/deposit");
    owner
        .post(&deposit, json!({"amount": "10000"}))
        .await
        .fine();
    rebalanced(&owner, &path, 1).await;
    push(&owner, "130", "100").await;
    // Its own interval of a second passes; then it trades, and is changed to a day.
    while cycle(&owner).await["rebalancesStarted"] == 0 {}
    rebalanced(&owner, &path, 2).await;
    let day = json!({"rebalancing": {"minInterval": "24h"}});
    owner.put(&path, day).await.fine();
    push(&owner, "180", "100").await;
    let run = cycle(&owner).await;
    assert_eq!(
        (&run["exceeded"], &run["rebalancesStarted"]),
        (&json!(1), &json!(0))
    );
    server.stop().await;
}

#[tokio::test]
async fn drift_at_the_threshold_is_not_over_it() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    constructed(&owner, "DRIFT").await;
    // 110 to 90 is 55 % to 45 %: five points, and the threshold is five.
    push(&owner, "110", "90").await;
    let run = cycle(&owner).await;
    assert_eq!((&run["drifted"], &run["exceeded"]), (&json!(1), &json!(0)));
    push(&owner, "110.01", "90").await;
    assert_eq!(cycle(&owner).await["rebalancesStarted"], 1);
    server.stop().await;
}
