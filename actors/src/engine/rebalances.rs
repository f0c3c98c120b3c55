//! Rebalances and the kill switches: what people decide, and what there is to look at.

use evenkeel_domain::index::IndexCommand;
use evenkeel_domain::plan::InstrumentRules;
use evenkeel_domain::rebalance::{OrderOutcome, Reason};
use evenkeel_domain::trading::{SwitchReason, Trading, TradingMode};
use evenkeel_domain::values::{Asset, IndexId, RebalanceId};
use tokio::sync::oneshot;

use super::{Caller, Engine, EngineError, IndexView, answered};
use crate::books::RebalanceRecord;
use crate::index::{Decision, DecisionRequest, IndexMsg};

/// Rebalances read at once while one is looked for.
const PAGE: usize = 64;

impl Engine {
    /// A rebalance of an index, ended ones too.
    pub async fn rebalance_record(
        &self,
        caller: &Caller,
        id: IndexId,
        rebalance_id: RebalanceId,
    ) -> Result<RebalanceRecord, EngineError> {
        let mut before = None;
        loop {
            let page = self.rebalances(caller, id, before, PAGE).await?;
            let mut items = page.items.into_iter();
            if let Some(found) = items.find(|record| record.rebalance_id == rebalance_id) {
                return Ok(found);
            }
            match page.next {
                Some(next) => before = Some(next),
                None => return Err(EngineError::NotFound("rebalance")),
            }
        }
    }

    /// Lets a rebalance run that waits for approval.
    pub async fn approve_rebalance(
        &self,
        caller: &Caller,
        id: IndexId,
        rebalance_id: RebalanceId,
    ) -> Result<IndexView, EngineError> {
        self.decide(caller, id, rebalance_id, Decision::Approve)
            .await
    }

    /// Calls a rebalance off: at once while it waits for approval, else when the order that is on
    /// its way is closed. What was filled stays.
    pub async fn cancel_rebalance(
        &self,
        caller: &Caller,
        id: IndexId,
        rebalance_id: RebalanceId,
        reason: Reason,
    ) -> Result<IndexView, EngineError> {
        self.decide(caller, id, rebalance_id, Decision::Cancel(reason))
            .await
    }

    /// Says what became of the order that a stuck rebalance waits for.
    pub async fn resolve_rebalance(
        &self,
        caller: &Caller,
        id: IndexId,
        rebalance_id: RebalanceId,
        step: u32,
        outcome: OrderOutcome,
    ) -> Result<IndexView, EngineError> {
        self.decide(caller, id, rebalance_id, Decision::Resolve(step, outcome))
            .await
    }

    async fn decide(
        &self,
        caller: &Caller,
        id: IndexId,
        rebalance_id: RebalanceId,
        decision: Decision,
    ) -> Result<IndexView, EngineError> {
        let _place = self.admit()?;
        let owner = self.allowed(caller, id)?;
        let (reply, answer) = oneshot::channel();
        let request = DecisionRequest {
            rebalance_id,
            decision,
            origin: caller.origin(Some(owner)),
            reply,
        };
        self.to_index(id, IndexMsg::Decide(Box::new(request)))?;
        answered("the index", answer).await
    }

    /// The kill switch for all indexes.
    pub fn trading(&self) -> Trading {
        self.shell().trading.state()
    }

    /// Sets the kill switch for all indexes. When this returns, it is durable, and no order that
    /// it forbids is sent any more: orders that are being sent are waited for.
    pub async fn set_trading(
        &self,
        caller: &Caller,
        mode: TradingMode,
        reason: SwitchReason,
    ) -> Result<Trading, EngineError> {
        let _place = self.admit()?;
        let shell = self.shell();
        let origin = caller.origin(None);
        shell.trading.set(shell, mode, reason, &origin).await
    }

    /// Sets the kill switch of one index, with the same promise.
    pub async fn set_index_trading(
        &self,
        caller: &Caller,
        id: IndexId,
        mode: TradingMode,
        reason: SwitchReason,
    ) -> Result<IndexView, EngineError> {
        let command = IndexCommand::SetTradingMode { mode, reason };
        self.command(caller, id, command, None).await
    }

    /// What the venue of an account demands of an order in an asset.
    pub fn instrument_rules(
        &self,
        account: &str,
        asset: Asset,
    ) -> Result<InstrumentRules, EngineError> {
        let venue = self.shell().venues.get(account);
        let venue = venue.ok_or(EngineError::NotFound("account"))?;
        Ok(venue.rules(asset))
    }
}
