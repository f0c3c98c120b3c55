//! How indexes did: units against the fund's own arithmetic, over years of real prices.

use rust_decimal::Decimal;
use serde_json::json;

use crate::home::Home;
use crate::portfolio::{constructed, created, decimal, halves, push};

#[tokio::test]
async fn a_unit_gains_what_prices_gain_and_nothing_by_deposits() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let empty = created(&owner, halves("NONE")).await;
    let nothing = owner.get(&format!("{empty}/performance")).await.fine();
    assert_eq!(nothing["series"], json!([]));

    let path = constructed(&owner, "NONE").await;
    let performance = format!("{path}/performance");
    push(&owner, "120", "110").await;
    let deposit = json!({"amount": "5000", "invest": false});
    owner.post(&format!("{path}/deposit"), deposit).await.fine();
    let told = owner.get(&performance).await.fine();
    let point = told["series"].as_array().unwrap().last().unwrap();
    assert_eq!(decimal(&point["value"]), Decimal::from(16_500));
    assert_eq!(decimal(&point["unit"]), Decimal::from(115));
    assert_eq!(decimal(&point["buyAndHold"]), Decimal::from(115));
    let later = "from=2999-01-01T00:00:00Z";
    let later = owner.get(&format!("{performance}?{later}")).await.fine();
    assert_eq!(later["series"], json!([]));
    for wrong in [
        "from=yesterday",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "x=1",
    ] {
        let refused = owner.get(&format!("{performance}?{wrong}")).await;
        refused.refused(400, "malformed_request");
    }
    let stranger = server.admin.owner("bob").await;
    stranger.get(&performance).await.refused(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn the_figures_of_a_replay_follow_from_its_series() {
    let home = Home::with_local_webhooks();
    home.run(&["demo", "--cycles", "120", "--json"]).fine();
    let server = home.serve();
    let indexes = server.admin.all("/api/indexes").await;
    let index = indexes
        .iter()
        .find(|index| index["rebalancing"]["method"] == "DRIFT");
    let id = index.unwrap()["indexId"].as_str().unwrap().to_owned();
    let path = format!("/api/indexes/{id}/performance");
    let told = server.admin.get(&path).await.fine();
    let series = told["series"].as_array().unwrap();
    assert!(series.len() >= 100, "{} points", series.len());
    let units: Vec<Decimal> = series.iter().map(|point| decimal(&point["unit"])).collect();
    let all = told["returns"].as_array().unwrap().last().unwrap();
    let gained = (units.last().unwrap() / units[0] - Decimal::ONE) * Decimal::ONE_HUNDRED;
    assert_eq!(decimal(&all["index"]), gained.round_dp(6).normalize());
    let (mut peak, mut deepest) = (units[0], Decimal::ZERO);
    for unit in &units {
        peak = peak.max(*unit);
        deepest = deepest.max((Decimal::ONE - unit / peak) * Decimal::ONE_HUNDRED);
    }
    let drawdown = decimal(&told["maxDrawdown"]["depth"]);
    assert!(
        (drawdown - deepest).abs() < Decimal::new(1, 5),
        "{drawdown} {deepest}"
    );
    assert!(decimal(&told["volatility"]) > Decimal::ZERO);
    // The value of the last day is the value that drift is measured over.
    let free = server
        .admin
        .get(&format!("{path}?riskFree=1000"))
        .await
        .fine();
    assert!(decimal(&free["sharpe"]) < decimal(&told["sharpe"]));
    server.stop().await;
}
