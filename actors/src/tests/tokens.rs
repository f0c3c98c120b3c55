//! Tokens: until when they are accepted, and when they were.

use evenkeel_domain::access::{Name, Scope};
use evenkeel_domain::values::{Span, Timestamp};

use crate::Engine;
use crate::engine::TokenWish;
use crate::ports::Clock as _;
use crate::testing::{World, owner};

fn name(text: &str) -> Name {
    Name::required(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_accepted_until_it_expires_also_after_a_restart() {
    let world = World::new();
    let engine = world.engine().await;
    let ada = engine
        .create_owner(&owner(1), name("Ada"))
        .await
        .unwrap()
        .owner;
    let until = world.clock.now().plus(Span::from_hours(1));
    let issue = |hash: u8, expires_at: Option<Timestamp>| TokenWish {
        name: name("laptop"),
        hash: [hash; 32],
        scopes: vec![Scope::Read],
        expires_at,
    };
    let admin = owner(1);
    let for_ever = engine.issue_token(&admin, ada, issue(3, None));
    for_ever.await.unwrap();
    let for_an_hour = engine.issue_token(&admin, ada, issue(8, Some(until)));
    let id = for_an_hour.await.unwrap();
    let view = async |engine: &Engine| {
        let tokens = engine.tokens(ada).await.unwrap();
        tokens
            .into_iter()
            .find(|token| token.token_id == id)
            .unwrap()
    };
    assert_eq!(view(&engine).await.last_used_at, None);
    assert!(engine.identify(&[8; 32]).is_some());
    assert_eq!(view(&engine).await.last_used_at, Some(world.clock.now()));
    engine.kill().await;
    let engine = world.engine().await;
    assert_eq!(view(&engine).await.expires_at, Some(until));
    world.clock.set(until.minus(Span::from_millis(1)));
    assert!(engine.identify(&[8; 32]).is_some());
    world.clock.set(until);
    assert!(engine.identify(&[8; 32]).is_none());
    assert!(
        engine.identify(&[3; 32]).is_some(),
        "another one of the same owner"
    );
}
