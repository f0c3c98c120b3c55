//! Owners and tokens.

use evenkeel_domain::access::{AccessCommand, AccessRefusal, Name, Owner, Scope};
use evenkeel_domain::values::{OwnerId, Personal, TokenId};

use super::{Caller, Engine, EngineError, OwnerView, TokenView, TokenWish};
use crate::journal::Origin;
use crate::ports::PersonalField;

impl Engine {
    /// Who a token belongs to, by the SHA-256 of the token. The request gets a new id.
    pub fn identify(&self, token_hash: &[u8; 32]) -> Option<Caller> {
        let shell = self.shell();
        let identity = shell.access.identify(token_hash, shell.now())?;
        Some(Caller {
            owner: identity.owner,
            token: Some(identity.token),
            scopes: identity.scopes,
            request: shell.new_key(),
        })
    }

    /// Makes the first owner with an admin token; none if there is an owner already.
    pub async fn bootstrap(&self, token_hash: [u8; 32]) -> Result<Option<OwnerId>, EngineError> {
        if self.has_owners() {
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
                expires_at: None,
            },
        ];
        let origin = Origin::new(Some(owner), "system:bootstrap", shell.new_key());
        shell
            .access
            .execute(shell, owner, commands, &origin)
            .await
            .map(|owner| Some(owner.owner))
    }

    /// Makes an owner.
    pub async fn create_owner(
        &self,
        caller: &Caller,
        name: Name,
    ) -> Result<OwnerView, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let owner = OwnerId::from_u128(shell.ids.next());
        let origin = caller.origin(Some(owner));
        let command = vec![AccessCommand::CreateOwner { owner, name }];
        let made = shell.access.execute(shell, owner, command, &origin).await?;
        Ok(self.owner_view(made).await)
    }

    /// Erases an owner that has no indexes and no webhooks: its tokens are revoked, and nobody can
    /// read its name and theirs any more. Once more changes nothing.
    pub async fn erase_owner(&self, caller: &Caller, owner: OwnerId) -> Result<(), EngineError> {
        let _place = self.admit()?;
        let (shell, origin) = (self.shell(), caller.origin(Some(owner)));
        shell.access.erase(shell, owner, &origin).await
    }

    /// Whether there is an owner, erased or not.
    pub fn has_owners(&self) -> bool {
        !self.shell().access.is_empty()
    }

    /// Owners with an id after this one, erased ones too, at most so many.
    pub async fn owners(&self, after: Option<OwnerId>, limit: usize) -> Vec<OwnerView> {
        let mut views = Vec::new();
        for owner in self.shell().access.owners(after, limit) {
            views.push(self.owner_view(owner).await);
        }
        views
    }

    /// The tokens of an owner that are in force; none when there is no such owner.
    pub async fn tokens(&self, owner: OwnerId) -> Option<Vec<TokenView>> {
        let owner = self.shell().access.owner(owner)?;
        let mut views = Vec::new();
        for (token_id, token) in owner.tokens {
            let field = PersonalField::TokenName;
            views.push(TokenView {
                token_id,
                name: self.opened(owner.owner, field, &token.name).await,
                scopes: token.scopes,
                expires_at: token.expires_at,
                last_used_at: self.shell().access.last_used(&token.hash),
                issued_at: token.issued_at,
            });
        }
        Some(views)
    }

    async fn owner_view(&self, owner: Owner) -> OwnerView {
        let name = match &owner.name {
            Some(name) => {
                self.opened(owner.owner, PersonalField::OwnerName, name)
                    .await
            }
            None => None,
        };
        OwnerView {
            owner: owner.owner,
            name,
            tokens: owner.tokens.len(),
            created_at: owner.created_at,
            erased_at: owner.erased_at,
        }
    }

    /// A personal text, to be read.
    async fn opened(
        &self,
        owner: OwnerId,
        field: PersonalField,
        text: &Personal,
    ) -> Option<String> {
        match text {
            Personal::Plain(name) => Some(name.as_str().to_owned()),
            Personal::Sealed(sealed) => self.shell().personal.open(owner, field, sealed).await,
        }
    }

    /// An erased owner gets nothing new, also from a request that began before.
    pub(super) fn not_erased(&self, caller: &Caller) -> Result<(), EngineError> {
        if self.shell().access.is_erased(caller.owner) {
            return Err(AccessRefusal::OwnerErased.into());
        }
        Ok(())
    }

    /// Issues a token to an owner.
    pub async fn issue_token(
        &self,
        caller: &Caller,
        owner: OwnerId,
        wish: TokenWish,
    ) -> Result<TokenId, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let token_id = TokenId::from_u128(shell.ids.next());
        let command = AccessCommand::IssueToken {
            token_id,
            name: wish.name,
            hash: wish.hash,
            scopes: wish.scopes,
            expires_at: wish.expires_at,
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
