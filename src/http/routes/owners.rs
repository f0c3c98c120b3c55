//! `/api/owners`: owners and their tokens, for admins.

use evenkeel_actors::engine::{OwnerView, TokenView, TokenWish};
use evenkeel_domain::access::{Name, Scope};
use evenkeel_domain::values::OwnerId;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::Api;
use crate::http::fields::{Fields, incomplete, parsed, required_text};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};
use crate::http::token::new_token;

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    let (owners, tokens) = ("/api/owners", "/api/owners/{owner}/tokens");
    let (owner, token) = ("/api/owners/{owner}", "/api/owners/{owner}/tokens/{id}");
    vec![
        Row::needs(Scope::Admin, Method::GET, owners, list),
        Row::needs(Scope::Admin, Method::POST, owners, create),
        Row::needs(Scope::Admin, Method::DELETE, owner, erase),
        Row::needs(Scope::Admin, Method::GET, tokens, list_tokens),
        Row::needs(Scope::Admin, Method::POST, tokens, issue),
        Row::needs(Scope::Admin, Method::DELETE, token, revoke),
    ]
}

fn body(owner: &OwnerView) -> Value {
    json!({
        "owner": owner.owner,
        "name": owner.name,
        "tokens": owner.tokens,
        "erased": owner.erased_at.is_some(),
        "createdAt": owner.created_at,
    })
}

fn owner_of(call: &Call) -> Result<OwnerId, Problem> {
    call.id(0, "owner")
}

async fn list(api: Api, mut call: Call) -> Answer {
    let (after, limit) = call.query.page::<OwnerId>()?;
    call.query.finish()?;
    let owners = api.engine.owners(after, limit + 1).await;
    let next = owners.get(limit).and_then(|_| owners.get(limit - 1));
    reply::ok(&Page {
        next: next.map(|owner| owner.owner.to_string()),
        items: owners.iter().take(limit).map(body).collect(),
    })
}

async fn create(api: Api, call: Call) -> Answer {
    let mut fields = Fields::of(&call.body)?;
    let name: Option<Name> = fields.required("name", required_text);
    fields.finish()?;
    let name = name.ok_or_else(incomplete)?;
    let owner = api.engine.create_owner(&call.caller, name).await?;
    let path = format!("/api/owners/{}/tokens", owner.owner);
    let made = reply::located(reply::json(StatusCode::CREATED, &body(&owner)), &path);
    reply::unlogged(made)
}

async fn list_tokens(api: Api, call: Call) -> Answer {
    let id = owner_of(&call)?;
    call.query.finish()?;
    let tokens = api.engine.tokens(id).await;
    let tokens = tokens.ok_or_else(|| Problem::not_found("owner"))?;
    let token = |token: &TokenView| {
        json!({
            "tokenId": token.token_id,
            "name": token.name,
            "scopes": token.scopes,
            "expiresAt": token.expires_at,
            "lastUsedAt": token.last_used_at,
            "issuedAt": token.issued_at,
        })
    };
    reply::ok(&Page {
        items: tokens.iter().map(token).collect(),
        next: None,
    })
}

/// For ever: the owner's names cannot be read again. Its entry stays, since the log names it.
async fn erase(api: Api, call: Call) -> Answer {
    let owner = owner_of(&call)?;
    api.engine.erase_owner(&call.caller, owner).await?;
    Ok(reply::no_content())
}

async fn issue(api: Api, call: Call) -> Answer {
    let owner = owner_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let name: Option<Name> = fields.required("name", required_text);
    let scopes = fields.optional("scopes", scopes);
    let expires_at = fields.optional("expiresAt", parsed);
    fields.finish()?;
    let name = name.ok_or_else(incomplete)?;
    let scopes = scopes.unwrap_or_else(|| Scope::DEFAULT.to_vec());
    let (token, hash) = new_token(&*api.entropy);
    let wish = TokenWish {
        name: name.clone(),
        hash,
        scopes: scopes.clone(),
        expires_at,
    };
    let id = api.engine.issue_token(&call.caller, owner, wish).await?;
    let body = json!({
        "tokenId": id, "name": name, "token": token, "scopes": scopes, "expiresAt": expires_at,
    });
    reply::unlogged(reply::json(StatusCode::CREATED, &body))
}

/// Scopes in their order, each once.
fn scopes(value: &Value) -> Result<Vec<Scope>, String> {
    let mut scopes: Vec<Scope> = serde_json::from_value(value.clone()).map_err(|_| {
        "it must be a list of: read, trade, webhooks, prices, jobs, admin".to_owned()
    })?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err("a token needs at least one scope".to_owned());
    }
    Ok(scopes)
}

async fn revoke(api: Api, call: Call) -> Answer {
    let (owner, token) = (owner_of(&call)?, call.id(1, "token")?);
    api.engine.revoke_token(&call.caller, owner, token).await?;
    Ok(reply::no_content())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_known_words() {
        let read = |value: Value| scopes(&value).ok();
        assert_eq!(
            read(json!(["trade", "read", "trade"])),
            Some(vec![Scope::Read, Scope::Trade])
        );
        for wrong in [json!([]), json!(["root"]), json!("read"), json!([1])] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
