//! Owners and tokens: a read model of the log for authentication, and its one writer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use evenkeel_domain::Event;
use evenkeel_domain::access::{self, AccessCommand, AccessEvent, AccessRefusal, Owner, Scope};
use evenkeel_domain::values::{OwnerId, TokenId};

use crate::engine::EngineError;
use crate::journal::Origin;
use crate::shell::Shell;
use crate::streams;

/// A token in force: whose it is and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) owner: OwnerId,
    pub(crate) token: TokenId,
    pub(crate) scopes: Vec<Scope>,
}

/// All owners.
#[derive(Debug, Default)]
struct Books {
    owners: BTreeMap<OwnerId, (Option<Owner>, u64)>,
    /// By SHA-256 of the token: the attacker would have to steer a hash to learn from timing.
    tokens: HashMap<[u8; 32], Identity>,
}

/// The book of owners and tokens.
#[derive(Debug, Default)]
pub(crate) struct AccessBook {
    books: RwLock<Books>,
    writing: tokio::sync::Mutex<()>,
}

impl AccessBook {
    pub(crate) fn identify(&self, hash: &[u8; 32]) -> Option<Identity> {
        self.books
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .tokens
            .get(hash)
            .cloned()
    }

    pub(crate) fn owners(&self) -> Vec<Owner> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        books
            .owners
            .values()
            .filter_map(|(owner, _)| owner.clone())
            .collect()
    }

    /// Adopts an event from the log.
    pub(crate) fn adopt(&self, id: OwnerId, version: u64, event: &AccessEvent) {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let entry = books.owners.entry(id).or_default();
        let revoked = match (event, &entry.0) {
            (AccessEvent::TokenRevoked(revoked), Some(owner)) => {
                owner.tokens.get(&revoked.token_id).map(|token| token.hash)
            }
            _ => None,
        };
        access::apply(&mut entry.0, event);
        entry.1 = version;
        if let Some(hash) = revoked {
            books.tokens.remove(&hash);
        }
        if let AccessEvent::TokenIssued(issued) = event {
            let identity = Identity {
                owner: id,
                token: issued.token_id,
                scopes: issued.scopes.clone(),
            };
            books.tokens.insert(issued.hash, identity);
        }
    }

    /// Decides, appends, adopts; one command at a time.
    pub(crate) async fn execute(
        &self,
        shell: &Shell,
        id: OwnerId,
        commands: Vec<AccessCommand>,
        origin: &Origin,
    ) -> Result<Owner, EngineError> {
        let _one_at_a_time = self.writing.lock().await;
        let (mut owner, mut version) = {
            let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
            books.owners.get(&id).cloned().unwrap_or_default()
        };
        let mut events = Vec::new();
        for command in commands {
            let decided = access::decide(owner.as_ref(), command, shell.now())?;
            for event in &decided {
                access::apply(&mut owner, event);
            }
            events.extend(decided);
        }
        let logged: Vec<Event> = events.iter().cloned().map(Event::Access).collect();
        if !logged.is_empty() {
            let appended = shell
                .journal
                .append(&streams::owner(id), version, &logged, origin)
                .await;
            appended.map_err(|error| EngineError::Log(error.to_string()))?;
        }
        for event in &events {
            version += 1;
            self.adopt(id, version, event);
        }
        owner.ok_or(EngineError::Access(AccessRefusal::OwnerNotFound))
    }
}
