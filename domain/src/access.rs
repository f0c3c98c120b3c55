//! Owners and their tokens. The log holds hashes of tokens, never tokens.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::values::{OwnerId, Text, Timestamp, TokenId};

/// Most tokens of one owner that are not revoked.
pub const TOKENS_MAX: usize = 100;

/// Name of an owner or of a token.
pub type Name = Text<100>;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read what belongs to the owner, and prices and jobs.
    Read,
    /// Change indexes and rebalance them.
    Trade,
    /// Manage webhooks.
    Webhooks,
    /// Push prices, which all owners share.
    Prices,
    /// Change and run jobs, which all owners share.
    Jobs,
    /// Everything, for every owner.
    Admin,
}

impl Scope {
    /// What a token gets when nobody says otherwise: everything that concerns its owner alone.
    pub const DEFAULT: [Self; 3] = [Self::Read, Self::Trade, Self::Webhooks];
}

/// What happened to an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessEvent {
    /// An owner was made.
    OwnerCreated(OwnerCreated),
    /// A token was issued.
    TokenIssued(TokenIssued),
    /// A token was revoked.
    TokenRevoked(TokenRevoked),
}

/// `owner.created` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerCreated {
    /// The owner.
    pub owner: OwnerId,
    /// Its name.
    pub name: Name,
    /// When.
    pub at: Timestamp,
}

/// `token.issued` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenIssued {
    /// The token's id.
    pub token_id: TokenId,
    /// What it is called.
    pub name: Name,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When.
    pub at: Timestamp,
}

/// `token.revoked` v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRevoked {
    /// The token's id.
    pub token_id: TokenId,
    /// When.
    pub at: Timestamp,
}

/// A token that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub name: Name,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// An owner: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner.
    pub owner: OwnerId,
    /// Its name.
    pub name: Name,
    /// Its tokens in force.
    pub tokens: BTreeMap<TokenId, Token>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What may be asked about an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessCommand {
    /// Make an owner.
    CreateOwner {
        /// The owner, made by the caller.
        owner: OwnerId,
        /// Its name.
        name: Name,
    },
    /// Issue a token.
    IssueToken {
        /// The token's id, made by the caller.
        token_id: TokenId,
        /// What it is called.
        name: Name,
        /// SHA-256 of the token.
        hash: [u8; 32],
        /// What it may do; at least one scope.
        scopes: Vec<Scope>,
    },
    /// Revoke a token.
    RevokeToken {
        /// The token's id.
        token_id: TokenId,
    },
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// There is no such owner.
    #[error("there is no such owner")]
    OwnerNotFound,
    /// The id is taken.
    #[error("the owner exists already")]
    OwnerExists,
    /// There is no such token.
    #[error("there is no such token")]
    TokenNotFound,
    /// A token without a scope.
    #[error("a token needs at least one scope")]
    NoScopes,
    /// Too many tokens.
    #[error("an owner has at most {TOKENS_MAX} tokens; revoke one first")]
    TooManyTokens,
}

/// Which events a command leads to.
pub fn decide(
    owner: Option<&Owner>,
    command: AccessCommand,
    now: Timestamp,
) -> Result<Vec<AccessEvent>, AccessRefusal> {
    let event = match (owner, command) {
        (Some(_), AccessCommand::CreateOwner { .. }) => return Err(AccessRefusal::OwnerExists),
        (None, AccessCommand::CreateOwner { owner, name }) => {
            AccessEvent::OwnerCreated(OwnerCreated {
                owner,
                name,
                at: now,
            })
        }
        (None, AccessCommand::IssueToken { .. } | AccessCommand::RevokeToken { .. }) => {
            return Err(AccessRefusal::OwnerNotFound);
        }
        (
            Some(owner),
            AccessCommand::IssueToken {
                token_id,
                name,
                hash,
                scopes,
            },
        ) => {
            let scopes: Vec<Scope> = BTreeSet::from_iter(scopes).into_iter().collect();
            if scopes.is_empty() {
                return Err(AccessRefusal::NoScopes);
            }
            if owner.tokens.len() >= TOKENS_MAX {
                return Err(AccessRefusal::TooManyTokens);
            }
            AccessEvent::TokenIssued(TokenIssued {
                token_id,
                name,
                hash,
                scopes,
                at: now,
            })
        }
        (Some(owner), AccessCommand::RevokeToken { token_id }) => {
            if !owner.tokens.contains_key(&token_id) {
                return Err(AccessRefusal::TokenNotFound);
            }
            AccessEvent::TokenRevoked(TokenRevoked { token_id, at: now })
        }
    };
    Ok(vec![event])
}

/// Adopts an event.
pub fn apply(owner: &mut Option<Owner>, event: &AccessEvent) {
    match (owner, event) {
        (owner @ None, AccessEvent::OwnerCreated(e)) => {
            *owner = Some(Owner {
                owner: e.owner,
                name: e.name.clone(),
                tokens: BTreeMap::new(),
                created_at: e.at,
            });
        }
        (Some(owner), AccessEvent::TokenIssued(e)) => {
            let token = Token {
                name: e.name.clone(),
                hash: e.hash,
                scopes: e.scopes.clone(),
                issued_at: e.at,
            };
            owner.tokens.insert(e.token_id, token);
        }
        (Some(owner), AccessEvent::TokenRevoked(e)) => {
            owner.tokens.remove(&e.token_id);
        }
        (Some(_), AccessEvent::OwnerCreated(_))
        | (None, AccessEvent::TokenIssued(_) | AccessEvent::TokenRevoked(_)) => {}
    }
}

#[cfg(test)]
mod tests {
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
}
