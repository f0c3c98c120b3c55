//! One rebalance over the API: looked at, planned, called off, resolved. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_actors::ports::{Venue as _, VenueAccount};
use serde_json::{Value, json};

use super::funded;
use super::venue::{Fate, HandVenue};
use crate::http::world::{self, Client};

/// Whatever is waited for comes within this.
const SOON: Duration = Duration::from_mins(2);

/// Looks at a rebalance until something is so.
async fn until(client: &Client, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let look = async {
        loop {
            looks.tick().await;
            let rebalance = client.get(path).await.fine();
            if is_so(&rebalance) {
                return rebalance;
            }
        }
    };
    tokio::time::timeout(SOON, look).await.expect("it comes")
}

/// A rebalance when it has this status.
pub(super) async fn when(client: &Client, path: &str, status: &str) -> Value {
    until(client, path, |rebalance| rebalance["status"] == status).await
}

/// A client whose index is off, over a venue that does this with the next order. Gives the paths
/// of the index and of the rebalance that was started.
async fn started(venue: &Arc<HandVenue>, fate: Fate) -> (Client, String, String) {
    let api = world::api_with(Arc::clone(venue)).await;
    let client = Client::admin(&api).owner("ann").await;
    let index = funded(&client).await;
    let prices = r#"{"prices":{"A":"130"}}"#;
    client.post("/api/prices", prices).await.fine();
    venue.next(fate);
    let begun = client.post(&format!("{index}/rebalance"), "").await;
    assert_eq!(begun.status, 202, "{:?}", begun.body);
    let begun = begun.json();
    assert_eq!(
        (&begun["status"], &begun["approvalUntil"]),
        (&json!("EXECUTING"), &Value::Null)
    );
    let id = begun["rebalanceId"].as_str().unwrap();
    let rebalance = format!("{index}/rebalances/{id}");
    (client, index, rebalance)
}

/// The books say what the venue holds.
async fn agree(venue: &HandVenue, client: &Client, index: &str) {
    let shown = client.get(index).await.fine();
    let id = shown["indexId"].as_str().unwrap().parse().unwrap();
    let truth = venue.balances(VenueAccount(id)).await.unwrap();
    let held = truth.holdings.iter();
    let held = held.map(|(asset, quantity)| json!({"asset": asset, "quantity": quantity}));
    assert_eq!(shown["holdings"], held.collect::<Value>());
    assert_eq!(shown["cash"], truth.cash.to_string());
}

/// The fields that a refusal names, with their codes.
#[track_caller]
fn named(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            (
                error["field"].as_str().unwrap(),
                error["code"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_rebalance_is_shown_with_its_orders_and_their_steps() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let index = funded(&client).await;
    let list = client.get(&format!("{index}/rebalances")).await.fine();
    let listed = &list["items"][0];
    let id = listed["rebalanceId"].as_str().unwrap();
    let one = client.get(&format!("{index}/rebalances/{id}")).await.fine();
    assert_eq!(&one, listed, "a list and a look tell the same");
    assert_eq!(
        (&one["status"], &one["trigger"]),
        (&json!("COMPLETED"), &json!("DEPOSIT"))
    );
    let orders = one["orders"].as_array().unwrap();
    let trades = one["trades"].as_array().unwrap();
    assert_eq!((orders.len(), trades.len()), (2, 2));
    for (at, (order, trade)) in orders.iter().zip(trades).enumerate() {
        let step = at + 1;
        assert_eq!(
            (&order["step"], &trade["step"]),
            (&json!(step), &json!(step))
        );
        assert_eq!(order["clientOrderId"], format!("{id}-{step}"));
        assert_eq!(
            (&order["status"], &order["side"]),
            (&json!("FILLED"), &json!("BUY"))
        );
        assert_eq!(order["quantity"], trade["quantity"]);
        assert!(order["limit"].is_string() && order["intendedAt"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_of_somebody_else_or_of_another_index_is_not_there() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let (ann, bob) = (admin.owner("ann").await, admin.owner("bob").await);
    let (of_ann, of_bob) = (funded(&ann).await, funded(&bob).await);
    let list = ann.get(&format!("{of_ann}/rebalances")).await.fine();
    let id = list["items"][0]["rebalanceId"].as_str().unwrap().to_owned();
    let unknown = "reb_00000000000000000000000000000000";
    let resolve = r#"{"step":1,"outcome":"NOT_FILLED"}"#;
    for (client, index, id, ended) in [
        (&bob, &of_ann, id.as_str(), false),
        (&bob, &of_bob, &id, false),
        (&ann, &of_ann, unknown, false),
        (&ann, &of_ann, "nonsense", false),
        (&ann, &of_ann, &id, true),
        (&admin, &of_ann, &id, true),
    ] {
        let path = format!("{index}/rebalances/{id}");
        let shown = client.get(&path).await;
        assert_eq!(shown.status == 200, ended, "GET {path}");
        for (action, body) in [("approve", ""), ("cancel", "{}"), ("resolve", resolve)] {
            let told = client.post(&format!("{path}/{action}"), body).await;
            let expected = if ended {
                (409, "rebalance_not_running")
            } else {
                (404, "not_found")
            };
            assert_eq!(
                (told.status, told.code().as_str()),
                expected,
                "{action} {path}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_with_an_open_order_is_called_off_and_keeps_what_was_filled() {
    let venue = Arc::<HandVenue>::default();
    let (client, index, path) = started(&venue, Fate::StaysOpen).await;
    let is_open = |rebalance: &Value| rebalance["orders"][0]["status"] == "ACCEPTED";
    let open = until(&client, &path, is_open).await;
    assert_eq!(
        (&open["status"], &open["endedAt"]),
        (&json!("EXECUTING"), &Value::Null)
    );
    // It is not stuck and waits for nobody.
    let resolve = client
        .post(
            &format!("{path}/resolve"),
            r#"{"step":1,"outcome":"NOT_FILLED"}"#,
        )
        .await;
    assert_eq!(
        (resolve.status, resolve.code().as_str()),
        (409, "rebalance_not_stuck")
    );
    let approve = client.post(&format!("{path}/approve"), "").await;
    assert_eq!(
        (approve.status, approve.code().as_str()),
        (409, "rebalance_illegal")
    );
    let second = client
        .post(&format!("{index}/rebalance"), r#"{"force":true}"#)
        .await;
    assert_eq!(second.code(), "rebalance_running");

    let cancel = format!("{path}/cancel");
    let long = format!(r#"{{"reason":"{}","why":1}}"#, "x".repeat(301));
    let refused = client.post(&cancel, &long).await.json();
    assert_eq!(
        named(&refused),
        [("reason", "invalid"), ("why", "unknown_field")]
    );
    let key = [("idempotency-key", "off-1")];
    let body = r#"{"reason":"enough"}"#;
    let told = client.send("POST", &cancel, &key, body).await;
    assert_eq!(
        (told.status, &told.json()["reason"]),
        (202, &json!("enough"))
    );
    let again = client.send("POST", &cancel, &key, body).await;
    assert_eq!((again.status, &again.body), (told.status, &told.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");

    let ended = when(&client, &path, "CANCELLED").await;
    assert_eq!(
        (&ended["reason"], &ended["orders"][0]["status"]),
        (&json!("enough"), &json!("PARTIALLY_FILLED"))
    );
    assert_eq!(ended["trades"].as_array().unwrap().len(), 1);
    agree(&venue, &client, &index).await;
    assert_eq!(
        client.post(&cancel, "").await.code(),
        "rebalance_not_running"
    );
}

/// Bodies that say nothing usable about an order, and the fields that are named.
const UNUSABLE: [(&str, &[(&str, &str)]); 6] = [
    ("{}", &[("step", "required"), ("outcome", "required")]),
    (
        r#"{"step":0,"outcome":"MAYBE","quantity":"1","price":"1","reason":"x"}"#,
        &[("step", "invalid"), ("outcome", "invalid")],
    ),
    (
        r#"{"step":1,"outcome":"FILLED"}"#,
        &[("quantity", "required"), ("price", "required")],
    ),
    (
        r#"{"step":1,"outcome":"FILLED","quantity":"-1","price":"0","notional":"0"}"#,
        &[
            ("quantity", "invalid"),
            ("price", "invalid"),
            ("notional", "invalid"),
        ],
    ),
    (
        r#"{"step":1,"outcome":"FILLED","quantity":"1","price":"130","baseFee":"2"}"#,
        &[("baseFee", "out_of_range")],
    ),
    (
        r#"{"step":1,"outcome":"NOT_FILLED","quantity":"1"}"#,
        &[("quantity", "unknown_field")],
    ),
];

#[tokio::test(start_paused = true)]
async fn a_stuck_rebalance_goes_on_with_what_an_operator_says() {
    for (fate, filled) in [(Fate::NeverArrives, false), (Fate::FilledUnheard, true)] {
        let venue = Arc::<HandVenue>::default();
        let (client, index, path) = started(&venue, fate).await;
        let stuck = when(&client, &path, "STUCK").await;
        let order = &stuck["orders"][0];
        assert_eq!(order["status"], "UNKNOWN");
        assert!(stuck["reason"].is_string(), "{stuck}");
        let metrics = client.get("/metrics").await;
        let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
        assert!(
            metrics.contains("evenkeel_rebalances_stuck 1\n"),
            "{metrics}"
        );

        let resolve = format!("{path}/resolve");
        for (body, fields) in UNUSABLE {
            let told = client.post(&resolve, body).await;
            assert_eq!(
                (told.status, told.code().as_str()),
                (422, "validation_failed"),
                "{body}"
            );
            assert_eq!(named(&told.json()), fields, "{body}");
        }
        let other = client
            .post(&resolve, r#"{"step":7,"outcome":"NOT_FILLED"}"#)
            .await;
        assert_eq!(
            (other.status, other.code().as_str()),
            (409, "order_not_open")
        );
        assert_eq!(named(&other.json()), [("step", "order_not_open")]);
        let much = r#"{"step":1,"outcome":"FILLED","quantity":"1000","price":"130"}"#;
        let much = client.post(&resolve, much).await;
        assert_eq!(
            (much.status, much.code().as_str()),
            (409, "fill_does_not_fit")
        );
        assert_eq!(
            client.get(&path).await.fine(),
            stuck,
            "nothing of it changed anything"
        );

        venue.speak();
        let body = if filled {
            json!({"step": 1, "outcome": "FILLED", "quantity": order["quantity"], "price": order["price"]})
        } else {
            json!({"step": 1, "outcome": "NOT_FILLED", "reason": "the venue has no such order"})
        };
        let told = client.post(&resolve, &body.to_string()).await;
        assert_eq!(told.status, 202, "{:?}", told.body);
        let status = if filled { "FILLED" } else { "FAILED" };
        assert_eq!(told.json()["orders"][0]["status"], status);
        when(&client, &path, "COMPLETED").await;
        agree(&venue, &client, &index).await;
        let late = client.post(&resolve, &body.to_string()).await;
        assert_eq!(late.code(), "rebalance_not_running");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_the_run_after_it_have_the_same_plan() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let index = funded(&client).await;
    client
        .post("/api/prices", r#"{"prices":{"A":"130"}}"#)
        .await
        .fine();
    let rebalance = format!("{index}/rebalance");
    let before = client.get(&index).await.fine();
    let dry = client.post(&rebalance, r#"{"dryRun":true}"#).await.fine();
    assert_eq!(
        client.get(&index).await.fine(),
        before,
        "a dry run changes nothing"
    );
    let orders = dry["plan"]["orders"].as_array().unwrap();
    let cost = &dry["estimatedCost"];
    assert_eq!(cost["orders"].as_array().unwrap().len(), orders.len());
    for (order, cost) in orders.iter().zip(cost["orders"].as_array().unwrap()) {
        assert_eq!(
            (&order["asset"], &order["side"]),
            (&cost["asset"], &cost["side"])
        );
        assert_eq!(
            (&cost["fee"], &cost["slippage"]),
            (&json!("0"), &json!("0"))
        );
    }
    let run = client.post(&rebalance, "").await.json();
    assert_eq!(run["plan"].to_string(), dry["plan"].to_string());
    let id = run["rebalanceId"].as_str().unwrap();
    let one = when(&client, &format!("{index}/rebalances/{id}"), "COMPLETED").await;
    assert_eq!(one["plan"].to_string(), dry["plan"].to_string());
    let rest = client
        .post(&rebalance, r#"{"dryRun":true,"force":true}"#)
        .await
        .fine();
    assert_eq!(
        (&rest["plan"]["orders"], &rest["estimatedCost"]["total"]),
        (&json!([]), &json!("0"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_needs_approval_waits_for_it_and_runs_when_it_has_it() {
    let venue = Arc::<HandVenue>::default();
    let api = world::api_with(Arc::clone(&venue)).await;
    let client = Client::admin(&api).owner("ann").await;
    let index = funded(&client).await;
    let mut definition = client.get(&index).await.fine();
    let wanted = ["name", "constituents", "rebalancing"];
    definition
        .as_object_mut()
        .unwrap()
        .retain(|name, _| wanted.contains(&name.as_str()));
    definition["rebalancing"]["approval"] = json!("1h");
    let update = client.put(&index, &definition.to_string()).await.fine();
    assert_eq!(update["rebalancing"]["approval"], "1h");
    let prices = r#"{"prices":{"A":"130"}}"#;
    client.post("/api/prices", prices).await.fine();
    let begun = client.post(&format!("{index}/rebalance"), "").await;
    assert_eq!(begun.status, 202, "{:?}", begun.body);
    let begun = begun.json();
    assert_eq!(begun["status"], "PLANNED");
    assert!(begun["approvalUntil"].is_string(), "{begun}");
    let id = begun["rebalanceId"].as_str().unwrap();
    let rebalance = format!("{index}/rebalances/{id}");
    let waiting = client.get(&rebalance).await.fine();
    assert_eq!(
        (&waiting["status"], &waiting["orders"]),
        (&json!("PLANNED"), &json!([]))
    );
    let approved = client.post(&format!("{rebalance}/approve"), "").await;
    assert_eq!(approved.status, 202, "{:?}", approved.body);
    when(&client, &rebalance, "COMPLETED").await;
    agree(&venue, &client, &index).await;
    let again = client.post(&format!("{rebalance}/approve"), "").await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "rebalance_not_running")
    );
}
