//! The directory: who owns what, rebuilt from the log at start and kept by the actors.
//!
//! It holds what lists, authorisation and dispatch need to know of an index without asking its
//! actor. It is a read model: never consulted for a decision about money.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use evenkeel_domain::index::{Definition, Status};
use evenkeel_domain::values::{Asset, IndexId, OwnerId, WebhookId};

/// What the directory knows of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) owner: OwnerId,
    pub(crate) name: Box<str>,
    pub(crate) status: Status,
    pub(crate) tags: Box<[Box<str>]>,
}

impl Entry {
    pub(crate) fn new(owner: OwnerId, definition: &Definition, status: Status) -> Self {
        Self {
            owner,
            name: definition.name.as_str().into(),
            status,
            tags: definition
                .tags
                .iter()
                .map(|tag| tag.as_str().into())
                .collect(),
        }
    }
}

/// All indexes, deleted ones too: their events may still be on the way to subscribers.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: RwLock<BTreeMap<IndexId, Entry>>,
}

impl Directory {
    /// A panic while the lock was held cannot leave an entry half written: each write is one
    /// insertion. So a poisoned lock is used on.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<IndexId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<IndexId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owner(&self, id: IndexId) -> Option<OwnerId> {
        self.read()
            .get(&id)
            .filter(|e| e.status != Status::Deleted)
            .map(|e| e.owner)
    }

    pub(crate) fn owned_by(&self, owner: OwnerId) -> usize {
        self.read()
            .values()
            .filter(|e| e.owner == owner && e.status != Status::Deleted)
            .count()
    }
}

/// All assets that some index needs a price for. It only grows: a price too many does no harm.
#[derive(Debug, Default)]
pub(crate) struct Universe {
    assets: RwLock<BTreeSet<Asset>>,
}

impl Universe {
    /// Adds assets; true when one is new.
    pub(crate) fn extend(&self, assets: &[Asset]) -> bool {
        let known = self.all();
        if assets.iter().all(|asset| known.contains(asset)) {
            return false;
        }
        drop(known);
        self.assets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(assets);
        true
    }

    pub(crate) fn all(&self) -> RwLockReadGuard<'_, BTreeSet<Asset>> {
        self.assets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which subscriptions there are and whose.
#[derive(Debug, Default)]
pub(crate) struct WebhookBook {
    owners: RwLock<BTreeMap<WebhookId, OwnerId>>,
}

impl WebhookBook {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<WebhookId, OwnerId>> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<WebhookId, OwnerId>> {
        self.owners.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owned_by(&self, owner: OwnerId) -> usize {
        self.read().values().filter(|of| **of == owner).count()
    }

    pub(crate) fn known(&self) -> Vec<WebhookId> {
        self.read().keys().copied().collect()
    }
}
