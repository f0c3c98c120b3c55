//! Owners and tokens: a read model of the log for authentication, and its one writer.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use evenkeel_domain::Event;
use evenkeel_domain::access::{self, AccessCommand, AccessEvent, AccessRefusal, Owner, Scope};
use evenkeel_domain::values::{OwnerId, Personal, Timestamp, TokenId};

use crate::engine::EngineError;
use crate::journal::Origin;
use crate::ports::PersonalField;
use crate::shell::Shell;
use crate::streams;

/// A token that is not revoked: whose it is and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) owner: OwnerId,
    pub(crate) token: TokenId,
    pub(crate) scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
    /// When it was accepted last, in microseconds; zero for not since the start.
    used_us: Arc<AtomicI64>,
}

impl Identity {
    fn is_in_force(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
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
    fn read(&self) -> RwLockReadGuard<'_, Books> {
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who a token belongs to, if it is in force.
    pub(crate) fn identify(&self, hash: &[u8; 32], now: Timestamp) -> Option<Identity> {
        let books = self.read();
        let found = books.tokens.get(hash).filter(|it| it.is_in_force(now))?;
        found.used_us.store(now.as_micros(), Ordering::Relaxed);
        Some(found.clone())
    }

    /// When a token was accepted last; none for not since the start.
    pub(crate) fn last_used(&self, hash: &[u8; 32]) -> Option<Timestamp> {
        let books = self.read();
        let used_us = books.tokens.get(hash)?.used_us.load(Ordering::Relaxed);
        (used_us != 0).then(|| Timestamp::from_micros(used_us))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.read()
            .owners
            .values()
            .all(|(owner, _)| owner.is_none())
    }

    pub(crate) fn owner(&self, id: OwnerId) -> Option<Owner> {
        self.read().owners.get(&id)?.0.clone()
    }

    /// Owners after one, in the order of their ids.
    pub(crate) fn owners(&self, after: Option<OwnerId>, limit: usize) -> Vec<Owner> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let books = self.read();
        let owners = books.owners.range((from, Bound::Unbounded));
        owners
            .filter_map(|(_, (owner, _))| owner.clone())
            .take(limit)
            .collect()
    }

    pub(crate) fn erased(&self) -> Vec<OwnerId> {
        let books = self.read();
        let owners = books
            .owners
            .values()
            .filter_map(|(owner, _)| owner.as_ref());
        owners
            .filter(|owner| owner.erased_at.is_some())
            .map(|owner| owner.owner)
            .collect()
    }

    pub(crate) fn is_erased(&self, id: OwnerId) -> bool {
        let owner = |(owner, _): &(Option<Owner>, u64)| owner.as_ref()?.erased_at;
        self.read().owners.get(&id).and_then(owner).is_some()
    }

    /// Whether an owner has admin tokens and nobody else has one.
    fn is_last_admin(&self, id: OwnerId, now: Timestamp) -> bool {
        let books = self.read();
        let admins = books.tokens.values().filter(|token| token.is_in_force(now));
        let mut admins = admins
            .filter(|token| token.scopes.contains(&Scope::Admin))
            .peekable();
        admins.peek().is_some() && admins.all(|token| token.owner == id)
    }

    /// Adopts an event from the log.
    pub(crate) fn adopt(&self, id: OwnerId, version: u64, event: &AccessEvent) {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let entry = books.owners.entry(id).or_default();
        let revoked: Vec<[u8; 32]> = match (event, &entry.0) {
            (AccessEvent::TokenRevoked(revoked), Some(owner)) => {
                let token = owner.tokens.get(&revoked.token_id);
                token.map(|token| token.hash).into_iter().collect()
            }
            (AccessEvent::OwnerErased(_), Some(owner)) => {
                owner.tokens.values().map(|token| token.hash).collect()
            }
            _ => Vec::new(),
        };
        access::apply(&mut entry.0, event);
        entry.1 = version;
        for hash in revoked {
            books.tokens.remove(&hash);
        }
        if let AccessEvent::TokenIssued(issued) = event {
            let identity = Identity {
                owner: id,
                token: issued.token_id,
                scopes: issued.scopes.clone(),
                expires_at: issued.expires_at,
                used_us: Arc::default(),
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
        self.run(shell, id, commands, origin).await
    }

    /// Erases an owner that nothing hangs on.
    pub(crate) async fn erase(
        &self,
        shell: &Shell,
        id: OwnerId,
        origin: &Origin,
    ) -> Result<(), EngineError> {
        let _one_at_a_time = self.writing.lock().await;
        let indexes = shell.directory.owned_by(id);
        let webhooks = shell.webhooks.owned_by(id);
        if indexes + webhooks > 0 {
            return Err(EngineError::OwnerInUse { indexes, webhooks });
        }
        if self.is_last_admin(id, shell.now()) {
            return Err(EngineError::LastAdmin);
        }
        let command = vec![AccessCommand::EraseOwner];
        self.run(shell, id, command, origin).await.map(|_| ())
    }

    async fn run(
        &self,
        shell: &Shell,
        id: OwnerId,
        commands: Vec<AccessCommand>,
        origin: &Origin,
    ) -> Result<Owner, EngineError> {
        let (mut owner, mut version) = self.read().owners.get(&id).cloned().unwrap_or_default();
        let mut events = Vec::new();
        for command in commands {
            for mut event in access::decide(owner.as_ref(), command, shell.now())? {
                seal(shell, id, &mut event).await?;
                access::apply(&mut owner, &event);
                events.push(event);
            }
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
        let owner = owner.ok_or(EngineError::Access(AccessRefusal::OwnerNotFound))?;
        // Also when nothing was appended: the one who erased it may have failed here.
        if owner.erased_at.is_some() {
            shell.personal.forget(id).await?;
        }
        Ok(owner)
    }
}

/// Seals the personal text of an event. A key is made for a command that is accepted, never for
/// one that is refused, and before the event that needs it.
async fn seal(shell: &Shell, owner: OwnerId, event: &mut AccessEvent) -> Result<(), EngineError> {
    let field = match event {
        AccessEvent::OwnerCreated(_) => PersonalField::OwnerName,
        AccessEvent::TokenIssued(_) => PersonalField::TokenName,
        AccessEvent::TokenRevoked(_) | AccessEvent::OwnerErased(_) => return Ok(()),
    };
    if let Some(personal) = event.personal()
        && let Personal::Plain(name) = personal
    {
        let sealed = shell.personal.seal(owner, field, name.as_str()).await?;
        *personal = Personal::Sealed(sealed);
    }
    Ok(())
}
