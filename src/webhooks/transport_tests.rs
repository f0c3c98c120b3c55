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

fn request(url: String, generations: Vec<u32>) -> WebhookRequest {
    WebhookRequest {
        webhook_id: WebhookId::from_u128(1),
        url,
        message_id: "msg_1".to_owned(),
        event_type: "index.created".to_owned(),
        body: Bytes::from_static(b"{\"type\":\"index.created\"}"),
        generations,
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
            transport.secret(WebhookId::from_u128(1), generation),
        );
        let sent = transport
            .send(&request(
                receiver.url(&format!("/{generation}")),
                vec![2, 1],
            ))
            .await;
        assert_eq!(sent, AttemptResult::Success { status: 204 });
    }
    assert_eq!(
        (receiver.tally().verified, receiver.tally().refused),
        (2, 0)
    );
    receiver.set_secret("/other", transport.secret(WebhookId::from_u128(2), 1));
    let refused = transport
        .send(&request(receiver.url("/other"), vec![1]))
        .await;
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
            transport(loopback()).send(&request(url, vec![1])).await,
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
        let result = transport(loopback()).send(&request(url, vec![1])).await;
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
        .send(&request(format!("http://{stalled}/"), vec![1]))
        .await;
    assert!(
        matches!(result, AttemptResult::Failure { status: None, .. }),
        "{result:?}"
    );
    let endless = server(b"HTTP/1.1 200 OK\r\n\r\n", true).await;
    let result = transport(loopback())
        .send(&request(format!("http://{endless}/"), vec![1]))
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
            .send(&request(url.clone(), vec![1]))
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
