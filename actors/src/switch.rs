//! The kill switches as orders meet them: whoever sends one passes, whoever sets one waits until
//! all that have passed are through. So no order is sent after the setter's acknowledgement.

use evenkeel_domain::trading::TradingMode;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

/// A kill switch.
#[derive(Debug)]
pub(crate) struct Switch {
    /// Held for reading while an order is being sent.
    passing: RwLock<()>,
    mode: watch::Sender<TradingMode>,
}

/// While it is there, the switch that was passed does not change.
pub(crate) struct Pass<'a> {
    _passing: RwLockReadGuard<'a, ()>,
    pub(crate) mode: TradingMode,
}

/// A switch that nobody passes until it is set or dropped.
pub(crate) struct Closed<'a> {
    _closed: RwLockWriteGuard<'a, ()>,
    mode: &'a watch::Sender<TradingMode>,
}

impl Default for Switch {
    fn default() -> Self {
        Self::new(TradingMode::default())
    }
}

impl Switch {
    pub(crate) fn new(mode: TradingMode) -> Self {
        Self {
            passing: RwLock::new(()),
            mode: watch::Sender::new(mode),
        }
    }

    pub(crate) fn mode(&self) -> TradingMode {
        *self.mode.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<TradingMode> {
        self.mode.subscribe()
    }

    /// The mode, which stays until the pass is dropped.
    pub(crate) async fn pass(&self) -> Pass<'_> {
        let passing = self.passing.read().await;
        Pass {
            _passing: passing,
            mode: self.mode(),
        }
    }

    /// Lets nobody pass any more, and waits for those who have.
    pub(crate) async fn close(&self) -> Closed<'_> {
        Closed {
            _closed: self.passing.write().await,
            mode: &self.mode,
        }
    }
}

impl Closed<'_> {
    pub(crate) fn set(self, mode: TradingMode) {
        self.mode.send_replace(mode);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_setter_waits_for_who_has_passed_and_holds_back_who_comes_later() {
        let switch = Switch::default();
        let passed = switch.pass().await;
        let mut closing = Box::pin(switch.close());
        assert!(closing.as_mut().now_or_never().is_none(), "one is passing");
        let mut later = Box::pin(switch.pass());
        assert!(later.as_mut().now_or_never().is_none(), "a setter waits");
        drop(passed);
        closing.await.set(TradingMode::Halted);
        assert_eq!(later.await.mode, TradingMode::Halted);
    }

    #[tokio::test]
    async fn a_setter_that_gives_up_changes_nothing() {
        let switch = Switch::new(TradingMode::Reducing);
        drop(switch.close().await);
        assert_eq!(switch.pass().await.mode, TradingMode::Reducing);
    }
}
