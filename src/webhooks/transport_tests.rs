//! The transport against real sockets.
#![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::time::{SeededEntropy, SystemClock};
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

#[tokio::test]
async fn an_answer_that_never_ends_ends() {
    let stalled = server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", false).await;
    let result = transport(loopback())
        .send(&request(format!("http://{stalled}/"), &[1]))
        .await;
    assert!(
        matches!(result, AttemptResult::Failure { status: None, .. }),
        "{result:?}"
    );
    let endless = server(b"HTTP/1.1 200 OK\r\n\r\n", true).await;
    let result = transport(loopback())
        .send(&request(format!("http://{endless}/"), &[1]))
        .await;
    assert_eq!(
        result,
        AttemptResult::Success { status: 200 },
        "64 KiB are enough to know"
    );
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
