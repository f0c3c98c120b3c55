//! Erasing an owner: what it needs, what is left, and that a crash on the way is made good.

use evenkeel_domain::Event;
use evenkeel_domain::access::{AccessEvent, AccessRefusal, Name, Scope};
use evenkeel_domain::index::Method;
use evenkeel_domain::values::{OwnerId, Personal, Sealed, Text};
use evenkeel_domain::webhook::{Filter, Target};
use evenkeel_events::OwnerKey;

use crate::engine::{Caller, EngineError, OwnerView, TokenWish, WebhookWish};
use crate::ports::{PersonalField, PersonalKeys as _};
use crate::testing::{World, halves, owner};
use crate::{Engine, catalogue, journal};

fn name(text: &str) -> Name {
    Name::required(text).unwrap()
}

/// A token that does not expire.
fn token(name: &str, hash: u8, scopes: Vec<Scope>) -> TokenWish {
    TokenWish {
        name: Name::required(name).unwrap(),
        hash: [hash; 32],
        scopes,
        expires_at: None,
    }
}

/// An owner Ada with a token, who may act.
async fn ada(engine: &Engine) -> Caller {
    let operator = owner(1);
    let made = engine.create_owner(&owner(1), name("Ada")).await.unwrap();
    assert_eq!(made.name.as_deref(), Some("Ada"));
    let (id, scopes) = (made.owner, vec![Scope::Read]);
    let issued = engine.issue_token(&operator, id, token("laptop", 3, scopes));
    issued.await.unwrap();
    Caller {
        owner: id,
        ..owner(1)
    }
}

async fn view(engine: &Engine, id: OwnerId) -> OwnerView {
    let owners = engine.owners(None, 10).await;
    owners.into_iter().find(|view| view.owner == id).unwrap()
}

/// What the log says of an owner.
async fn events_of(world: &World, id: OwnerId) -> Vec<Event> {
    let page = world.log.read(0, 1_000).await.unwrap();
    let own = page
        .iter()
        .filter(|recorded| recorded.metadata.owner == OwnerKey(id.as_u128()));
    own.map(|recorded| journal::decode(recorded).unwrap())
        .collect()
}

fn sealed_name(events: &[Event]) -> Sealed {
    match &events[0] {
        Event::Access(AccessEvent::OwnerCreated(created)) => match &created.name {
            Personal::Sealed(sealed) => sealed.clone(),
            Personal::Plain(name) => panic!("{name} stands in the log"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_erased_owner_has_no_name_and_its_token_is_nobodys() {
    let (world, operator) = (World::new(), owner(1));
    let engine = world.engine().await;
    let ada = ada(&engine).await.owner;
    assert_eq!(engine.identify(&[3; 32]).unwrap().owner, ada);
    let tokens = engine.tokens(ada).await.unwrap();
    assert_eq!(tokens[0].name.as_deref(), Some("laptop"));
    engine.erase_owner(&owner(1), ada).await.unwrap();
    assert_eq!(engine.identify(&[3; 32]), None);
    for engine in [engine, world.engine().await] {
        let erased = view(&engine, ada).await;
        assert_eq!((erased.name, erased.tokens), (None, 0));
        assert!(erased.erased_at.is_some());
        assert_eq!(engine.tokens(ada).await, Some(Vec::new()));
        engine.erase_owner(&owner(1), ada).await.unwrap();
        let more = engine.issue_token(&operator, ada, token("x", 4, vec![Scope::Read]));
        let refusal = EngineError::Access(AccessRefusal::OwnerErased);
        assert_eq!(more.await, Err(refusal));
    }
    let events = events_of(&world, ada).await;
    let types: Vec<_> = events.iter().map(|e| catalogue::type_of(e).0).collect();
    assert_eq!(types, ["owner.created", "token.issued", "owner.erased"]);
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_something_is_not_erased_and_an_erased_one_gets_nothing() {
    let world = World::new();
    let engine = world.engine().await;
    let ada = ada(&engine).await;
    let index = engine.create_index(&ada, halves(Method::None)).await;
    let index = index.unwrap().index.index_id;
    let url = Text::required("https://example.com/hook").unwrap();
    let target = || Target::new(url.clone(), Filter::new(&["*".to_owned()]).unwrap());
    let hook = engine
        .create_webhook(&ada, WebhookWish::untested(target()))
        .await;
    let hook = hook.unwrap().webhook.webhook_id;
    let refused = |indexes, webhooks| Err(EngineError::OwnerInUse { indexes, webhooks });
    let erase = async || engine.erase_owner(&owner(1), ada.owner).await;
    assert_eq!(erase().await, refused(1, 1));
    engine.delete_index(&ada, index).await.unwrap();
    assert_eq!(erase().await, refused(0, 1));
    engine.delete_webhook(&ada, hook).await.unwrap();
    assert_eq!(erase().await, Ok(()));
    let refusal = EngineError::Access(AccessRefusal::OwnerErased);
    let index = engine.create_index(&ada, halves(Method::None)).await;
    assert_eq!(index.unwrap_err(), refusal);
    let hook = engine
        .create_webhook(&ada, WebhookWish::untested(target()))
        .await;
    assert_eq!(hook.unwrap_err(), refusal);
    let nobody = engine.erase_owner(&owner(1), OwnerId::from_u128(404)).await;
    let refusal = EngineError::Access(AccessRefusal::OwnerNotFound);
    assert_eq!(nobody, Err(refusal));
}

#[tokio::test(start_paused = true)]
async fn the_last_admin_stays() {
    let (world, operator) = (World::new(), owner(1));
    let engine = world.engine().await;
    let first = engine.bootstrap([1; 32]).await.unwrap().unwrap();
    let refused = engine.erase_owner(&owner(1), first).await;
    assert_eq!(refused, Err(EngineError::LastAdmin));
    let ada = ada(&engine).await.owner;
    let more = engine.issue_token(&operator, ada, token("root", 5, vec![Scope::Admin]));
    more.await.unwrap();
    engine.erase_owner(&owner(1), first).await.unwrap();
    assert!(engine.has_owners());
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_key_is_forgotten_is_made_good_at_the_start() {
    let world = World::new();
    let engine = world.engine().await;
    let ada = ada(&engine).await.owner;
    // Another engine of the same log, whose keys are others: the first one's are not forgotten.
    engine.kill().await;
    let elsewhere = World {
        log: world.log.clone(),
        ..World::new()
    };
    let engine = elsewhere.engine().await;
    assert_eq!(view(&engine, ada).await.name, None, "a key that is missing");
    engine.erase_owner(&owner(1), ada).await.unwrap();
    engine.kill().await;
    let sealed = sealed_name(&events_of(&world, ada).await);
    let open = async || {
        let field = PersonalField::OwnerName;
        world.keys.open(ada, field, &sealed).await
    };
    assert_eq!(open().await.as_deref(), Some("Ada"));
    world.engine().await;
    assert_eq!(open().await, None);
}
