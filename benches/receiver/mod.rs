//! The receiver that deliveries are measured with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_domain::values::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a receiver does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Takes it when it comes for the second time.
    TakesAgain,
    /// Never answers.
    Hangs,
}

/// A receiver that notes how long each message took to come; or when, where it takes what comes
/// again.
pub struct Receiver {
    pub address: SocketAddr,
    pub took_ms: watch::Sender<Vec<f64>>,
    /// Positions that came, and when they came again.
    pub came_again: Mutex<HashMap<u64, Option<f64>>>,
}

impl Receiver {
    pub async fn start(manner: Manner) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            took_ms: watch::Sender::new(Vec::new()),
            came_again: Mutex::default(),
        });
        let accepting = Arc::clone(&receiver);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).serve(stream, manner));
            }
        });
        receiver
    }

    /// One connection: requests of one write each, as the client sends them.
    async fn serve(self: Arc<Self>, mut stream: TcpStream, manner: Manner) {
        let mut buffer = Vec::with_capacity(16 * 1024);
        while stream
            .read_buf(&mut buffer)
            .await
            .is_ok_and(|read| read > 0)
        {
            let Some(length) = request_length(&buffer) else {
                continue;
            };
            let took = took_ms(&buffer[..length]);
            let is_taken = manner != Manner::TakesAgain || self.comes_again(&buffer[..length]);
            buffer.drain(..length);
            let answer: &[u8] = if is_taken {
                self.took_ms.send_modify(|all| all.push(took));
                b"HTTP/1.1 204 No Content\r\n\r\n"
            } else {
                b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
            };
            if manner != Manner::Hangs {
                stream.write_all(answer).await.unwrap();
            }
        }
    }

    /// Whether a message came before; then it is noted when it came now.
    fn comes_again(&self, request: &[u8]) -> bool {
        let text = std::str::from_utf8(request).unwrap();
        let id = text.split_once("webhook-id: ").unwrap().1;
        let id = id.split_once("\r\n").unwrap().0;
        let position = id.rsplit_once('_').unwrap().1.parse().unwrap();
        let mut came = self.came_again.lock().unwrap();
        let is_new = !came.contains_key(&position);
        came.insert(position, (!is_new).then(now_ms));
        !is_new
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn wait_for(&self, count: usize) {
        let mut took = self.took_ms.subscribe();
        took.wait_for(|all| all.len() >= count).await.unwrap();
    }

    pub fn forget(&self) {
        self.took_ms.send_modify(Vec::clear);
    }
}

/// The length of a whole request; none while it is still coming.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    let length = head + length?.parse::<usize>().ok()?;
    (bytes.len() >= length).then_some(length)
}

/// How long ago the event of a message was logged, in milliseconds.
fn took_ms(request: &[u8]) -> f64 {
    let now = now_ms();
    let text = std::str::from_utf8(request).unwrap();
    let at = text.split_once("\"timestamp\":\"").unwrap().1;
    let at: Timestamp = at.split_once('"').unwrap().0.parse().unwrap();
    now - at.as_micros() as f64 / 1e3
}

fn now_ms() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs_f64() * 1e3
}
