//! The kill switches and the rules of instruments over the API.

use serde_json::{Value, json};

use super::funded;
use crate::http::world::{self, Client};

/// Moves A by 30 %, after which an index of halves is over its threshold.
async fn move_a_price(client: &Client) {
    let prices = r#"{"prices":{"A":"130"}}"#;
    client.post("/api/prices", prices).await.fine();
}

#[tokio::test]
async fn the_switch_for_all_indexes_is_the_admins() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let ann = admin.owner("ann").await;
    let index = funded(&ann).await;
    let at_first = json!({"mode": "ACTIVE", "reason": "", "since": null});
    assert_eq!(ann.get("/api/trading").await.fine(), at_first);
    let halted = r#"{"mode":"HALTED","reason":"the venue lies"}"#;
    let told = ann.put("/api/trading", halted).await;
    assert_eq!((told.status, told.code().as_str()), (403, "forbidden"));
    let long = format!(r#"{{"mode":"HALTED","reason":"{}"}}"#, "x".repeat(301));
    for (body, field) in [
        ("{}", "mode"),
        (r#"{"mode":"OFF"}"#, "mode"),
        (r#"{"mode":"HALTED","until":"never"}"#, "until"),
        (long.as_str(), "reason"),
    ] {
        let told = admin.put("/api/trading", body).await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (422, "validation_failed"),
            "{body}"
        );
        assert_eq!(told.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(ann.get("/api/trading").await.fine(), at_first);

    let set = admin.put("/api/trading", halted).await.fine();
    assert_eq!(
        (&set["mode"], &set["reason"]),
        (&json!("HALTED"), &json!("the venue lies"))
    );
    assert!(set["since"].is_string());
    assert_eq!(ann.get("/api/trading").await.fine(), set);
    let both = ann.get(&format!("{index}/trading")).await.fine();
    assert_eq!(
        both,
        json!({"mode": "ACTIVE", "allIndexes": "HALTED", "effective": "HALTED"})
    );
}

#[tokio::test]
async fn what_a_halted_index_is_asked_to_trade_is_refused_and_what_it_would_trade_is_shown() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let ann = admin.owner("ann").await;
    let (one, two) = (funded(&ann).await, funded(&ann).await);
    move_a_price(&ann).await;
    let set = ann
        .put(&format!("{one}/trading"), r#"{"mode":"HALTED"}"#)
        .await
        .fine();
    assert_eq!(set["tradingMode"], "HALTED");
    let rebalance = format!("{one}/rebalance");
    for body in ["", r#"{"force":true}"#] {
        let told = ann.post(&rebalance, body).await;
        assert_eq!((told.status, told.code().as_str()), (409, "trading_halted"));
    }
    let dry = ann.post(&rebalance, r#"{"dryRun":true}"#).await.fine();
    assert_eq!(dry["plan"]["orders"].as_array().unwrap().len(), 2);
    let run = ann
        .post("/api/jobs/drift-monitor/run?wait=true", "")
        .await
        .fine();
    assert_eq!(
        (&run["skipped"], &run["rebalancesStarted"]),
        (&json!(1), &json!(1)),
        "{run}"
    );
    let shown = ann.get(&one).await.fine();
    assert!(
        shown["skipped"].as_str().unwrap().contains("HALTED"),
        "{shown}"
    );
    let other = ann.get(&format!("{two}/rebalances")).await.fine();
    assert_eq!(
        other["items"].as_array().unwrap().len(),
        2,
        "the other one trades"
    );

    let bob = admin.owner("bob").await;
    let lift = r#"{"mode":"ACTIVE"}"#;
    for told in [
        bob.put(&format!("{one}/trading"), lift).await,
        bob.get(&format!("{one}/trading")).await,
    ] {
        assert_eq!((told.status, told.code().as_str()), (404, "not_found"));
    }
    ann.put(&format!("{one}/trading"), lift).await.fine();
    assert_eq!(ann.post(&rebalance, "").await.status, 202);
}

#[tokio::test]
async fn while_reducing_a_plan_sells_and_says_why_it_does_not_buy() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let ann = admin.owner("ann").await;
    let index = funded(&ann).await;
    move_a_price(&ann).await;
    admin
        .put("/api/trading", r#"{"mode":"REDUCING"}"#)
        .await
        .fine();
    let dry = ann
        .post(&format!("{index}/rebalance"), r#"{"dryRun":true}"#)
        .await
        .fine();
    let sides = dry["plan"]["orders"].as_array().unwrap().iter();
    assert_eq!(
        sides.map(|order| order["side"].clone()).collect::<Vec<_>>(),
        ["SELL"]
    );
    let skipped = json!([{"asset": "B", "reason": "TRADING_REDUCED"}]);
    assert_eq!(dry["plan"]["skipped"], skipped);
}

#[tokio::test]
async fn the_rules_of_an_instrument_are_told() {
    let api = world::api().await;
    let ann = Client::admin(&api).owner("ann").await;
    let told = ann.get("/api/accounts/paper/instruments/A").await.fine();
    assert_eq!(
        (&told["account"], &told["asset"]),
        (&json!("paper"), &json!("A"))
    );
    let rules = &told["rules"];
    assert_eq!(rules["lotStep"], "0.000000000001");
    for amount in ["minNotional", "fee", "slippage"] {
        assert_eq!(rules[amount], Value::from("0"), "{amount}");
    }
    for path in [
        "/api/accounts/nowhere/instruments/A",
        "/api/accounts/paper/instruments/%20",
    ] {
        assert_eq!(ann.get(path).await.code(), "not_found", "{path}");
    }
    let told = ann.put("/api/accounts/paper/instruments/A", "{}").await;
    assert_eq!(told.code(), "method_not_allowed");
}
