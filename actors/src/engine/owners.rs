//! Owners and tokens.

use evenkeel_domain::access::{AccessCommand, Name, Owner, Scope};
use evenkeel_domain::values::{OwnerId, TokenId};

use super::{Caller, Engine, EngineError};
use crate::journal::Origin;

impl Engine {
    /// Who a token belongs to, by the SHA-256 of the token. The request gets a new id.
    pub fn identify(&self, token_hash: &[u8; 32]) -> Option<Caller> {
        let identity = self.shell().access.identify(token_hash)?;
        Some(Caller {
            owner: identity.owner,
            token: Some(identity.token),
            scopes: identity.scopes,
            request: self.shell().new_key(),
        })
    }

    /// Makes the first owner with an admin token; none if there is an owner already.
    pub async fn bootstrap(&self, token_hash: [u8; 32]) -> Result<Option<Owner>, EngineError> {
        if !self.owners().is_empty() {
            return Ok(None);
        }
        let shell = self.shell();
        let (owner, token_id) = (
            OwnerId::from_u128(shell.ids.next()),
            TokenId::from_u128(shell.ids.next()),
        );
        let name = || Name::required("admin").unwrap_or_default();
        let commands = vec![
            AccessCommand::CreateOwner {
                owner,
                name: name(),
            },
            AccessCommand::IssueToken {
                token_id,
                name: name(),
                hash: token_hash,
                scopes: vec![Scope::Admin],
            },
        ];
        let origin = Origin::new(Some(owner), "system:bootstrap", shell.new_key());
        shell
            .access
            .execute(shell, owner, commands, &origin)
            .await
            .map(Some)
    }

    /// Makes an owner.
    pub async fn create_owner(&self, caller: &Caller, name: Name) -> Result<Owner, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let owner = OwnerId::from_u128(shell.ids.next());
        let origin = caller.origin(Some(owner));
        shell
            .access
            .execute(
                shell,
                owner,
                vec![AccessCommand::CreateOwner { owner, name }],
                &origin,
            )
            .await
    }

    /// All owners.
    pub fn owners(&self) -> Vec<Owner> {
        self.shell().access.owners()
    }

    /// Issues a token to an owner.
    pub async fn issue_token(
        &self,
        caller: &Caller,
        owner: OwnerId,
        name: Name,
        hash: [u8; 32],
        scopes: Vec<Scope>,
    ) -> Result<TokenId, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let token_id = TokenId::from_u128(shell.ids.next());
        let command = AccessCommand::IssueToken {
            token_id,
            name,
            hash,
            scopes,
        };
        let origin = caller.origin(Some(owner));
        shell
            .access
            .execute(shell, owner, vec![command], &origin)
            .await?;
        Ok(token_id)
    }

    /// Revokes a token.
    pub async fn revoke_token(
        &self,
        caller: &Caller,
        owner: OwnerId,
        token: TokenId,
    ) -> Result<(), EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let origin = caller.origin(Some(owner));
        let command = AccessCommand::RevokeToken { token_id: token };
        shell
            .access
            .execute(shell, owner, vec![command], &origin)
            .await?;
        Ok(())
    }
}
