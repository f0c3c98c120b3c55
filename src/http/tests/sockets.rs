//! The server over real sockets: limits, deadlines, streams, stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::funded;
use super::rebalances::when;
use super::venue::{Fate, HandVenue};
use crate::http::world::{self, ADMIN, Client};
use crate::http::{Api, bind, serve};

struct Served {
    addr: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<bool>,
    api: Api,
}

async fn served() -> Served {
    served_over(Arc::default()).await
}

async fn served_over(venue: Arc<HandVenue>) -> Served {
    let api = world::api_with(venue)
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
async fn a_rebalance_with_an_open_order_is_called_off_over_a_socket() {
    let venue = Arc::<HandVenue>::default();
    let served = served_over(Arc::clone(&venue)).await;
    let client = Client::admin(&served.api);
    let index = funded(&client).await;
    let prices = r#"{"prices":{"A":"130"}}"#;
    client.post("/api/prices", prices).await.fine();
    venue.next(Fate::StaysOpen);
    let post = async |path: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        raw(served.addr, request.as_bytes(), "never").await.1
    };
    let begun = post(&format!("{index}/rebalance"), "").await;
    assert!(begun.starts_with("HTTP/1.1 202 Accepted\r\n"), "{begun}");
    let id = begun.split("\"rebalanceId\":\"").nth(1).unwrap();
    let rebalance = format!("{index}/rebalances/{}", id.split('"').next().unwrap());
    let resolve = r#"{"step":1,"outcome":"NOT_FILLED"}"#;
    let told = post(&format!("{rebalance}/resolve"), resolve).await;
    assert!(told.starts_with("HTTP/1.1 409 Conflict\r\n"), "{told}");
    assert!(told.contains("application/problem+json") && told.contains("rebalance_not_stuck"));
    let told = post(&format!("{rebalance}/cancel"), "").await;
    assert!(told.starts_with("HTTP/1.1 202 Accepted\r\n"), "{told}");
    let ended = when(&client, &rebalance, "CANCELLED").await;
    // The order was on its way, or the cancel came before it was sent.
    assert_eq!(ended["orders"].as_array().unwrap().len(), 1, "{ended}");
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
