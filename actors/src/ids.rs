//! New ids: UUIDs of version 7, made from the injected clock and randomness.

use std::sync::Arc;

use evenkeel_domain::values::Timestamp;
use uuid::Builder;

use crate::ports::{Clock, Entropy};

/// Makes ids.
#[derive(Clone)]
pub(crate) struct Ids {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Ids {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// 128 bits that sort by time.
    pub(crate) fn next(&self) -> u128 {
        uuid_v7(self.clock.now(), &*self.entropy)
    }

    /// From 0 to 999.
    pub(crate) fn permille(&self) -> u16 {
        u16::try_from(self.entropy.next_u64() % 1_000).unwrap_or_default()
    }
}

/// A UUID of version 7 (RFC 9562): milliseconds, then 74 random bits.
pub fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> u128 {
    let millis = u64::try_from(now.as_micros().div_euclid(1_000)).unwrap_or_default();
    let mut random = [0; 10];
    random[..8].copy_from_slice(&entropy.next_u64().to_be_bytes());
    random[8..].copy_from_slice(&entropy.next_u64().to_be_bytes()[..2]);
    Builder::from_unix_timestamp_millis(millis, &random)
        .into_uuid()
        .as_u128()
}
