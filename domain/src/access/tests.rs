//! Given / when / then over an owner.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its expectation does"
)]

use super::*;
use crate::testing::T0;

fn create() -> AccessCommand {
    AccessCommand::CreateOwner {
        owner: OwnerId::from_u128(1),
        name: Name::required("Ada").unwrap(),
    }
}

fn issue(token: u128, scopes: &[Scope]) -> AccessCommand {
    AccessCommand::IssueToken {
        token_id: TokenId::from_u128(token),
        name: Name::required("laptop").unwrap(),
        hash: [7; 32],
        scopes: scopes.to_vec(),
        expires_at: None,
    }
}

/// One that expires.
fn issue_until(expires_at: Timestamp) -> AccessCommand {
    let AccessCommand::IssueToken {
        token_id,
        name,
        hash,
        scopes,
        ..
    } = issue(9, &[Scope::Read])
    else {
        panic!("a token is issued");
    };
    AccessCommand::IssueToken {
        token_id,
        name,
        hash,
        scopes,
        expires_at: Some(expires_at),
    }
}

fn revoke(token: u128) -> AccessCommand {
    let token_id = TokenId::from_u128(token);
    AccessCommand::RevokeToken { token_id }
}

#[track_caller]
fn when(owner: &mut Option<Owner>, command: AccessCommand) {
    for event in decide(owner.as_ref(), command, T0).unwrap() {
        apply(owner, &event);
    }
}

fn given() -> Option<Owner> {
    let mut owner = None;
    when(&mut owner, create());
    owner
}

#[test]
fn a_token_is_in_force_until_it_is_revoked() {
    let mut owner = given();
    when(
        &mut owner,
        issue(1, &[Scope::Trade, Scope::Read, Scope::Trade]),
    );
    let tokens = &owner.as_ref().unwrap().tokens;
    let token = tokens.get(&TokenId::from_u128(1)).unwrap();
    assert_eq!(token.scopes, [Scope::Read, Scope::Trade]);
    when(&mut owner, revoke(1));
    assert!(owner.unwrap().tokens.is_empty());
}

#[test]
fn refusals_name_what_is_wrong() {
    let owner = given();
    for (owner, command, refusal) in [
        (owner.as_ref(), create(), AccessRefusal::OwnerExists),
        (None, issue(1, &[Scope::Read]), AccessRefusal::OwnerNotFound),
        (None, revoke(1), AccessRefusal::OwnerNotFound),
        (owner.as_ref(), issue(1, &[]), AccessRefusal::NoScopes),
        (owner.as_ref(), revoke(1), AccessRefusal::TokenNotFound),
    ] {
        assert_eq!(decide(owner, command, T0), Err(refusal));
    }
}

#[test]
fn tokens_are_bounded_and_a_revoked_one_makes_room() {
    let mut owner = given();
    for token in 0..TOKENS_MAX {
        when(&mut owner, issue(token as u128, &[Scope::Read]));
    }
    let more = issue(1_000, &[Scope::Read]);
    let refused = decide(owner.as_ref(), more.clone(), T0);
    assert_eq!(refused, Err(AccessRefusal::TooManyTokens));
    when(&mut owner, revoke(0));
    when(&mut owner, more);
}

#[test]
fn a_token_of_nobody_changes_nothing() {
    let mut owner = None;
    let token_id = TokenId::from_u128(1);
    apply(
        &mut owner,
        &AccessEvent::TokenRevoked(TokenRevoked { token_id, at: T0 }),
    );
    assert_eq!(owner, None);
}

#[test]
fn an_erased_owner_has_no_name_and_no_token_and_gets_none() {
    let mut owner = given();
    when(&mut owner, issue(1, &[Scope::Read]));
    when(&mut owner, issue(2, &[Scope::Trade]));
    when(&mut owner, AccessCommand::EraseOwner);
    let erased = owner.clone().unwrap();
    assert_eq!((&erased.name, erased.erased_at), (&None, Some(T0)));
    assert!(erased.tokens.is_empty());
    for (command, refusal) in [
        (issue(3, &[Scope::Read]), AccessRefusal::OwnerErased),
        (issue(3, &[]), AccessRefusal::OwnerErased),
        (revoke(1), AccessRefusal::TokenNotFound),
        (create(), AccessRefusal::OwnerExists),
    ] {
        assert_eq!(decide(owner.as_ref(), command, T0), Err(refusal));
    }
}

#[test]
fn erasing_twice_changes_nothing_and_nobody_cannot_be_erased() {
    let mut owner = given();
    when(&mut owner, AccessCommand::EraseOwner);
    let again = decide(owner.as_ref(), AccessCommand::EraseOwner, T0);
    assert_eq!(again, Ok(Vec::new()));
    let nobody = decide(None, AccessCommand::EraseOwner, T0);
    assert_eq!(nobody, Err(AccessRefusal::OwnerNotFound));
}

#[test]
fn every_name_in_an_event_is_personal() {
    let mut owner = None;
    for (command, is_personal) in [
        (create(), true),
        (issue(1, &[Scope::Read]), true),
        (revoke(1), false),
        (AccessCommand::EraseOwner, false),
    ] {
        for mut event in decide(owner.as_ref(), command, T0).unwrap() {
            apply(&mut owner, &event);
            assert_eq!(event.personal().is_some(), is_personal, "{event:?}");
        }
    }
}

#[test]
fn a_token_expires_in_the_future_or_never() {
    let mut owner = given();
    for at in [T0, T0.minus(crate::values::Span::from_secs(1))] {
        let refused = decide(owner.as_ref(), issue_until(at), T0);
        assert_eq!(refused, Err(AccessRefusal::Expired));
    }
    let later = T0.plus(crate::values::Span::from_secs(1));
    when(&mut owner, issue_until(later));
    let token = &owner.unwrap().tokens[&TokenId::from_u128(9)];
    assert_eq!(token.expires_at, Some(later));
}
