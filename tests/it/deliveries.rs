//! kill -9 under a load of deliveries: every event ends at every subscription, and what comes
//! twice was under way at a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use evenkeel::actors::ports::Entropy as _;
use evenkeel::domain::webhook::{FAILURES_MAX, IN_FLIGHT_MAX};
use evenkeel::time::SeededEntropy;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::Client;
use crate::home::Home;
use crate::inbox::serve;
use crate::portfolio::{LOOK_AGAIN, SOON, constructed};

/// Kills; `EVENKEEL_TEST_KILLS` says otherwise.
const KILLS: u64 = 3;

/// The latest moment of a kill after the server listens.
const LATEST_MS: u64 = 1_000;

/// Indexes that are paused and resumed in turn, each ten times a second: 200 events a second.
const INDEXES: usize = 20;
const TURN_EVERY: Duration = Duration::from_millis(100);

/// How a receiver behaves, and how many of the twenty do.
const MANNERS: [(Manner, usize); 4] = [
    (Manner::Takes, 11),
    (Manner::IsSlow, 4),
    (Manner::RefusesSome, 3),
    (Manner::RefusesAll, 2),
];

/// How long a slow one takes.
const SLOW: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    IsSlow,
    /// Every third attempt.
    RefusesSome,
    RefusesAll,
}

/// A message that came.
#[derive(Debug, Clone)]
struct Receipt {
    id: String,
    position: u64,
    /// Of the server that sent it, counted from 0.
    life: u64,
    taken: bool,
}

/// All twenty receivers, one per path.
#[derive(Default)]
struct Receivers {
    life: AtomicU64,
    attempts: AtomicU64,
    receipts: Mutex<BTreeMap<String, Vec<Receipt>>>,
}

impl Receivers {
    async fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receivers = Arc::clone(self);
        tokio::spawn(serve(listener, move |request| {
            Arc::clone(&receivers).take(request)
        }));
        address
    }

    fn keep(&self, path: String, receipt: Receipt) {
        let mut receipts = self.receipts.lock().unwrap();
        receipts.entry(path).or_default().push(receipt);
    }

    async fn take(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Empty<Bytes>>, Infallible> {
        let life = self.life.load(Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let mut response = Response::new(Empty::new());
        let Ok(body) = body.collect().await else {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return Ok(response);
        };
        let path = head.uri.path().to_owned();
        let manner = MANNERS[path[1..2].parse::<usize>().unwrap()].0;
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        let taken = match manner {
            Manner::Takes | Manner::IsSlow => true,
            Manner::RefusesSome => !attempt.is_multiple_of(3),
            Manner::RefusesAll => false,
        };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        let receipt = Receipt {
            id: head.headers["webhook-id"].to_str().unwrap().to_owned(),
            position: body["data"]["position"].as_u64().unwrap(),
            life,
            taken,
        };
        self.keep(path, receipt);
        if manner == Manner::IsSlow {
            tokio::time::timeout(SLOW, std::future::pending::<()>())
                .await
                .unwrap_err();
        }
        if !taken {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(response)
    }
}

/// A subscription: its API path, the path of its receiver, its manner.
struct Hook {
    api: String,
    path: String,
    manner: Manner,
}

async fn subscribe(owner: &Client, address: SocketAddr) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (at, (manner, count)) in MANNERS.into_iter().enumerate() {
        for n in 0..count {
            let path = format!("/{at}-{n}");
            let body = json!({
                "url": format!("http://{address}{path}"), "skipTest": true,
                "events": ["index.paused", "index.resumed"], "retry": ["1s", "1s", "1s"],
            });
            let api = owner.post("/api/webhooks", body).await.location();
            hooks.push(Hook { api, path, manner });
        }
    }
    hooks
}

/// Turns an index until the server is gone. What is refused was done before the last kill.
async fn turn(owner: Client, path: String) {
    let mut turns = tokio::time::interval(TURN_EVERY);
    for verb in ["pause", "resume"].into_iter().cycle() {
        turns.tick().await;
        let post = owner.request("POST", &format!("{path}/{verb}"), &[]);
        if post.send().await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_end_at_every_subscription_however_often_the_server_is_killed() {
    let kills = std::env::var("EVENKEEL_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let moments = SeededEntropy::new(20_081_010);
    let receivers = Arc::new(Receivers::default());
    let address = receivers.start().await;
    let home = Home::with_local_webhooks();
    let mut server = home.serve();
    let owner = server.admin.owner("ann").await;
    let mut indexes = Vec::new();
    for _ in 0..INDEXES {
        indexes.push(constructed(&owner, "NONE").await);
    }
    let hooks = subscribe(&owner, address).await;
    let mut owner = owner;
    for kill in 0..kills {
        let mut load = JoinSet::new();
        for index in &indexes {
            load.spawn(turn(owner.clone(), index.clone()));
        }
        let moment = Duration::from_millis(moments.next_u64() % LATEST_MS);
        println!("kill {kill} after {moment:?}");
        tokio::time::timeout(moment, std::future::pending::<()>())
            .await
            .unwrap_err();
        server.process.kill();
        load.join_all().await;
        receivers.life.fetch_add(1, Ordering::SeqCst);
        server = home.serve();
        owner = owner.at(&server.url);
    }
    all_ended(&home, &owner, &hooks).await;
    server.stop().await;

    let events = home.run(&["log", "tail"]).json_lines();
    let receipts = receivers.receipts.lock().unwrap();
    let none = Vec::new();
    for hook in &hooks {
        let came = receipts.get(&hook.path).unwrap_or(&none);
        each_event_came_or_failed(&events, hook, came);
        what_came_twice_was_under_way_at_a_kill(hook, came, kills);
    }
    println!(
        "{} events to {} subscriptions",
        turned(&events).len(),
        hooks.len()
    );
}

fn turned(events: &[Value]) -> BTreeSet<u64> {
    let turned = events.iter().filter(|event| {
        matches!(
            event["type"].as_str(),
            Some("index.paused" | "index.resumed")
        )
    });
    turned
        .map(|event| event["position"].as_u64().unwrap())
        .collect()
}

/// Waits, as long as there is progress, until every subscription has ended every event or is
/// disabled.
async fn all_ended(home: &Home, owner: &Client, hooks: &[Hook]) {
    let events = home.run(&["log", "tail"]).json_lines();
    let expected = turned(&events).len() as u64;
    let mut last = (0, tokio::time::Instant::now());
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    loop {
        let (mut open, mut ended) = (0, 0);
        for hook in hooks {
            let shown = owner.get(&hook.api).await.fine();
            let ends = shown["succeeded"].as_u64().unwrap() + shown["failed"].as_u64().unwrap();
            ended += ends;
            open += u64::from(shown["enabled"] == true && ends < expected);
        }
        if open == 0 {
            return;
        }
        if ended > last.0 {
            last = (ended, tokio::time::Instant::now());
        }
        assert!(last.1.elapsed() < SOON, "{open} subscriptions stand still");
        looks.tick().await;
    }
}

/// The positions that a subscription's own events of a type name.
fn outcomes(events: &[Value], hook: &Hook, event_type: &str) -> Vec<u64> {
    let stream = hook.api.rsplit('/').next().unwrap();
    let of_hook = events
        .iter()
        .filter(|event| event["stream"] == stream && event["type"] == event_type);
    of_hook
        .map(|event| event["data"]["position"].as_u64().unwrap())
        .collect()
}

#[track_caller]
fn each_event_came_or_failed(events: &[Value], hook: &Hook, came: &[Receipt]) {
    let succeeded = outcomes(events, hook, "delivery.succeeded");
    let failed = outcomes(events, hook, "delivery.failed");
    let distinct: BTreeSet<u64> = succeeded.iter().chain(&failed).copied().collect();
    assert_eq!(
        distinct.len(),
        succeeded.len() + failed.len(),
        "{}: a delivery ended twice",
        hook.path
    );
    let taken: BTreeSet<u64> = came
        .iter()
        .filter(|receipt| receipt.taken)
        .map(|receipt| receipt.position)
        .collect();
    let lost: Vec<&u64> = succeeded.iter().filter(|at| !taken.contains(at)).collect();
    assert_eq!(lost, [] as [&u64; 0], "{}: logged, never taken", hook.path);
    if hook.manner == Manner::RefusesAll {
        assert_eq!(succeeded, [] as [u64; 0]);
        assert_eq!(
            failed.len() as u64,
            u64::from(FAILURES_MAX),
            "{}",
            hook.path
        );
    } else {
        assert_eq!(distinct, turned(events), "{}", hook.path);
    }
}

/// A taken one comes again only in a later life, and of one life not more than had a place.
#[track_caller]
fn what_came_twice_was_under_way_at_a_kill(hook: &Hook, came: &[Receipt], kills: u64) {
    let mut lives: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for receipt in came.iter().filter(|receipt| receipt.taken) {
        lives.entry(&receipt.id).or_default().push(receipt.life);
    }
    let mut again = vec![0; usize::try_from(kills).unwrap() + 1];
    for (id, lives) in &lives {
        let distinct: BTreeSet<u64> = lives.iter().copied().collect();
        assert_eq!(distinct.len(), lives.len(), "{}: {id} {lives:?}", hook.path);
        for life in lives.iter().skip(1) {
            again[usize::try_from(*life).unwrap()] += 1;
        }
    }
    assert!(
        again.iter().all(|count| *count <= IN_FLIGHT_MAX),
        "{}: {again:?}",
        hook.path
    );
}

/// Receivers that take connections and never answer.
const HANGING: usize = 500;

/// Events that the healthy one is told meanwhile.
const TURNS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_hanging_receivers_keeps_nothing_from_a_healthy_one() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    let index = constructed(&owner, "NONE").await;
    let receivers = Arc::new(Receivers::default());
    let healthy = format!("http://{}/0-0", receivers.start().await);
    let (crowd, hanging) = hang().await;
    for url in (0..HANGING)
        .map(|n| format!("http://{crowd}/{n}"))
        .chain([healthy])
    {
        let body = json!({
            "url": url, "skipTest": true, "events": ["index.paused", "index.resumed"],
        });
        owner.post("/api/webhooks", body).await.fine();
    }
    for turn in 0..TURNS {
        let verb = if turn.is_multiple_of(2) {
            "pause"
        } else {
            "resume"
        };
        owner.post_empty(&format!("{index}/{verb}")).await.fine();
    }
    let all_came = async {
        let mut looks = tokio::time::interval(LOOK_AGAIN);
        loop {
            let came = receivers
                .receipts
                .lock()
                .unwrap()
                .get("/0-0")
                .map_or(0, Vec::len);
            if came == TURNS {
                return;
            }
            looks.tick().await;
        }
    };
    tokio::time::timeout(SOON, all_came).await.unwrap();
    let mut hanging = hanging;
    tokio::time::timeout(SOON, hanging.wait_for(|open| *open >= HANGING))
        .await
        .unwrap()
        .unwrap();
    // They are not waited for: a stop cuts them off.
    server.stop().await;
}

/// Takes connections and keeps them; says how many are open.
async fn hang() -> (SocketAddr, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, opened) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.push(stream);
            open.send_replace(connections.len());
        }
    });
    (address, opened)
}
