//! The transport against real sockets.
#![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::time::{SeededEntropy, SystemClock};
use crate::webhooks::policy::tests::FORBIDDEN;
use crate::webhooks::receiver::Receiver;

fn loopback() -> AddressPolicy {
    AddressPolicy {
        allow_http: false,
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
    }
}

fn transport(policy: AddressPolicy) -> HttpTransport {
    let secrets = SecretKeeper::random(&SeededEntropy::new(1));
    HttpTransport::new(policy, secrets, Arc::new(SystemClock))
        .unwrap()
        .with_timeout(Duration::from_millis(300))
}

fn key(generation: u32) -> SigningKey {
    SigningKey {
        generation,
        brought: None,
    }
}

fn request(url: String, generations: &[u32]) -> WebhookRequest {
    WebhookRequest {
        webhook_id: WebhookId::from_u128(1),
        url,
        message_id: "msg_1".to_owned(),
        event_type: "index.created".to_owned(),
        body: Bytes::from_static(b"{\"type\":\"index.created\"}"),
        keys: generations.iter().copied().map(key).collect(),
        signature: Signature::V1,
        headers: Vec::new(),
    }
}

/// A server that answers every request with these bytes and then does as `then` says.
async fn server(answer: &'static [u8], endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                while endless && stream.write_all(&[b'x'; 1024]).await.is_ok() {}
                if !endless {
                    // Holds the connection open until the other side closes it.
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_message_arrives_signed_by_old_and_new_secret() {
    let receiver = Receiver::start("127.0.0.1:0".parse().unwrap(), Arc::new(SystemClock))
        .await
        .unwrap();
    let transport = transport(loopback());
    for generation in [1, 2] {
        receiver.set_secret(
            &format!("/{generation}"),
            transport
                .secret(WebhookId::from_u128(1), &key(generation))
                .unwrap(),
        );
        let sent = transport
            .send(&request(receiver.url(&format!("/{generation}")), &[2, 1]))
            .await;
        assert_eq!(sent, AttemptResult::Success { status: 204 });
    }
    assert_eq!(
        (receiver.tally().verified, receiver.tally().refused),
        (2, 0)
    );
    receiver.set_secret(
        "/other",
        transport.secret(WebhookId::from_u128(2), &key(1)).unwrap(),
    );
    let refused = transport.send(&request(receiver.url("/other"), &[1])).await;
    assert!(
        matches!(
            refused,
            AttemptResult::Failure {
                status: Some(400),
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_secret_that_was_brought_signs_beside_the_one_before() {
    let receiver = Receiver::start("127.0.0.1:0".parse().unwrap(), Arc::new(SystemClock))
        .await
        .unwrap();
    let (transport, id) = (transport(loopback()), WebhookId::from_u128(1));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let brought = SigningKey {
        generation: 2,
        brought: transport.seal_secret(id, secret).ok(),
    };
    assert_eq!(transport.secret(id, &brought).unwrap(), secret);
    receiver.set_secret("/new", secret.to_owned());
    receiver.set_secret("/old", transport.secret(id, &key(1)).unwrap());
    for path in ["/new", "/old"] {
        let request = WebhookRequest {
            keys: vec![brought.clone(), key(1)],
            signature: Signature::V1a,
            ..request(receiver.url(path), &[])
        };
        let sent = transport.send(&request).await;
        assert_eq!(sent, AttemptResult::Success { status: 204 });
    }
    assert_eq!(receiver.tally().verified, 2);
    for wrong in [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_AAAA",
        "whsec_?",
        "",
    ] {
        assert!(transport.seal_secret(id, wrong).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn headers_of_the_owner_arrive_and_those_of_another_key_stop_the_attempt() {
    let (heard, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        heard.send(request[..read].to_vec()).unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    });
    let (transport, id) = (transport(loopback()), WebhookId::from_u128(1));
    let name = HeaderName::new("X-Gateway-Token").unwrap();
    let value = webhook::HeaderValue::required("Bearer 1").unwrap();
    let value = transport.seal_header(id, &name, &value).unwrap();
    let request = WebhookRequest {
        headers: vec![webhook::Header { name, value }],
        ..request(format!("http://{address}/"), &[1])
    };
    let sent = transport.send(&request).await;
    assert_eq!(sent, AttemptResult::Success { status: 204 });
    let heard = String::from_utf8(requests.recv().await.unwrap()).unwrap();
    assert!(heard.contains("x-gateway-token: Bearer 1\r\n"), "{heard}");
    let other = HttpTransport::new(
        loopback(),
        SecretKeeper::random(&SeededEntropy::new(2)),
        Arc::new(SystemClock),
    );
    let refused = other.unwrap().send(&request).await;
    assert!(
        matches!(&refused, AttemptResult::Failure { reason, .. } if reason.as_str().contains("x-gateway-token")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn answers_are_judged_by_the_table() {
    let table: [(&'static [u8], Option<u16>); 5] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            Some(302),
        ),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", Some(410)),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", Some(500)),
        (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Some(404)),
    ];
    for (answer, expected) in table {
        let url = format!("http://{}/", server(answer, false).await);
        match (
            transport(loopback()).send(&request(url, &[1])).await,
            expected,
        ) {
            (AttemptResult::Success { .. }, None) => {}
            (AttemptResult::Failure { status, .. }, Some(_)) => assert_eq!(status, expected),
            (other, expected) => unreachable!("{other:?} {expected:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_receiver_said_is_kept_as_far_as_it_helps() {
    let address = server(
        b"HTTP/1.1 400 No\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nno\r\n\x1b[2J\xff",
        false,
    )
    .await;
    let transport = transport(loopback());
    let result = transport
        .send(&request(format!("http://{address}/"), &[1]))
        .await;
    let AttemptResult::Failure { answer, .. } = result else {
        unreachable!("{result:?}")
    };
    assert_eq!(answer.content_type.as_str(), "text/plain");
    assert_eq!(answer.body.as_str(), "no   [2J\u{fffd}");
    let long = endless(b"HTTP/1.1 500 No\r\n\r\n", false).await;
    let result = transport
        .send(&request(format!("http://{long}/"), &[1]))
        .await;
    let AttemptResult::Failure { answer, .. } = result else {
        unreachable!("{result:?}")
    };
    assert!(answer.body.as_str().chars().count() <= ANSWER_MAX);
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let date: &'static [u8] = b"HTTP/1.1 503 Busy\r\nretry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n";
    let seconds: &'static [u8] =
        b"HTTP/1.1 429 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    for (answer, least) in [(seconds, 7), (date, 86_400)] {
        let url = format!("http://{}/", server(answer, false).await);
        let result = transport(loopback()).send(&request(url, &[1])).await;
        let AttemptResult::Failure {
            retry_after: Some(span),
            ..
        } = result
        else {
            unreachable!("{result:?}")
        };
        assert!(span >= Span::from_secs(least));
    }
}

/// Keeps a connection busy for ever: what it sends after the head, one byte at a time or at once.
async fn endless(head: &'static [u8], drip: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head).await;
                let mut drops = tokio::time::interval(Duration::from_millis(5));
                let piece: &[u8] = if drip { b"x" } else { &[0; 4096] };
                while stream.write_all(piece).await.is_ok() {
                    if drip {
                        drops.tick().await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn whatever_a_receiver_sends_without_end_the_attempt_ends() {
    let failed = |result: &AttemptResult| {
        matches!(result, AttemptResult::Failure { status: None, reason, .. }
            if reason.as_str().starts_with("no complete answer within"))
    };
    let taken = AttemptResult::Success { status: 200 };
    let transport = transport(loopback());
    let send = async |url: String| transport.send(&request(url, &[1])).await;

    let stalled = server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", false).await;
    let result = send(format!("http://{stalled}/")).await;
    assert!(failed(&result), "a body that stalls: {result:?}");
    for head in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\x00",
    ] {
        let result = send(format!("http://{}/", endless(head, false).await)).await;
        assert_eq!(
            result, taken,
            "64 KiB are enough to know, and unpacked by nobody"
        );
    }
    for head in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nx-drip: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let result = send(format!("http://{}/", endless(head, true).await)).await;
        assert!(
            !matches!(result, AttemptResult::Success { .. }),
            "{head:?}: {result:?}"
        );
    }
    // A handshake that never comes to its end.
    let silent = server(b"", false).await;
    let result = send(format!("https://{silent}/")).await;
    assert!(failed(&result), "{result:?}");
}

/// Names that lead to one address after the other, each time that they are looked up.
struct Rebinding(std::sync::Mutex<Vec<Vec<IpAddr>>>);

#[async_trait]
impl Names for Rebinding {
    async fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        let next = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(next)
    }
}

fn rebinding(policy: AddressPolicy, answers: &[&[&str]]) -> HttpTransport {
    let parsed = answers
        .iter()
        .map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect());
    let names = Arc::new(Rebinding(std::sync::Mutex::new(parsed.collect())));
    let secrets = SecretKeeper::random(&SeededEntropy::new(1));
    let made = HttpTransport::with_names(policy, names, secrets, Arc::new(SystemClock));
    made.unwrap().with_timeout(Duration::from_millis(300))
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_leads_to_when_it_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://receiver.example:{port}/");
    let refused = |result: &AttemptResult| {
        matches!(result, AttemptResult::Failure { status: None, reason, .. }
            if reason.as_str().contains("not a public one"))
    };
    // Public when the subscription is made, loopback when it is delivered to.
    let transport = rebinding(
        AddressPolicy::default(),
        &[&["93.184.216.34"], &["127.0.0.1"]],
    );
    transport.check_url(&url).await.unwrap();
    let result = transport.send(&request(url.clone(), &[1])).await;
    assert!(refused(&result), "{result:?}");
    // One forbidden address among public ones refuses all, at both times.
    let mixed: &[&str] = &["93.184.216.34", "2606:2800:220:1::1", "::ffff:127.0.0.1"];
    let transport = rebinding(AddressPolicy::default(), &[mixed]);
    transport.check_url(&url).await.unwrap_err();
    let result = transport.send(&request(url.clone(), &[1])).await;
    assert!(refused(&result), "{result:?}");
    // Plain http is for allowed networks: a name that has left them since is not dialled.
    let plain = format!("http://receiver.example:{port}/");
    let transport = rebinding(loopback(), &[&["127.0.0.1"], &["93.184.216.34"]]);
    transport.check_url(&plain).await.unwrap();
    let result = transport.send(&request(plain, &[1])).await;
    assert!(
        matches!(&result, AttemptResult::Failure { reason, .. } if reason.as_str().contains("https")),
        "{result:?}"
    );
    let dialled = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(dialled.is_err(), "nobody came");
}

#[tokio::test]
async fn no_spelling_of_a_special_address_is_taken_or_dialled() {
    let transport = transport(AddressPolicy::default());
    for url in FORBIDDEN {
        transport.check_url(url).await.unwrap_err();
        let result = transport.send(&request(url.to_owned(), &[1])).await;
        assert!(
            matches!(&result, AttemptResult::Failure { status: None, reason, .. }
                if reason.as_str().contains("not a public one")),
            "{url}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        inside.local_addr().unwrap()
    );
    let redirecting = server(answer.leak().as_bytes(), false).await;
    let result = transport(loopback())
        .send(&request(format!("http://{redirecting}/"), &[1]))
        .await;
    assert!(
        matches!(
            result,
            AttemptResult::Failure {
                status: Some(307),
                ..
            }
        ),
        "{result:?}"
    );
    let dialled = tokio::time::timeout(Duration::from_millis(1), inside.accept()).await;
    assert!(dialled.is_err(), "nobody came");
}

#[tokio::test]
async fn a_forbidden_address_is_never_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "[::ffff:127.0.0.1]",
        "2130706433",
    ] {
        let url = format!("https://{host}:{port}/");
        let result = transport(AddressPolicy::default())
            .send(&request(url.clone(), &[1]))
            .await;
        assert!(
            matches!(result, AttemptResult::Failure { status: None, .. }),
            "{url}: {result:?}"
        );
        assert!(
            transport(AddressPolicy::default())
                .check_url(&url)
                .await
                .is_err(),
            "{url}"
        );
    }
    let dialled = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(dialled.is_err(), "nobody came");
}

/// Takes one request after the other, says yes to it, and gives its first line.
async fn next_request(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = [0; 4096];
    let read = stream.read(&mut request).await.unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&request[..read]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_proxy_dials_what_the_policy_allows_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = ProxyUrl::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let policy = AddressPolicy {
        allow_http: true,
        ..AddressPolicy::default()
    };
    let public = || rebinding(policy.clone(), &[&["93.184.216.34"]]);
    let proxied = public().through(&proxy).unwrap();
    let plain = request("http://receiver.example/hook".to_owned(), &[1]);
    let (sent, line) = tokio::join!(proxied.send(&plain), next_request(&listener));
    assert_eq!(sent, AttemptResult::Success { status: 200 });
    assert_eq!(line, "POST http://receiver.example/hook HTTP/1.1");
    let tls = request("https://receiver.example/hook".to_owned(), &[1]);
    let (_, line) = tokio::join!(proxied.send(&tls), next_request(&listener));
    assert_eq!(line, "CONNECT receiver.example:443 HTTP/1.1");

    let inside = rebinding(policy, &[&["10.0.0.1"]]).through(&proxy).unwrap();
    for url in ["http://receiver.example/", "https://169.254.169.254/"] {
        inside.check_url(url).await.unwrap_err();
        let result = inside.send(&request(url.to_owned(), &[1])).await;
        assert!(
            matches!(&result, AttemptResult::Failure { status: None, reason, .. }
                if reason.as_str().contains("not a public one")),
            "{url}: {result:?}"
        );
    }
    let dialled = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(dialled.is_err(), "nobody came");
}
