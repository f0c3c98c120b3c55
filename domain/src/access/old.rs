//! Payloads of earlier versions, frozen, and what they are now. Names stood in them as they were.

use serde::{Deserialize, Serialize};

use super::{Name, OwnerCreated, Scope, TokenIssued};
use crate::values::{OwnerId, Personal, Timestamp, TokenId};

/// `owner.created` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerCreatedV1 {
    /// The owner.
    pub owner: OwnerId,
    /// Its name.
    pub name: Name,
    /// When.
    pub at: Timestamp,
}

impl From<OwnerCreatedV1> for OwnerCreated {
    fn from(old: OwnerCreatedV1) -> Self {
        Self {
            owner: old.owner,
            name: Personal::Plain(old.name),
            at: old.at,
        }
    }
}

/// `token.issued` v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssuedV1 {
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

impl From<TokenIssuedV1> for TokenIssued {
    fn from(old: TokenIssuedV1) -> Self {
        Self {
            token_id: old.token_id,
            name: Personal::Plain(old.name),
            hash: old.hash,
            scopes: old.scopes,
            expires_at: None,
            at: old.at,
        }
    }
}

/// `token.issued` v2. No token expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssuedV2 {
    /// The token's id.
    pub token_id: TokenId,
    /// What it is called.
    pub name: Personal,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When.
    pub at: Timestamp,
}

impl From<TokenIssuedV2> for TokenIssued {
    fn from(old: TokenIssuedV2) -> Self {
        Self {
            token_id: old.token_id,
            name: old.name,
            hash: old.hash,
            scopes: old.scopes,
            expires_at: None,
            at: old.at,
        }
    }
}
