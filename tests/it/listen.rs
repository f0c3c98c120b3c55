//! `evenkeel webhook listen`: a receiver for development.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::home::Home;
use crate::portfolio::{created, eventually, halves};

#[tokio::test]
async fn messages_are_checked_and_shown_one_a_line() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let owner = server.admin.owner("ann").await;
    // The secret is known only when the subscription is made: until then nobody listens.
    let url = "http://127.0.0.1:1/";
    let body = json!({"url": url, "events": ["index.created"], "skipTest": true});
    let made = owner.post("/api/webhooks", body).await;
    let (path, secret) = (
        made.location(),
        made.fine()["secret"].as_str().unwrap().to_owned(),
    );
    let mut listener = home.start(&[
        "webhook",
        "listen",
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--secret",
        &secret,
    ]);
    let url = eventually("the listener", async || {
        let said = listener.said();
        let (_, rest) = said.split_once("listening on ")?;
        rest.lines().next().map(str::to_owned)
    })
    .await;
    // Moving it there sends a signed test first.
    owner.put(&path, json!({"url": url})).await.fine();
    created(&owner, halves("NONE")).await;
    for expected in ["webhook.test", "index.created"] {
        let line: Value = serde_json::from_str(&listener.line("").unwrap()).unwrap();
        assert_eq!(line["type"], expected, "{line}");
        assert_eq!(line["verified"], true, "{line}");
        assert_eq!(line["body"]["type"], expected, "{line}");
    }
    // What is signed by nobody is refused.
    let client = crate::api::Client::new(&url, "none");
    let told = client
        .request(
            "POST",
            "/",
            &[
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", "1767605400"),
                ("webhook-signature", "v1,AAAA"),
            ],
        )
        .body("{}")
        .send()
        .await
        .unwrap();
    assert!(told.status().is_client_error(), "{told:?}");
    assert_eq!(listener.signal(Signal::INT).await.code(), Some(0));
    server.stop().await;
}

#[test]
fn a_secret_that_is_none_is_wrong_usage_or_refused() {
    let ended = Home::new().run(&["webhook", "listen", "--listen", "nowhere"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
}
