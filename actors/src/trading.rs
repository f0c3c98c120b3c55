//! The kill switch for all indexes: its read model, and its one writer.

use std::sync::{Mutex, PoisonError};

use evenkeel_domain::Event;
use evenkeel_domain::trading::{SwitchReason, Trading, TradingEvent, TradingMode};
use evenkeel_events::Version;

use crate::engine::EngineError;
use crate::journal::Origin;
use crate::shell::Shell;
use crate::streams;
use crate::switch::Switch;

/// The switch for all indexes.
#[derive(Debug, Default)]
pub(crate) struct TradingBook {
    pub(crate) switch: Switch,
    state: Mutex<(Trading, Version)>,
    writing: tokio::sync::Mutex<()>,
}

impl TradingBook {
    pub(crate) fn state(&self) -> Trading {
        self.read().0
    }

    fn read(&self) -> (Trading, Version) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adopts an event from the log, before anybody can pass.
    pub(crate) async fn adopt(&self, version: Version, event: &TradingEvent) {
        self.keep(version, event);
        self.switch.close().await.set(self.state().mode);
    }

    fn keep(&self, version: Version, event: &TradingEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.apply(event);
        state.1 = version;
    }

    /// Sets the switch. When this returns it is durable, and no order that it forbids is sent
    /// any more; orders that are being sent are waited for.
    pub(crate) async fn set(
        &self,
        shell: &Shell,
        mode: TradingMode,
        reason: SwitchReason,
        origin: &Origin,
    ) -> Result<Trading, EngineError> {
        let _one_at_a_time = self.writing.lock().await;
        let closed = self.switch.close().await;
        let (_, version) = self.read();
        let event = Trading::set(mode, reason, shell.now());
        let logged = [Event::Trading(event.clone())];
        let version = shell
            .journal
            .append(&streams::trading(), version, &logged, origin)
            .await
            .map_err(|error| EngineError::Log(error.to_string()))?;
        self.keep(version, &event);
        closed.set(mode);
        Ok(self.state())
    }
}
