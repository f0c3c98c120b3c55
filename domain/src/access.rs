//! Owners and their tokens. The log holds hashes of tokens, never tokens.
//!
//! Names are personal: [`decide`] gives them as they came, and who appends seals them first with
//! the owner's key. An erased owner's key is forgotten, and with it what the names were.

mod old;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::values::{OwnerId, Personal, Text, Timestamp, TokenId};

pub use old::{OwnerCreatedV1, TokenIssuedV1, TokenIssuedV2};

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
    /// An owner was erased.
    OwnerErased(OwnerErased),
}

impl AccessEvent {
    /// The personal text in the event, if there is one.
    pub fn personal(&mut self) -> Option<&mut Personal> {
        match self {
            Self::OwnerCreated(created) => Some(&mut created.name),
            Self::TokenIssued(issued) => Some(&mut issued.name),
            Self::TokenRevoked(_) | Self::OwnerErased(_) => None,
        }
    }
}

/// `owner.created` v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerCreated {
    /// The owner.
    pub owner: OwnerId,
    /// Its name.
    pub name: Personal,
    /// When.
    pub at: Timestamp,
}

/// `token.issued` v3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenIssued {
    /// The token's id.
    pub token_id: TokenId,
    /// What it is called.
    pub name: Personal,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From then on it is not accepted any more; none for one that is until it is revoked.
    pub expires_at: Option<Timestamp>,
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

/// `owner.erased` v1. It revokes every token of the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerErased {
    /// The owner.
    pub owner: OwnerId,
    /// When.
    pub at: Timestamp,
}

/// A token that is not revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub name: Personal,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From then on it is not accepted any more.
    pub expires_at: Option<Timestamp>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// An owner: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner.
    pub owner: OwnerId,
    /// Its name; none when it is erased.
    pub name: Option<Personal>,
    /// Its tokens in force.
    pub tokens: BTreeMap<TokenId, Token>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was erased.
    pub erased_at: Option<Timestamp>,
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
        /// From then on it is not accepted any more.
        expires_at: Option<Timestamp>,
    },
    /// Revoke a token.
    RevokeToken {
        /// The token's id.
        token_id: TokenId,
    },
    /// Erase the owner: revoke its tokens, forget its names. Once more changes nothing.
    EraseOwner,
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
    /// The owner is erased.
    #[error("the owner is erased; make another one")]
    OwnerErased,
    /// There is no such token.
    #[error("there is no such token")]
    TokenNotFound,
    /// A token without a scope.
    #[error("a token needs at least one scope")]
    NoScopes,
    /// A token that would not be accepted at all.
    #[error("a token expires in the future")]
    Expired,
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
                name: Personal::Plain(name),
                at: now,
            })
        }
        (None, _) => return Err(AccessRefusal::OwnerNotFound),
        (Some(owner), AccessCommand::EraseOwner) => {
            if owner.erased_at.is_some() {
                return Ok(Vec::new());
            }
            let owner = owner.owner;
            AccessEvent::OwnerErased(OwnerErased { owner, at: now })
        }
        (
            Some(owner),
            AccessCommand::IssueToken {
                token_id,
                name,
                hash,
                scopes,
                expires_at,
            },
        ) => {
            let scopes = grantable(owner, scopes)?;
            if expires_at.is_some_and(|at| at <= now) {
                return Err(AccessRefusal::Expired);
            }
            AccessEvent::TokenIssued(TokenIssued {
                token_id,
                name: Personal::Plain(name),
                hash,
                scopes,
                expires_at,
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

/// The scopes of one more token, in their order, each once.
fn grantable(owner: &Owner, scopes: Vec<Scope>) -> Result<Vec<Scope>, AccessRefusal> {
    if owner.erased_at.is_some() {
        return Err(AccessRefusal::OwnerErased);
    }
    let scopes: Vec<Scope> = BTreeSet::from_iter(scopes).into_iter().collect();
    if scopes.is_empty() {
        return Err(AccessRefusal::NoScopes);
    }
    if owner.tokens.len() >= TOKENS_MAX {
        return Err(AccessRefusal::TooManyTokens);
    }
    Ok(scopes)
}

/// Adopts an event.
pub fn apply(owner: &mut Option<Owner>, event: &AccessEvent) {
    match (owner, event) {
        (owner @ None, AccessEvent::OwnerCreated(e)) => {
            *owner = Some(Owner {
                owner: e.owner,
                name: Some(e.name.clone()),
                tokens: BTreeMap::new(),
                created_at: e.at,
                erased_at: None,
            });
        }
        (Some(owner), AccessEvent::TokenIssued(e)) => {
            let token = Token {
                name: e.name.clone(),
                hash: e.hash,
                scopes: e.scopes.clone(),
                expires_at: e.expires_at,
                issued_at: e.at,
            };
            owner.tokens.insert(e.token_id, token);
        }
        (Some(owner), AccessEvent::TokenRevoked(e)) => {
            owner.tokens.remove(&e.token_id);
        }
        (Some(owner), AccessEvent::OwnerErased(e)) => {
            owner.name = None;
            owner.tokens.clear();
            owner.erased_at = Some(e.at);
        }
        (Some(_), AccessEvent::OwnerCreated(_))
        | (
            None,
            AccessEvent::TokenIssued(_)
            | AccessEvent::TokenRevoked(_)
            | AccessEvent::OwnerErased(_),
        ) => {}
    }
}

#[cfg(test)]
mod tests;
