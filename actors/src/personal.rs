//! Personal text of engines whose log is in memory: kept apart from the log, as long as the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use evenkeel_domain::values::{OwnerId, Sealed};

use crate::ports::{KeysError, PersonalField, PersonalKeys};

/// What an owner's texts are found by: the field and a number.
type Texts = BTreeMap<(PersonalField, u64), String>;

/// Keeps the texts themselves; what is sealed is a number. It seals nothing for a log on disk,
/// which would outlive it.
#[derive(Debug, Default)]
pub struct MemoryKeys(Mutex<(u64, BTreeMap<OwnerId, Texts>)>);

impl MemoryKeys {
    /// A poisoned lock is used on: each change is one insertion or removal.
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<OwnerId, Texts>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PersonalKeys for MemoryKeys {
    async fn seal(
        &self,
        owner: OwnerId,
        field: PersonalField,
        text: &str,
    ) -> Result<Sealed, KeysError> {
        let mut kept = self.lock();
        kept.0 += 1;
        let number = kept.0;
        let texts = kept.1.entry(owner).or_default();
        texts.insert((field, number), text.to_owned());
        Sealed::new(number.to_be_bytes().to_vec()).map_err(|error| KeysError {
            owner,
            reason: error.to_string(),
        })
    }

    async fn open(&self, owner: OwnerId, field: PersonalField, sealed: &Sealed) -> Option<String> {
        let number = u64::from_be_bytes(sealed.as_bytes().try_into().ok()?);
        self.lock().1.get(&owner)?.get(&(field, number)).cloned()
    }

    async fn forget(&self, owner: OwnerId) -> Result<(), KeysError> {
        self.lock().1.remove(&owner);
        Ok(())
    }
}
