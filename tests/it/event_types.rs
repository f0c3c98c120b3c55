//! What receivers get follows the schemas that the API gives out.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::api::Client;
use crate::home::Home;
use crate::inbox::{Inbox, Message};
use crate::portfolio::{constructed, created, cycle, halves, push, rebalanced};

/// The schemas of all event types.
struct Catalogue {
    schemas: Schemas,
    by_type: BTreeMap<String, SchemaIndex>,
}

impl Catalogue {
    async fn of(client: &Client) -> Self {
        let (mut schemas, mut by_type) = (Schemas::new(), BTreeMap::new());
        let page = client.get("/api/event-types").await.fine();
        for item in page["items"].as_array().unwrap() {
            let name = item["type"].as_str().unwrap().to_owned();
            let mut compiler = Compiler::new();
            compiler.enable_format_assertions();
            compiler
                .add_resource(&name, item["schema"].clone())
                .unwrap();
            let index = compiler.compile(&name, &mut schemas).unwrap();
            schemas.validate(&item["example"], index).unwrap();
            by_type.insert(name, index);
        }
        Self { schemas, by_type }
    }

    #[track_caller]
    fn check(&self, message: &Message) {
        let body = message.json();
        let index = self.by_type[message.event_type().as_str()];
        if let Err(error) = self.schemas.validate(&body, index) {
            panic!("{error}\n{body}");
        }
    }
}

#[tokio::test]
async fn what_comes_follows_the_schema_of_its_type() {
    let home = Home::with_local_webhooks();
    let server = home.serve();
    let (owner, inbox) = (server.admin.owner("ann").await, Inbox::open().await);
    let catalogue = Catalogue::of(&owner).await;
    let all = json!({"url": inbox.url("/all"), "events": ["*"], "skipTest": true});
    let all = owner.post("/api/webhooks", all).await.location();
    let other = json!({"url": inbox.url("/other"), "events": ["index.paused"], "skipTest": true});
    let other = owner.post("/api/webhooks", other).await.location();

    live(&owner, &other).await;
    let told = |messages: &[Message]| -> BTreeSet<String> {
        messages.iter().map(Message::event_type).collect()
    };
    let expected = [
        "index.created",
        "index.deleted",
        "index.deposited",
        "index.paused",
        "index.resumed",
        "index.trading_mode_set",
        "index.updated",
        "index.withdrawn",
        "drift.detected",
        "drift.threshold_exceeded",
        "drift.band_breached",
        "rebalance.completed",
        "rebalance.started",
        "trade.executed",
        "webhook.disabled",
    ];
    let messages = inbox
        .wait_until(|all| expected.iter().all(|it| told(all).contains(*it)))
        .await;
    for message in &messages {
        catalogue.check(message);
    }

    every_type_has_a_test_message(&owner, &inbox, &all, &catalogue).await;
    server.stop().await;
}

/// A life with as many events as come without a venue that fails.
async fn live(owner: &Client, other: &str) {
    let index = constructed(owner, "DRIFT").await;
    let post = async |path: String, body: Value| owner.post(&path, body).await.fine();
    let mut changed = halves("DRIFT");
    changed["tags"] = json!(["income"]);
    owner.put(&index, changed).await.fine();
    push(owner, "130", "100").await;
    cycle(owner).await;
    rebalanced(owner, &index, 2).await;
    for verb in ["pause", "resume"] {
        owner.post_empty(&format!("{index}/{verb}")).await.fine();
    }
    let trading = format!("{index}/trading");
    let halted = json!({"mode": "HALTED", "reason": "a look"});
    owner.put(&trading, halted).await.fine();
    cycle(owner).await;
    owner.put(&trading, json!({"mode": "ACTIVE"})).await.fine();
    cycle(owner).await;
    let cash = json!({"amount": "10", "invest": false});
    post(format!("{index}/deposit"), cash).await;
    post(format!("{index}/withdraw"), json!({"amount": "1"})).await;
    let empty = created(owner, halves("NONE")).await;
    owner.send("DELETE", &empty, &[], "").await;
    owner.post_empty(&format!("{other}/disable")).await.fine();
}

/// A test message of any type is its example, and says that it is one.
async fn every_type_has_a_test_message(
    owner: &Client,
    inbox: &Inbox,
    hook: &str,
    catalogue: &Catalogue,
) {
    inbox.clear();
    for name in catalogue.by_type.keys() {
        let path = format!("{hook}/test");
        let sent = owner.post(&path, json!({"type": name})).await.fine();
        assert_eq!(sent["status"], "SUCCEEDED", "{sent}");
    }
    let samples: Vec<Message> = inbox.messages();
    let samples = samples.iter().filter(|message| {
        let id = message.header("webhook-id");
        id.starts_with("msg_test_")
    });
    let mut types = BTreeSet::new();
    for message in samples {
        catalogue.check(message);
        assert_eq!(message.json()["data"]["test"], true);
        types.insert(message.event_type());
    }
    assert!(types.iter().eq(catalogue.by_type.keys()));
    let path = format!("{hook}/test");
    let unknown = owner.post(&path, json!({"type": "index.exploded"})).await;
    unknown.refused(422, "validation_failed");
}
