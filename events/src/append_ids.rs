//! Which appends were already made: an append that carries an id can be repeated safely.
//!
//! The window is derived from the frames: the first event of a named append carries its id and
//! how many events belong to it. The last [`APPEND_IDS_KEPT`] are known, also after a restart.

use std::collections::{HashMap, VecDeque};

use crate::frame::EventView;
use crate::log::{Appended, Position};

/// How many named appends are remembered, the newest ones: some two megabytes. A repetition
/// comes within seconds or minutes, after a lost reply or a crash, not after thousands of others.
pub const APPEND_IDS_KEPT: usize = 16_384;

/// The name of an append, chosen by its writer and never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppendId(pub u128);

/// Where a named append begins, and how many events belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedAppend {
    /// Position of its first event.
    pub first: Position,
    /// Its name.
    pub id: AppendId,
    /// How many events it has.
    pub events: u64,
}

/// A named append of which not all events were seen yet.
#[derive(Debug)]
struct Begun {
    id: AppendId,
    stream: String,
    appended: Appended,
}

/// The window.
#[derive(Debug, Default)]
pub(crate) struct AppendIds {
    by_id: HashMap<AppendId, Appended>,
    arrivals: VecDeque<AppendId>,
    begun: Option<Begun>,
}

impl AppendIds {
    /// Where the append of this name came to stand.
    pub(crate) fn get(&self, id: AppendId) -> Option<&Appended> {
        self.by_id.get(&id)
    }

    pub(crate) fn insert(&mut self, id: AppendId, appended: Appended) {
        if self.by_id.insert(id, appended).is_none() {
            self.arrivals.push_back(id);
        }
        if self.arrivals.len() > APPEND_IDS_KEPT
            && let Some(oldest) = self.arrivals.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    /// Takes the next event of the log, at open.
    pub(crate) fn see(&mut self, event: &EventView<'_>) {
        if let Some((id, count)) = event.append {
            let last: Position = event.position.saturating_add(count.saturating_sub(1));
            self.begun = Some(Begun {
                id,
                stream: String::new(),
                appended: Appended {
                    first: event.position,
                    last,
                    versions: Vec::new(),
                },
            });
        }
        let Some(begun) = &mut self.begun else {
            return;
        };
        // A batch names each stream once: another stream is the batch's next part.
        let versions = &mut begun.appended.versions;
        match versions.last_mut() {
            Some(version) if begun.stream == event.stream => *version = event.version,
            _ => {
                versions.push(event.version);
                event.stream.clone_into(&mut begun.stream);
            }
        }
        if begun.appended.last == event.position
            && let Some(Begun { id, appended, .. }) = self.begun.take()
        {
            self.insert(id, appended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_the_newest_and_no_more() {
        let mut ids = AppendIds::default();
        let appended = |n| Appended {
            first: n,
            last: n,
            versions: vec![n],
        };
        let kept = APPEND_IDS_KEPT as u64;
        for n in 0..kept + 10 {
            ids.insert(AppendId(n.into()), appended(n));
        }
        assert_eq!(ids.get(AppendId(9)), None);
        assert_eq!(ids.get(AppendId(10)), Some(&appended(10)));
        assert_eq!(
            (ids.by_id.len(), ids.arrivals.len()),
            (APPEND_IDS_KEPT, APPEND_IDS_KEPT)
        );
    }
}
