//! Erasing an owner: its name is nowhere in the files, and the log is as valid as it was.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use evenkeel::Engine;
use evenkeel::actors::engine::Caller;
use evenkeel::actors::ports::{KeysError, PersonalField, PersonalKeys};
use evenkeel::domain::access::{Name, Scope};
use evenkeel::domain::values::{EventKey, OwnerId, Sealed};
use evenkeel::personal::FileKeys;
use evenkeel::time::OsEntropy;
use serde_json::{Value, json};

use crate::api::Client;
use crate::home::Home;
use crate::log_tools::{at, text, verified};
use crate::portfolio::{created, halves};

const NAME: &str = "Zacharias Quillfeather";
const TOKEN: &str = "quillfeather-laptop";
const BUSINESS: &str = "halves";

/// Whether a text stands in any file below a folder.
fn stands_in(folder: &Path, text: &str) -> bool {
    let holds = |path: &Path| {
        // A file may go while others are read.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            stands_in(&path, text)
        } else {
            holds(&path)
        }
    })
}

#[track_caller]
fn names_stand_nowhere(data: &Path) {
    for name in [NAME, TOKEN] {
        assert!(
            !stands_in(data, name),
            "{name} stands in {}",
            data.display()
        );
    }
}

/// The owner with a token; gives its path and the token.
async fn furnished(admin: &Client) -> (String, Client) {
    let owner = admin.post("/api/owners", json!({"name": NAME})).await;
    let path = format!("/api/owners/{}", owner.fine()["owner"].as_str().unwrap());
    assert_eq!(owner.fine()["name"], NAME);
    let asked = json!({"name": TOKEN});
    let token = admin.post(&format!("{path}/tokens"), asked).await.fine();
    assert_eq!(token["name"], TOKEN);
    let client = admin.with_token(token["token"].as_str());
    (path, client)
}

async fn listed(admin: &Client, path: &str) -> Value {
    let owners: Vec<Value> = admin.all("/api/owners").await;
    let is_it = |owner: &Value| path.ends_with(owner["owner"].as_str().unwrap());
    owners.into_iter().find(is_it).unwrap()
}

fn key_file(home: &Home, path: &str) -> std::path::PathBuf {
    let owner = path.rsplit('/').next().unwrap();
    home.data().join("owner-keys").join(format!("{owner}.key"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_name_is_gone_and_the_log_stays_valid() {
    let home = Home::new();
    let server = home.serve();
    let (path, owner) = furnished(&server.admin).await;
    let index = created(&owner, halves("DRIFT")).await;
    assert!(
        stands_in(&home.data(), BUSINESS),
        "the search finds nothing"
    );
    names_stand_nowhere(&home.data());
    let erase = async |admin: &Client| admin.send("DELETE", &path, &[], "").await;
    erase(&server.admin).await.refused(409, "owner_in_use");
    assert_eq!(listed(&server.admin, &path).await["erased"], false);
    let gone = owner.send("DELETE", &index, &[], "").await;
    assert_eq!(gone.status, 204, "{gone:?}");
    // The log shows what it holds, which is no name.
    let events = server.admin.get("/api/events?type=owner.created").await;
    let events = &events.fine()["items"];
    assert!(
        events[1]["data"]["name"]["sealed"].is_string(),
        "{events:?}"
    );
    assert!(key_file(&home, &path).is_file());
    for _ in 0..2 {
        assert_eq!(erase(&server.admin).await.status, 204);
        assert!(!key_file(&home, &path).exists());
    }
    owner.get("/api/indexes").await.refused(401, "unauthorized");
    let tokens = format!("{path}/tokens");
    let more = server.admin.post(&tokens, json!({"name": "x"})).await;
    more.refused(409, "owner_erased");
    let erased = |owner: Value| {
        let shown = (&owner["name"], &owner["erased"], &owner["tokens"]);
        assert_eq!(shown, (&Value::Null, &json!(true), &json!(0)));
    };
    erased(listed(&server.admin, &path).await);
    server.stop().await;
    names_stand_nowhere(&home.data());
    let verdict = verified(&home);
    assert_eq!(verdict["verified"], true, "{verdict}");
    let again = home.serve();
    erased(listed(&again.admin, &path).await);
    again.stop().await;
    for tool in ["replay", "tail", "export"] {
        let said = home.run(&["log", tool]).fine();
        assert!(!said.contains(NAME) && !said.contains(TOKEN), "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_keeps_names_and_a_lost_key_hides_them_and_nothing_else() {
    let home = Home::new();
    let server = home.serve();
    let (path, _) = furnished(&server.admin).await;
    server.stop().await;
    let backup = home.beside("backup");
    home.run(&["log", "backup", &text(&backup)]).fine();
    let restored = at(&home, "restored");
    restored.run(&["log", "restore", &text(&backup)]).fine();
    let token = std::fs::read_to_string(home.data().join("admin.token")).unwrap();
    let serve = async || {
        let mut process = restored.start(&["serve"]);
        let url = process.line("listening on ").unwrap();
        (Client::new(&url, token.trim()), process)
    };
    let (admin, process) = serve().await;
    assert_eq!(listed(&admin, &path).await["name"], NAME);
    process.kill();
    std::fs::remove_dir_all(home.beside("restored").join("owner-keys")).unwrap();
    let (admin, process) = serve().await;
    let owner = listed(&admin, &path).await;
    assert_eq!(
        (&owner["name"], &owner["erased"]),
        (&Value::Null, &json!(false))
    );
    let tokens = admin.get(&format!("{path}/tokens")).await.fine()["items"].clone();
    assert_eq!(tokens[0]["name"], Value::Null);
    let asked = json!({"name": "new"});
    admin.post(&format!("{path}/tokens"), asked).await.fine();
    let tokens = admin.get(&format!("{path}/tokens")).await.fine()["items"].clone();
    assert_eq!(tokens[1]["name"], "new", "{tokens:?}");
    assert!(
        process.said().contains("cannot be read"),
        "{}",
        process.said()
    );
    process.kill();
}

/// Keys whose process dies before it forgets one.
struct DiesFirst(FileKeys);

#[async_trait]
impl PersonalKeys for DiesFirst {
    async fn seal(
        &self,
        owner: OwnerId,
        field: PersonalField,
        text: &str,
    ) -> Result<Sealed, KeysError> {
        self.0.seal(owner, field, text).await
    }

    async fn open(&self, owner: OwnerId, field: PersonalField, sealed: &Sealed) -> Option<String> {
        self.0.open(owner, field, sealed).await
    }

    async fn forget(&self, owner: OwnerId) -> Result<(), KeysError> {
        let reason = "the process died".to_owned();
        Err(KeysError { owner, reason })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_the_event_and_the_key_is_made_good_at_the_start() {
    let home = Home::new();
    let keys = FileKeys::new(home.data().join("owner-keys"), Arc::new(OsEntropy));
    let builder = Engine::builder().data(home.data());
    let engine = builder.personal_keys(Arc::new(DiesFirst(keys)));
    let engine = engine.open().await.unwrap();
    let operator = Caller {
        owner: OwnerId::from_u128(7),
        token: None,
        scopes: Scope::DEFAULT.to_vec(),
        request: EventKey::from_u128(1),
    };
    let name = Name::required(NAME).unwrap();
    let owner = engine.create_owner(&operator, name).await.unwrap().owner;
    let died = engine.erase_owner(&operator, owner).await;
    assert!(died.is_err(), "{died:?}");
    engine.close().await.unwrap();
    let path = owner.to_string();
    assert!(key_file(&home, &path).is_file());
    let engine = Engine::builder().data(home.data()).open().await.unwrap();
    assert!(!key_file(&home, &path).exists());
    let owners = engine.owners(None, 10).await;
    assert!(owners[0].name.is_none() && owners[0].erased_at.is_some());
    engine.close().await.unwrap();
    names_stand_nowhere(&home.data());
    assert_eq!(verified(&home)["verified"], true);
}
