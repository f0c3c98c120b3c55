//! Why it was traded, and why not, asked for the past and for now.

use serde_json::{Value, json};

use crate::home::Home;
use crate::portfolio::{constructed, created, cycle, halves, push, rebalanced};

/// The conditions that do not hold.
fn against(explanation: &Value) -> Vec<&str> {
    let conditions = explanation["conditions"].as_array().unwrap().iter();
    let unmet = conditions.filter(|it| it["holds"] == false);
    unmet.map(|it| it["asked"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_check_is_explained_at_any_time() {
    let home = Home::new();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let index = constructed(&owner, "DRIFT").await;
    let now = async || owner.get("/api/prices").await.fine()["asOf"].clone();
    let before = now().await;
    push(&owner, "130", "100").await;
    let drifted = now().await;
    cycle(&owner).await;
    rebalanced(&owner, &index, 2).await;
    let explain = async |at: &Value| {
        let at = at.as_str().unwrap();
        owner.get(&format!("{index}/explain?at={at}")).await.fine()
    };

    let quiet = explain(&before).await;
    assert_eq!(quiet["verdict"], "QUIET");
    assert_eq!(against(&quiet), ["BREACHED", "DUE", "WORTHWHILE"]);
    let due = explain(&drifted).await;
    assert_eq!(
        (&due["verdict"], against(&due)),
        (&json!("REBALANCE"), vec![])
    );
    assert_eq!(due["reason"], "it drifted too far");
    assert_eq!(due["drift"]["totalValue"], "11500");
    assert_eq!(
        due["prices"][0],
        json!({"asset": "A", "price": "130", "problem": null})
    );
    // What was planned then is what was traded.
    let traded = owner.all(&format!("{index}/rebalances")).await;
    assert_eq!(due["plan"], traded[0]["plan"]);
    let done = owner.get(&format!("{index}/explain")).await.fine();
    assert_eq!(done["verdict"], "QUIET");
    assert_eq!(done["holdings"], owner.get(&index).await.fine()["holdings"]);

    // The same past after a restart: nothing of it was in memory.
    server.process.kill();
    let server = home.serve();
    let owner = owner.at(&server.url);
    let at = drifted.as_str().unwrap();
    let again = owner.get(&format!("{index}/explain?at={at}")).await.fine();
    assert_eq!(again, due);

    let halt = json!({"mode": "HALTED", "reason": "a look"});
    server.admin.put("/api/trading", halt).await.fine();
    push(&owner, "180", "100").await;
    let halted = owner.get(&format!("{index}/explain")).await.fine();
    assert_eq!(
        (&halted["verdict"], against(&halted)),
        (&json!("SKIPPED"), vec!["ALLOWED"])
    );
    let empty = created(&owner, halves("NONE")).await;
    let empty = owner.get(&format!("{empty}/explain")).await.fine();
    assert_eq!(
        (&empty["verdict"], &empty["drift"]),
        (&json!("NOT_WATCHED"), &Value::Null)
    );
    let early = "at=2020-01-01T00:00:00Z";
    owner
        .get(&format!("{index}/explain?{early}"))
        .await
        .refused(404, "not_found");
    server.stop().await;
}
