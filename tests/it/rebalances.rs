//! Rebalances and kill switches of a real server: what is shown, refused, and kept over a crash.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::api::Client;
use crate::home::Home;
use crate::portfolio::{constructed, created, cycle, halves, push, rebalanced};

/// The newest rebalance's path under its index.
async fn newest(client: &Client, index: &str) -> String {
    let list = client.get(&format!("{index}/rebalances?limit=1")).await;
    let id = list.fine()["items"][0]["rebalanceId"].clone();
    format!("{index}/rebalances/{}", id.as_str().unwrap())
}

fn amount(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

/// What a field sums to over a list.
fn sum(items: &Value, field: &str) -> Decimal {
    let items = items.as_array().unwrap().iter();
    items.map(|item| amount(&item[field])).sum()
}

#[tokio::test]
async fn a_dry_run_tells_the_plan_and_the_cost_of_the_run_after_it() {
    let home = Home::new()
        .env("EVENKEEL_PAPER_FEE_PERCENT", "0.1")
        .env("EVENKEEL_PAPER_SLIPPAGE_PERCENT", "0.5");
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    push(&owner, "100", "100").await;
    let index = created(&owner, halves("NONE")).await;
    let deposit = json!({"amount": "10000"});
    owner
        .post(&format!("{index}/deposit"), deposit)
        .await
        .fine();
    rebalanced(&owner, &index, 1).await;
    push(&owner, "130", "100").await;

    let rebalance = format!("{index}/rebalance");
    let dry = owner.post(&rebalance, json!({"dryRun": true})).await.fine();
    let cost = &dry["estimatedCost"];
    let of_orders = cost["orders"].as_array().unwrap().len();
    assert_eq!(of_orders, dry["plan"]["orders"].as_array().unwrap().len());
    for part in ["fee", "slippage"] {
        assert!(amount(&cost[part]) > Decimal::ZERO, "{cost}");
        assert_eq!(amount(&cost[part]), sum(&cost["orders"], part), "{cost}");
    }
    let both = amount(&cost["fee"]) + amount(&cost["slippage"]);
    assert_eq!(amount(&cost["total"]), both);

    let run = owner.post_empty(&rebalance).await;
    assert_eq!(run.status, 202, "{run:?}");
    assert_eq!(run.fine()["plan"].to_string(), dry["plan"].to_string());
    rebalanced(&owner, &index, 2).await;
    let one = owner.get(&newest(&owner, &index).await).await.fine();
    assert_eq!(one["plan"].to_string(), dry["plan"].to_string());
    assert_eq!(sum(&one["trades"], "fee"), amount(&cost["fee"]), "{one}");
    server.stop().await;
}

#[tokio::test]
async fn an_ended_rebalance_is_shown_whole_and_takes_no_decision() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let index = constructed(&owner, "DRIFT").await;
    let path = newest(&owner, &index).await;
    let one = owner.get(&path).await.fine();
    let steps: Vec<_> = one["orders"].as_array().unwrap().iter().collect();
    let id = one["rebalanceId"].as_str().unwrap();
    for (at, order) in steps.iter().enumerate() {
        let step = at + 1;
        assert_eq!(order["step"], step);
        assert_eq!(order["clientOrderId"], format!("{id}-{step}"));
        assert_eq!(order["status"], "FILLED");
        assert_eq!(one["trades"][at]["step"], step);
    }
    let resolve = json!({"step": 1, "outcome": "NOT_FILLED"});
    for (action, body) in [
        ("approve", json!({})),
        ("cancel", json!({"reason": "late"})),
        ("resolve", resolve.clone()),
    ] {
        let told = owner.post(&format!("{path}/{action}"), body).await;
        told.refused(409, "rebalance_not_running");
    }
    let key = [("idempotency-key", "r-1")];
    let resolve = resolve.to_string();
    for _ in 0..2 {
        // A refusal changed nothing, so the same key is tried anew.
        let told = owner
            .send("POST", &format!("{path}/resolve"), &key, resolve.clone())
            .await;
        told.refused(409, "rebalance_not_running");
    }
    let bob = server.admin.owner("bob").await;
    bob.get(&path).await.refused(404, "not_found");
    let told = bob.post(&format!("{path}/cancel"), json!({})).await;
    told.refused(404, "not_found");
    assert_eq!(owner.get(&path).await.fine(), one);
    server.stop().await;
}

#[tokio::test]
async fn kill_switches_hold_after_a_kill() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let index = constructed(&owner, "DRIFT").await;
    push(&owner, "130", "100").await;
    let halted = json!({"mode": "HALTED", "reason": "the feed is odd"});
    let told = owner.put("/api/trading", halted.clone()).await;
    told.refused(403, "forbidden");
    let all = server.admin.put("/api/trading", halted).await.fine();
    let switch = format!("{index}/trading");
    let own = owner.put(&switch, json!({"mode": "REDUCING"})).await.fine();
    assert_eq!(own["tradingMode"], "REDUCING");
    server.process.kill();

    let server = home.serve();
    let owner = server.admin.owner("eve").await;
    assert_eq!(server.admin.get("/api/trading").await.fine(), all);
    owner.get(&switch).await.refused(404, "not_found");
    let admin = &server.admin;
    let both = json!({"mode": "REDUCING", "allIndexes": "HALTED", "effective": "HALTED"});
    assert_eq!(admin.get(&switch).await.fine(), both);
    let rebalance = format!("{index}/rebalance");
    let told = admin.post(&rebalance, json!({"force": true})).await;
    told.refused(409, "trading_halted");
    let run = cycle(&owner).await;
    assert_eq!(
        (&run["skipped"], &run["rebalancesStarted"]),
        (&json!(1), &json!(0))
    );

    let active = json!({"mode": "ACTIVE"});
    admin.put("/api/trading", active).await.fine();
    // Its own switch still lets nothing be bought.
    assert_eq!(cycle(&owner).await["rebalancesStarted"], 1);
    let shown = rebalanced(admin, &index, 2).await;
    assert_ne!(shown["cash"], "0", "what was sold stays cash: {shown}");
    let sold = admin.get(&newest(admin, &index).await).await.fine();
    let sides = sold["orders"].as_array().unwrap().iter();
    let sides: Vec<_> = sides.map(|order| order["side"].clone()).collect();
    assert_eq!(sides, ["SELL"]);
    server.stop().await;
}

#[tokio::test]
async fn the_rules_of_an_instrument_are_the_configured_ones() {
    let home = Home::new()
        .env("EVENKEEL_PAPER_FEE_PERCENT", "0.25")
        .env("EVENKEEL_PAPER_SLIPPAGE_PERCENT", "0.5")
        .env("EVENKEEL_PAPER_LOT_STEP", "0.01")
        .env("EVENKEEL_PAPER_MIN_NOTIONAL", "5");
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let told = owner.get("/api/accounts/paper/instruments/AAPL").await;
    let told = told.fine();
    assert_eq!(
        (&told["account"], &told["asset"]),
        (&json!("paper"), &json!("AAPL"))
    );
    for (rule, value) in [
        ("fee", "0.25"),
        ("slippage", "0.5"),
        ("lotStep", "0.01"),
        ("minNotional", "5"),
    ] {
        assert_eq!(told["rules"][rule], value, "{told}");
    }
    let told = owner.get("/api/accounts/real/instruments/AAPL").await;
    told.refused(404, "not_found");
    server.stop().await;
}
