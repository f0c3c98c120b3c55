//! The routes over an engine in memory, and the server over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::world::{self, ADMIN, Client};
use super::{bind, serve};

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

#[tokio::test]
async fn from_nothing_to_a_rebalanced_index() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let path = funded(&client).await;
    client
        .post("/api/prices", r#"{"prices":{"A":"130"}}"#)
        .await
        .fine();
    let drift = client.get(&format!("{path}/drift")).await.fine();
    assert_eq!(drift["totalValue"], "11500");
    assert!(
        drift["drift"].as_str().unwrap().starts_with("6.52173913"),
        "{drift}"
    );
    assert_eq!(
        (&drift["exceeded"], &drift["threshold"]),
        (&json!(true), &json!("5"))
    );
    assert_eq!(drift["assets"][0]["asset"], "A");

    let dry = client
        .post(&format!("{path}/rebalance"), r#"{"dryRun":true}"#)
        .await
        .fine();
    assert_eq!(dry["status"], "PLANNED");
    assert_eq!(dry["plan"]["orders"][0]["side"], "SELL");

    let run = client
        .post("/api/jobs/drift-monitor/run?wait=true", "")
        .await
        .fine();
    assert_eq!(run["status"], "COMPLETED");
    let counts =
        ["checked", "drifted", "exceeded", "rebalancesStarted"].map(|name| run[name].clone());
    assert_eq!(counts, [1, 1, 1, 1].map(Value::from), "{run}");

    let again = client.post(&format!("{path}/rebalance"), "").await.fine();
    assert_eq!(again["status"], "NOT_NEEDED");
    let history = client.get(&format!("{path}/rebalances")).await.fine();
    assert_eq!(history["items"][0]["status"], "COMPLETED");
    assert_eq!(history["items"][0]["trigger"], "DRIFT");
    assert_eq!(history["items"][0]["trades"].as_array().unwrap().len(), 2);
    assert_eq!(history["items"][1]["trigger"], "DEPOSIT");
    let trades = client.get(&format!("{path}/trades?limit=3")).await.fine();
    assert_eq!(trades["items"].as_array().unwrap().len(), 3);
    let next = format!("{path}/trades?cursor={}", trades["next"].as_str().unwrap());
    assert_eq!(
        client.get(&next).await.fine()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_index_is_changed_with_care() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client.post("/api/indexes", HALVES).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let tag = made.headers["etag"].to_str().unwrap().to_owned();
    let renamed = client
        .put(&path, r#"{"name":"two","tags":["x"]}"#)
        .await
        .fine();
    assert_eq!(
        (&renamed["name"], &renamed["rebalancing"]["method"]),
        (&json!("two"), &json!("DRIFT"))
    );
    let stale = client
        .send("PUT", &path, &[("if-match", &tag)], r#"{"name":"three"}"#)
        .await;
    assert_eq!(
        (stale.status, stale.code().as_str()),
        (412, "version_mismatch")
    );
    for (body, code) in [
        (
            r#"{"constituents":[{"asset":"A","percentage":"99"}]}"#,
            "weights_do_not_sum",
        ),
        (
            r#"{"constituents":[{"asset":"A","percentage":"50"},{"asset":"A","percentage":"50"}]}"#,
            "duplicate_asset",
        ),
        (r#"{"account":"nowhere"}"#, "unknown_account"),
        (
            r#"{"rebalancing":{"minInterval":"0s"}}"#,
            "validation_failed",
        ),
        (r#"{"colour":"red"}"#, "validation_failed"),
        ("{", "malformed_json"),
    ] {
        assert_eq!(client.put(&path, body).await.code(), code, "{body}");
    }
    let found = client.get("/api/indexes?tag=x&status=PENDING").await.fine();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(
        client.get("/api/indexes?tag=y").await.fine()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(client.get("/api/indexes?status=GONE").await.status, 400);
    let gone = client.send("DELETE", &path, &[], "").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(client.get(&path).await.code(), "not_found");
}

#[tokio::test]
async fn refusals_of_the_engine_reach_the_client() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let path = funded(&client).await;
    let withdraw = format!("{path}/withdraw");
    let much = client.post(&withdraw, r#"{"amount":"1"}"#).await;
    assert_eq!(
        (much.status, much.code().as_str()),
        (409, "insufficient_cash")
    );
    let units = client
        .post(&withdraw, r#"{"asset":"A","quantity":"51"}"#)
        .await;
    assert_eq!(units.code(), "insufficient_holding");
    client.post(&format!("{path}/pause"), "").await.fine();
    assert_eq!(
        client.post(&format!("{path}/pause"), "").await.code(),
        "index_paused"
    );
    assert_eq!(
        client.post(&format!("{path}/rebalance"), "{}").await.code(),
        "index_paused"
    );
    client.post(&format!("{path}/resume"), "").await.fine();
    let jump = client
        .post("/api/prices", r#"{"prices":{"A":"1000","B":"101"}}"#)
        .await
        .fine();
    assert_eq!(
        (&jump["accepted"], &jump["held"]),
        (&json!(1), &json!(["A"]))
    );
    let drift = client.get(&format!("{path}/drift")).await;
    assert_eq!(
        (drift.status, drift.code().as_str()),
        (409, "price_unavailable")
    );
    let prices = client.get("/api/prices").await.fine();
    assert_eq!(prices["items"][0]["problem"], "jump");
    let confirmed = r#"{"prices":{"A":"1000"},"confirm":true}"#;
    assert_eq!(
        client.post("/api/prices", confirmed).await.fine()["held"],
        json!([])
    );
}

#[tokio::test]
async fn another_owner_sees_nothing() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let (ann, bob) = (admin.owner("ann").await, admin.owner("bob").await);
    let index = funded(&ann).await;
    let hook = ann
        .post("/api/webhooks", r#"{"url":"https://up/","events":["*"]}"#)
        .await;
    let hook = hook.headers["location"].to_str().unwrap().to_owned();
    let asks = [
        ("GET", index.clone()),
        ("PUT", index.clone()),
        ("DELETE", index.clone()),
        ("POST", format!("{index}/pause")),
        ("POST", format!("{index}/resume")),
        ("POST", format!("{index}/rebalance")),
        ("GET", format!("{index}/drift")),
        ("GET", format!("{index}/rebalances")),
        ("GET", format!("{index}/trades")),
        ("GET", format!("{index}/events")),
        ("GET", hook.clone()),
        ("PUT", hook.clone()),
        ("DELETE", hook.clone()),
        ("POST", format!("{hook}/test")),
        ("POST", format!("{hook}/rotate-secret")),
        ("POST", format!("{hook}/enable")),
        ("GET", format!("{hook}/deliveries")),
        (
            "POST",
            format!(
                "{hook}/deliveries/{}-1/retry",
                hook.rsplit('/').next().unwrap()
            ),
        ),
    ];
    for (method, path) in asks {
        let told = bob.send(method, &path, &[], "").await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    let funds = bob
        .post(&format!("{index}/deposit"), r#"{"amount":"1"}"#)
        .await;
    assert_eq!(funds.code(), "not_found");
    for list in ["/api/indexes", "/api/webhooks", "/api/events"] {
        let items = bob.get(list).await.fine()["items"].clone();
        let foreign = |item: &Value| item["data"].get("name") != Some(&json!("bob"));
        let foreign = items
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| foreign(item) && list != "/api/events");
        assert_eq!(foreign.count(), 0, "{list}");
    }
    assert_eq!(
        admin.get("/api/indexes").await.fine()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn webhooks_are_tried_shown_and_switched() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let post = |body: &'static str| client.post("/api/webhooks", body);
    for (body, code) in [
        (
            r#"{"url":"https://down/","events":["*"]}"#,
            "webhook_test_failed",
        ),
        (r#"{"url":"http://up/","events":["*"]}"#, "url_not_allowed"),
        (
            r#"{"url":"https://up/","events":["index.exploded"]}"#,
            "validation_failed",
        ),
        (r#"{"url":"https://up/","events":[]}"#, "validation_failed"),
        (r#"{"events":["*"]}"#, "validation_failed"),
    ] {
        let told = post(body).await;
        assert_eq!((told.status, told.code().as_str()), (422, code), "{body}");
    }
    let made =
        post(r#"{"url":"https://up/","events":["trade.*","drift.detected"],"description":"d"}"#)
            .await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let hook = made.made();
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        (&hook["failureCount"], &hook["enabled"]),
        (&json!(0), &json!(true))
    );
    let shown = client.get(&path).await.fine();
    assert_eq!(shown.get("secret"), None);
    let rotated = client
        .post(&format!("{path}/rotate-secret"), "")
        .await
        .fine();
    assert_ne!(rotated["secret"], hook["secret"]);
    let off = client.put(&path, r#"{"enabled":false}"#).await.fine();
    assert_eq!(
        (&off["enabled"], &off["url"]),
        (&json!(false), &json!("https://up/"))
    );
    assert!(off["disabledReason"].is_string());
    let on = client
        .post(&format!("{path}/enable"), r#"{"from":"now"}"#)
        .await
        .fine();
    assert_eq!(
        (&on["enabled"], &on["disabledReason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(
        client
            .post(&format!("{path}/enable"), r#"{"from":"then"}"#)
            .await
            .code(),
        "validation_failed"
    );
    assert_eq!(
        client.post(&format!("{path}/test"), "").await.fine()["status"],
        "SUCCEEDED"
    );
    let list = client.get("/api/webhooks?limit=1").await.fine();
    assert_eq!(
        (list["items"].as_array().unwrap().len(), &list["next"]),
        (1, &Value::Null)
    );
}

#[tokio::test]
async fn jobs_tell_their_next_times() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let put = |body: &'static str| client.put("/api/jobs/drift-monitor", body);
    let job = put(r#"{"schedule":"30 2 * * 1-5","timezone":"Europe/Berlin","enabled":true}"#)
        .await
        .fine();
    assert_eq!(job["next"].as_array().unwrap().len(), 5);
    assert_eq!(job["next"][0], "2026-01-06T01:30:00Z");
    assert_eq!(job["warning"], Value::Null);
    let odd = put(r#"{"schedule":"*/90 * * * *"}"#).await.fine();
    assert!(odd["warning"].is_string() && odd["timezone"] == "Europe/Berlin");
    for body in [
        r#"{"schedule":"* * * * * *"}"#,
        r#"{"schedule":"60 * * * *"}"#,
        r#"{"schedule":"invalid"}"#,
        r#"{"schedule":"0 0 31 2 *"}"#,
        r#"{"timezone":"Mars/Olympus"}"#,
    ] {
        let told = put(body).await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (422, "schedule_invalid"),
            "{body}"
        );
    }
    let off = put(r#"{"enabled":false}"#).await.fine();
    assert_eq!((&off["enabled"], &off["next"]), (&json!(false), &json!([])));
    client
        .post("/api/jobs/drift-monitor/run?wait=1", "")
        .await
        .fine();
    let runs = client.get("/api/jobs/drift-monitor/runs").await.fine();
    assert_eq!(runs["items"][0]["status"], "COMPLETED");
    assert_eq!(
        client.get("/api/jobs").await.fine()["items"][0]["lastRun"]["trigger"],
        "MANUAL"
    );
    for path in ["/api/jobs/nothing", "/api/jobs/nothing/runs"] {
        assert_eq!(client.get(path).await.code(), "not_found");
    }
    assert_eq!(
        client
            .post("/api/jobs/drift-monitor/run?wait=perhaps", "")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn tokens_end_when_they_are_revoked() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let ann = admin.owner("ann").await;
    let owners = admin.get("/api/owners?limit=1").await.fine();
    assert_eq!(owners["items"].as_array().unwrap().len(), 1);
    let next = format!("/api/owners?cursor={}", owners["next"].as_str().unwrap());
    let owner = admin.get(&next).await.fine()["items"][0].clone();
    assert_eq!(
        (&owner["name"], &owner["tokens"]),
        (&json!("ann"), &json!(1))
    );
    let tokens = format!("/api/owners/{}/tokens", owner["owner"].as_str().unwrap());
    let token = admin.get(&tokens).await.fine()["items"][0].clone();
    assert_eq!(
        token["scopes"],
        json!(["read", "trade", "webhooks", "prices", "jobs"])
    );
    assert_eq!(token.get("token"), None);
    assert_eq!(ann.get("/api/owners").await.code(), "forbidden");
    let path = format!("{tokens}/{}", token["tokenId"].as_str().unwrap());
    assert_eq!(admin.send("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(ann.get("/api/indexes").await.code(), "unauthorized");
    assert_eq!(
        admin.send("DELETE", &path, &[], "").await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn the_audit_is_paged_by_position() {
    let api = world::api().await;
    let admin = Client::admin(&api);
    let client = admin.owner("ann").await;
    let path = funded(&client).await;
    let id = path.rsplit('/').next().unwrap();
    let (mut after, mut types) = (0, Vec::new());
    loop {
        let page = client
            .get(&format!("/api/events?limit=2&after={after}&index={id}"))
            .await
            .fine();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["stream"], id);
            assert!(item["position"].as_u64().unwrap() > after);
            types.push(item["type"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = next.parse().unwrap(),
            None => break,
        }
    }
    assert_eq!(types[..2], ["index.created", "index.deposited"]);
    assert_eq!(
        types.last().map(String::as_str),
        Some("rebalance.completed")
    );
    let trades = client.get("/api/events?type=trade.*").await.fine();
    assert_eq!(trades["items"].as_array().unwrap().len(), 2);
    let of_index = client
        .get(&format!("{path}/events?type=rebalance.completed"))
        .await
        .fine();
    assert_eq!(of_index["items"].as_array().unwrap().len(), 1);
    let bad = client.get("/api/events?after=x").await;
    assert_eq!(
        (bad.status, bad.code().as_str()),
        (400, "malformed_request")
    );
}

#[tokio::test]
async fn a_deposit_with_a_key_is_booked_once() {
    let api = world::api().await;
    let client = Client::admin(&api).owner("ann").await;
    let made = client.post("/api/indexes", HALVES).await;
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let deposit = format!("{path}/deposit");
    let key = [("idempotency-key", "k-1")];
    let body = r#"{"amount":"100","invest":false}"#;
    let first = client.send("POST", &deposit, &key, body).await;
    let again = client.send("POST", &deposit, &key, body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(client.get(&path).await.fine()["cash"], "100");
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let api = world::api().await;
    let client = Client::admin(&api);
    assert_eq!(client.get("/healthz").await.fine()["status"], "ok");
    let until_ready = async {
        while client.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), until_ready)
        .await
        .unwrap();
    let metrics = client.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("evenkeel_ready 1\n") && text.contains("route=\"/readyz\""));
    api.stopping.send_replace(true);
    let told = client.get("/readyz").await;
    assert_eq!((told.status, told.code().as_str()), (503, "stopping"));
    assert_eq!(client.get("/healthz").await.status, 200);
}

// --- over sockets ------------------------------------------------------------------------------

struct Served {
    addr: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<bool>,
    api: super::Api,
}

async fn served() -> Served {
    let api = world::api()
        .await
        .with_stop_deadline(Duration::from_secs(2));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = listener.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let ended = tokio::spawn(serve(listener, api.clone(), shutdown));
    Served {
        addr,
        stop,
        ended,
        api,
    }
}

/// Sends bytes and reads until the connection ends or what came contains `until`.
async fn raw(addr: std::net::SocketAddr, bytes: &[u8], until: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let text = read_until(&mut socket, until).await;
    (socket, text)
}

async fn read_until(socket: &mut TcpStream, until: &str) -> String {
    let mut read = Vec::new();
    let wait = async {
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&read).contains(until) {
            match socket.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => read.extend_from_slice(&chunk[..n]),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("an answer in time");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn the_server_speaks_http_to_anybody() {
    let served = served().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (_, text) = raw(served.addr, get("/healthz").as_bytes(), "never").await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("{\"status\":\"ok\"}"),
        "{text}"
    );
    let head = get("/healthz").replace("GET", "HEAD");
    let (_, text) = raw(served.addr, head.as_bytes(), "never").await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
    let (_, text) = raw(served.addr, get("/nowhere").as_bytes(), "never").await;
    assert!(
        text.contains("404 Not Found") && text.contains("application/problem+json"),
        "{text}"
    );
    let chunked = format!(
        "POST /api/prices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n110000\r\n{}\r\n0\r\n\r\n",
        " ".repeat(0x11_0000)
    );
    let (_, text) = raw(served.addr, chunked.as_bytes(), "body_too_large").await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let (_, text) = raw(served.addr, huge.as_bytes(), "never").await;
    assert!(text.starts_with("HTTP/1.1 431"), "{text}");
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_dropped() {
    let served = served().await;
    let dropped = async |start: &'static str| {
        let began = tokio::time::Instant::now();
        raw(served.addr, start.as_bytes(), "never").await;
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(15),
            "{start:?} held on for {took:?}"
        );
    };
    tokio::join!(dropped(""), dropped("GET /healthz HTTP/1.1\r\nhost:"));
}

#[tokio::test]
async fn a_stream_of_events_misses_nothing_and_ends_with_the_server() {
    let served = served().await;
    let client = Client::admin(&served.api);
    let path = funded(&client).await;
    let ask = |last: &str| {
        format!(
            "GET /api/events/stream?type=index.* HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n{last}\r\n"
        )
    };
    let (mut from_start, text) = raw(
        served.addr,
        ask("last-event-id: 0\r\n").as_bytes(),
        "index.deposited",
    )
    .await;
    assert!(
        text.contains("content-type: text/event-stream") && text.contains("index.created"),
        "{text}"
    );
    let (mut from_now, text) = raw(served.addr, ask("").as_bytes(), ": connected").await;
    assert!(!text.contains("index."), "{text}");
    client.post(&format!("{path}/pause"), "").await.fine();
    for socket in [&mut from_start, &mut from_now] {
        let text = read_until(socket, "index.paused").await;
        assert!(
            text.contains("\nid: ") || text.starts_with("id: ") || text.contains("id: "),
            "{text}"
        );
        assert!(text.contains("data: {\"position\":"), "{text}");
    }
    let (_, refused) = raw(
        served.addr,
        ask("last-event-id: x\r\n").as_bytes(),
        "malformed_request",
    )
    .await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    served.stop.send(()).unwrap();
    assert!(
        served.ended.await.unwrap(),
        "the streams held the server up"
    );
    assert!(TcpStream::connect(served.addr).await.is_err());
}

#[tokio::test]
async fn a_stop_has_a_deadline() {
    let served = served().await;
    let half = b"POST /api/prices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer evk_admin\r\n\
                 content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let mut socket = TcpStream::connect(served.addr).await.unwrap();
    socket.write_all(half).await.unwrap();
    // The request counts as in flight once its head was read; /healthz on another connection
    // shows that the server has come that far.
    raw(
        served.addr,
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "ok",
    )
    .await;
    served.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), served.ended).await;
    assert!(!ended.unwrap().unwrap(), "it ended without being cut off");
}
