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
            name: old.name.into(),
            at: old.at,
        }
    }
}

/// `token.issued` v1 and v2, which differ in how the name stands in them. No token expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldIssued<N> {
    /// The token's id.
    pub token_id: TokenId,
    /// What it is called.
    pub name: N,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When.
    pub at: Timestamp,
}

/// `token.issued` v1.
pub type TokenIssuedV1 = OldIssued<Name>;
/// `token.issued` v2.
pub type TokenIssuedV2 = OldIssued<Personal>;

impl<N: Into<Personal>> From<OldIssued<N>> for TokenIssued {
    fn from(old: OldIssued<N>) -> Self {
        Self {
            token_id: old.token_id,
            name: old.name.into(),
            hash: old.hash,
            scopes: old.scopes,
            expires_at: None,
            at: old.at,
        }
    }
}
