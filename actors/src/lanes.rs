//! Lanes: how many attempts of all subscriptions are under way at once, and whose turn is next.
//!
//! ```text
//! a subscription's only attempt ─┬─► first    512   the last one was taken, or it has made none
//!                                └─► failing  256   the last one failed
//! one more beside it ──────────────► further  256   only while one is free; nobody waits here
//! ```
//! A place is held while the receiver is waited for. Receivers that hang fill their own lane:
//! who takes what it is sent finds a place at once. Those that wait in a lane are served owner by
//! owner, and each has one attempt there: neither an owner with a thousand subscriptions nor an
//! endpoint with a million events pushes others back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel_domain::values::OwnerId;
use tokio::sync::oneshot;

/// Attempts under way in all: each holds a connection and a body, which makes some 64 KiB at most
/// and 64 MiB together.
pub(crate) const ATTEMPTS_UNDER_WAY_MAX: usize = 1_024;

/// Of those, the ones of subscriptions whose last attempt failed: a quarter.
const FAILING_MAX: usize = ATTEMPTS_UNDER_WAY_MAX / 4;

/// Of those, the ones beside another of the same subscription: a quarter.
const FURTHER_MAX: usize = ATTEMPTS_UNDER_WAY_MAX / 4;

/// Where the attempts of all subscriptions find their places.
#[derive(Debug)]
pub(crate) struct Lanes {
    first: Arc<Lane>,
    failing: Arc<Lane>,
    further: Arc<Lane>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            first: Lane::new(ATTEMPTS_UNDER_WAY_MAX - FAILING_MAX - FURTHER_MAX),
            failing: Lane::new(FAILING_MAX),
            further: Lane::new(FURTHER_MAX),
        }
    }
}

impl Lanes {
    /// A turn in the lane of a subscription's only attempt: what comes out of it is the place.
    pub(crate) fn queue(&self, owner: OwnerId, is_failing: bool) -> oneshot::Receiver<Place> {
        let lane = if is_failing {
            &self.failing
        } else {
            &self.first
        };
        Lane::queue(lane, owner)
    }

    /// Whether [`Lanes::further`] would give a place now.
    pub(crate) fn has_further(&self) -> bool {
        self.further.state().free > 0
    }

    /// A place for one more attempt of a subscription that has one under way, if one is free.
    pub(crate) fn further(&self) -> Option<Place> {
        Lane::take(&self.further)
    }
}

/// A place in a lane; the next one has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Lane>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            lane.state().free += 1;
            Lane::serve(&lane);
        }
    }
}

#[derive(Debug)]
struct Lane(Mutex<Turns>);

#[derive(Debug)]
struct Turns {
    free: usize,
    /// Owners with somebody waiting, in the order of their turns.
    owners: VecDeque<OwnerId>,
    waiting: HashMap<OwnerId, VecDeque<oneshot::Sender<Place>>>,
}

impl Turns {
    /// Who is next; its owner goes to the end of the row.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let owner = self.owners.pop_front()?;
        let of_owner = self.waiting.get_mut(&owner)?;
        let next = of_owner.pop_front();
        if of_owner.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.owners.push_back(owner);
        }
        next
    }
}

impl Lane {
    fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Turns {
            free: places,
            owners: VecDeque::new(),
            waiting: HashMap::new(),
        })))
    }

    /// No call can fail while the lock is held, so a poisoned one is used on.
    fn state(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(lane: &Arc<Self>, owner: OwnerId) -> oneshot::Receiver<Place> {
        let (turn, place) = oneshot::channel();
        {
            let mut state = lane.state();
            let of_owner = state.waiting.entry(owner).or_default();
            let is_new = of_owner.is_empty();
            of_owner.push_back(turn);
            if is_new {
                state.owners.push_back(owner);
            }
        }
        Self::serve(lane);
        place
    }

    fn take(lane: &Arc<Self>) -> Option<Place> {
        let mut state = lane.state();
        state.free = state.free.checked_sub(1)?;
        Some(Place(Some(Arc::clone(lane))))
    }

    /// Hands out what is free. A place whose taker has gone comes back here.
    fn serve(lane: &Arc<Self>) {
        loop {
            let turn = {
                let mut state = lane.state();
                if state.free == 0 {
                    return;
                }
                let Some(turn) = state.next() else { return };
                state.free -= 1;
                turn
            };
            if let Err(mut place) = turn.send(Place(Some(Arc::clone(lane)))) {
                place.0 = None;
                lane.state().free += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a failed expectation ends the test"
    )]

    use super::*;

    fn owner(n: u128) -> OwnerId {
        OwnerId::from_u128(n)
    }

    #[test]
    fn owners_take_turns_however_many_wait_for_one_of_them() {
        let lane = Lane::new(1);
        let held = Lane::take(&lane).unwrap();
        let mut crowd: VecDeque<_> = (0..5).map(|_| Lane::queue(&lane, owner(1))).collect();
        let mut alone = Lane::queue(&lane, owner(2));
        assert!(alone.try_recv().is_err());
        drop(held);
        let first_of_crowd = crowd.pop_front().unwrap().try_recv().unwrap();
        drop(first_of_crowd);
        let place = alone.try_recv().expect("its turn comes second, not sixth");
        assert!(crowd[0].try_recv().is_err());
        drop(place);
        assert!(crowd[0].try_recv().is_ok());
    }

    #[test]
    fn a_place_whose_taker_has_gone_goes_to_the_next() {
        let lane = Lane::new(1);
        let held = Lane::take(&lane).unwrap();
        drop(Lane::queue(&lane, owner(1)));
        let given_and_dropped = Lane::queue(&lane, owner(2));
        let mut last = Lane::queue(&lane, owner(3));
        drop(held);
        assert!(last.try_recv().is_err());
        drop(given_and_dropped);
        assert!(last.try_recv().is_ok());
        assert_eq!(lane.state().free, 1);
    }

    #[test]
    fn failing_ones_fill_no_lane_but_their_own() {
        let lanes = Lanes::default();
        let hanging: Vec<_> = (0..2 * ATTEMPTS_UNDER_WAY_MAX)
            .map(|_| lanes.queue(owner(1), true))
            .collect();
        let mut healthy = lanes.queue(owner(1), false);
        assert!(healthy.try_recv().is_ok());
        let further: Vec<_> = std::iter::from_fn(|| lanes.further()).collect();
        assert_eq!(further.len(), FURTHER_MAX);
        drop(hanging);
    }
}
