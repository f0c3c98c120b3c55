//! The wire contract: every route answers in the shape that clients are told.

mod codes;
mod fields;

use serde_json::{Value, json};

use crate::api::{Answer, Client};
use crate::home::Home;
use crate::inbox::Inbox;
use crate::portfolio::{constructed, cycle, push};
use fields::{
    COST, COUNTS, DELIVERY, DRIFT, DRIFT_FOUND, EVENT, INDEX, INDEX_TRADING, INSTRUMENT, JOB,
    ORDER, ORDER_COST, PLAN, PLANNED_ORDER, REBALANCE, RULES, RUN, TRADE, TRADING, WEBHOOK,
};

/// The routes that read, with the fields that each answer or item must have.
fn reads(index: &str, rebalance: &str, hook: &str) -> Vec<(String, &'static [&'static str])> {
    let index_routes: [(&str, &[&str]); 7] = [
        ("", &INDEX),
        ("/trading", &INDEX_TRADING),
        ("/drift", &DRIFT),
        ("/drift/history", &DRIFT_FOUND),
        ("/rebalances", &REBALANCE),
        ("/trades", &TRADE),
        ("/events", &EVENT),
    ];
    let hook_routes: [(&str, &[&str]); 2] = [("", &WEBHOOK), ("/deliveries", &DELIVERY)];
    let routes: [(&str, &[&str]); 10] = [
        (rebalance, &REBALANCE),
        ("/api/trading", &TRADING),
        ("/api/accounts/paper/instruments/A", &INSTRUMENT),
        ("/api/indexes", &INDEX),
        ("/api/events", &EVENT),
        ("/api/webhooks", &WEBHOOK),
        ("/api/jobs", &JOB),
        ("/api/jobs/drift-monitor", &JOB),
        ("/api/jobs/drift-monitor/runs", &RUN),
        ("/api/prices", &["asset", "price"]),
    ];
    let under = |base: &str, (path, fields): (&str, &'static [&'static str])| {
        (format!("{base}{path}"), fields)
    };
    let of_index = index_routes.into_iter().map(|route| under(index, route));
    let of_hook = hook_routes.into_iter().map(|route| under(hook, route));
    let others = routes.into_iter().map(|route| under("", route));
    of_index.chain(of_hook).chain(others).collect()
}

/// An owner with an index that was rebalanced twice, and a webhook that heard of it.
async fn furnished(client: &Client, inbox: &Inbox) -> (String, String) {
    let hook = json!({"url": inbox.url("/hook"), "events": ["*"]});
    let made = client.post("/api/webhooks", hook).await;
    let hook = made.location();
    has(&made.fine(), &WEBHOOK);
    assert!(made.fine()["secret"].is_string());
    let index = constructed(client, "DRIFT").await;
    push(client, "130", "100").await;
    let run = cycle(client).await;
    has(&run, &RUN);
    inbox
        .wait_until(|all| {
            all.iter()
                .filter(|m| m.event_type() == "rebalance.completed")
                .count()
                == 2
        })
        .await;
    (index, hook)
}

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(*field).is_some(), "{field} is missing: {value}");
    }
}

/// What lies inside has its fields too, wherever it is told.
#[track_caller]
fn has_parts(value: &Value) {
    for (part, fields) in [
        ("plan", &PLAN[..]),
        ("rules", &RULES),
        ("estimatedCost", &COST),
    ] {
        if let Some(part) = value.get(part).filter(|part| part.is_object()) {
            has(part, fields);
        }
    }
    for (list, fields) in [
        ("/plan/orders", &PLANNED_ORDER[..]),
        ("/orders", &ORDER),
        ("/estimatedCost/orders", &ORDER_COST),
    ] {
        let items = value.pointer(list).and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            has(item, fields);
        }
    }
}

/// Names in camelCase, decimals as strings, times in UTC.
#[track_caller]
fn is_well_formed(name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let plain = !name.contains(['_', '-']) && !name.starts_with(char::is_uppercase);
                assert!(plain, "{name} is not in camelCase");
                is_well_formed(name, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| is_well_formed(name, item)),
        Value::Number(number) => {
            let counts =
                COUNTS.contains(&name) || name.ends_with("Seq") || name.ends_with("Generation");
            let place = ["lowWater", "after", "hash", "generation"].contains(&name);
            assert!(
                (counts || place) && number.is_u64(),
                "{name} is the number {number}"
            );
        }
        Value::String(text) if name.ends_with("At") || name == "at" || name == "asOf" => {
            assert!(
                text.ends_with('Z') && text.contains('T'),
                "{name} is {text}"
            );
        }
        _ => {}
    }
}

#[track_caller]
fn items_of(answer: &Answer) -> Vec<Value> {
    let body = answer.fine();
    let Some(items) = body.get("items") else {
        return vec![body];
    };
    assert!(body["next"].is_null() || body["next"].is_string(), "{body}");
    items.as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_read_has_its_shape_and_head_tells_the_same_without_a_body() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let (index, hook) = furnished(&owner, &inbox).await;
    let list = owner.get(&format!("{index}/rebalances")).await.fine();
    let id = list["items"][0]["rebalanceId"].as_str().unwrap();
    let rebalance = format!("{index}/rebalances/{id}");
    for (path, fields) in reads(&index, &rebalance, &hook) {
        let answer = owner.get(&path).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        let items = items_of(&answer);
        assert!(!items.is_empty(), "{path} lists nothing");
        for item in &items {
            // Payloads of events are the log's, and what they hold is named by their type.
            has(item, fields);
            is_well_formed("", item);
        }
        let head = owner.send("HEAD", &path, &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        has_parts(&items[0]);
        // A list is paged by one item at a time without losing or repeating any.
        if answer.fine().get("items").is_some() && items.len() > 1 {
            paged_one_by_one(&owner, &path, &items).await;
        }
    }
    server.stop().await;
}

async fn paged_one_by_one(client: &Client, path: &str, whole: &[Value]) {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    while seen.len() < whole.len() {
        let page = client.get(&format!("{path}?limit=1{cursor}")).await.fine();
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, whole, "{path}");
}

/// Deliveries of a receiver that takes everything, by status.
async fn filtered(owner: &Client, hook: &str) {
    let of = async |status: &str| {
        let path = format!("{hook}/deliveries?status={status}");
        owner.get(&path).await
    };
    let succeeded = of("SUCCEEDED").await.fine();
    let all = succeeded["items"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|one| one["status"] == "SUCCEEDED"));
    assert_eq!(of("FAILED").await.fine()["items"], json!([]));
    of("LOST").await.refused(400, "malformed_request");
}

#[tokio::test]
async fn what_is_written_answers_as_the_contract_says() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let (index, hook) = furnished(&owner, &inbox).await;
    let post = async |path: String, body: Value| owner.post(&path, body).await;
    push(&owner, "150", "100").await;
    let dry = post(format!("{index}/rebalance"), json!({"dryRun": true})).await;
    let dry = dry.fine();
    assert_eq!(dry["status"], "PLANNED");
    has(&dry, &["status", "drift", "plan", "estimatedCost"]);
    has_parts(&dry);
    is_well_formed("", &dry);
    let started = post(format!("{index}/rebalance"), json!({"force": true})).await;
    assert_eq!(started.status, 202, "{started:?}");
    let begun = ["rebalanceId", "status", "drift", "plan", "approvalUntil"];
    has(&started.fine(), &begun);
    is_well_formed("", &started.fine());
    crate::portfolio::rebalanced(&owner, &index, 3).await;
    let rest = post(format!("{index}/rebalance"), json!({})).await;
    assert_eq!(
        (rest.status, rest.fine()["status"].clone()),
        (200, json!("NOT_NEEDED"))
    );
    for (action, status) in [("pause", "PAUSED"), ("resume", "ACTIVE")] {
        let told = post(format!("{index}/{action}"), json!({})).await;
        assert_eq!(told.fine()["status"], status);
    }
    let units = json!({"asset": "A", "quantity": "1.5"});
    has(
        &post(format!("{index}/deposit"), units.clone()).await.fine(),
        &INDEX,
    );
    crate::portfolio::eventually("the transfer", async || {
        let index = owner.get(&index).await.fine();
        (index["pendingTransfers"] == 0).then_some(())
    })
    .await;
    has(
        &post(format!("{index}/withdraw"), units).await.fine(),
        &INDEX,
    );
    let tested = post(format!("{hook}/test"), json!({})).await.fine();
    assert_eq!(tested["status"], "SUCCEEDED");
    let delivered = owner.all(&format!("{hook}/deliveries")).await;
    filtered(&owner, &hook).await;
    let delivery = delivered[0]["deliveryId"].as_str().unwrap();
    let again = post(format!("{hook}/deliveries/{delivery}/retry"), json!({})).await;
    assert_eq!(again.fine()["status"], "SUCCEEDED");
    let off = owner.put(&hook, json!({"enabled": false})).await.fine();
    assert_eq!(off["enabled"], false);
    assert_eq!(
        post(format!("{hook}/enable"), json!({})).await.fine()["enabled"],
        true
    );
    for path in [&index, &hook] {
        let gone = owner.send("DELETE", path, &[], "").await;
        assert_eq!((gone.status, gone.body.len()), (204, 0));
        owner.get(path).await.refused(404, "not_found");
    }
    server.stop().await;
}
