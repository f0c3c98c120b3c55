//! The fold of an index's stream. Total: it never refuses and never panics.
//!
//! A sum that does not fit keeps the value before. `decide` refuses such commands, so that this
//! is only reached by a log that was written by something else.

use rust_decimal::Decimal;

use super::{
    Funds, Holding, Index, IndexCreated, IndexEvent, IndexReconciled, PendingTransfer, Status,
    TransferSettled,
};
use crate::plan::Side;
use crate::rebalance::{Rebalance, RebalanceEvent, TradeExecuted};
use crate::trading::TradingMode;
use crate::values::{Amount, Asset, Quantity, Timestamp, TransferId};

/// Adopts an event of the index. Total: an event before the first `Created` changes nothing.
pub fn apply(index: &mut Option<Index>, event: &IndexEvent) {
    if let IndexEvent::Created(created) = event {
        index.get_or_insert_with(|| Index::created(created));
        return;
    }
    let Some(index) = index else { return };
    match event {
        IndexEvent::Created(_) => {}
        IndexEvent::Updated(e) => {
            index.definition = e.definition.clone();
            index.noticed_seq = None;
            index.updated_at = e.at;
        }
        IndexEvent::Paused(e) => index.enter(Status::Paused, e.at),
        IndexEvent::Resumed(e) => index.enter(Status::Active, e.at),
        IndexEvent::Deleted(e) => index.enter(Status::Deleted, e.at),
        IndexEvent::Deposited(e) => {
            if index.status == Status::Pending {
                index.enter(Status::Active, e.at);
            }
            index.investment_due |= e.invest && matches!(e.funds, Funds::Cash(_));
            index.transfer(e.transfer_id, e.funds, true);
        }
        IndexEvent::Withdrawn(e) => {
            index.transfer(e.transfer_id, e.funds, false);
            // Where no cash is left, nothing waits to be invested.
            index.investment_due &= index.cash.is_positive();
        }
        IndexEvent::TransferSettled(TransferSettled { transfer_id, .. }) => {
            index.transfers.retain(|t| t.transfer_id != *transfer_id);
        }
        IndexEvent::DriftDetected(e) => {
            index.noticed_seq = Some(e.prices_seq);
            index.skipped = None;
        }
        IndexEvent::ThresholdExceeded(_)
        | IndexEvent::BandBreached(_)
        | IndexEvent::CheckRecovered(_) => index.skipped = None,
        IndexEvent::CheckSkipped(e) => index.skipped = Some(e.reason.clone()),
        IndexEvent::TradingModeSet(e) => index.mode = e.mode,
        IndexEvent::Reconciled(e) => index.reconcile(e),
    }
}

/// Adopts an event of a rebalance: the saga's state, and holdings and cash for a trade.
pub fn apply_rebalance(index: &mut Option<Index>, event: &RebalanceEvent) {
    if let Some(index) = index {
        index.adopt_rebalance(event);
    }
}

impl Index {
    fn created(created: &IndexCreated) -> Self {
        Self {
            index_id: created.index_id,
            owner: created.owner,
            definition: created.definition.clone(),
            status: Status::Pending,
            holdings: Vec::new(),
            cash: Amount::ZERO,
            last_rebalanced_at: None,
            investment_due: false,
            transfers: Vec::new(),
            rebalance: None,
            noticed_seq: None,
            skipped: None,
            mode: TradingMode::Active,
            created_at: created.at,
            updated_at: created.at,
        }
    }

    fn enter(&mut self, status: Status, at: Timestamp) {
        self.status = status;
        self.skipped = None;
        self.updated_at = at;
    }

    fn transfer(&mut self, transfer_id: TransferId, funds: Funds, incoming: bool) {
        match funds {
            Funds::Cash(amount) => self.move_cash(signed(amount.get(), incoming)),
            Funds::Asset(asset, quantity) => {
                self.move_asset(asset, signed(quantity.get(), incoming));
            }
        }
        self.transfers.push(PendingTransfer {
            transfer_id,
            funds,
            incoming,
        });
    }

    fn reconcile(&mut self, reconciled: &IndexReconciled) {
        self.noticed_seq = None;
        self.cash = reconciled.cash_after;
        for line in &reconciled.holdings {
            self.hold(line.asset, line.after);
        }
        // Where no cash is left, nothing waits to be invested.
        self.investment_due &= self.cash.is_positive();
    }

    fn move_cash(&mut self, change: Decimal) {
        self.noticed_seq = None;
        if let Some(cash) = self.cash.get().checked_add(change) {
            self.cash = Amount::new(cash);
        }
    }

    fn move_asset(&mut self, asset: Asset, change: Decimal) {
        self.noticed_seq = None;
        let held = self.quantity(asset).get();
        let Some(quantity) = held.checked_add(change).map(Quantity::new) else {
            return;
        };
        self.hold(asset, quantity);
    }

    fn hold(&mut self, asset: Asset, quantity: Quantity) {
        let place = self.holdings.binary_search_by_key(&asset, |h| h.asset);
        match place {
            Ok(at) if quantity.is_positive() => {
                if let Some(holding) = self.holdings.get_mut(at) {
                    holding.quantity = quantity;
                }
            }
            Ok(at) => {
                self.holdings.remove(at);
            }
            Err(at) if quantity.is_positive() => {
                // Tens of thousands of indexes live at once: no room for twice the holdings.
                self.holdings.reserve_exact(1);
                self.holdings.insert(at, Holding { asset, quantity });
            }
            Err(_) => {}
        }
    }

    pub(crate) fn adopt_rebalance(&mut self, event: &RebalanceEvent) {
        if let RebalanceEvent::Started(started) = event {
            self.rebalance = Some(Box::new(Rebalance::started(started)));
            self.investment_due = false;
            self.skipped = None;
        }
        if let RebalanceEvent::TradeExecuted(trade) = event {
            self.book(trade);
        }
        if let Some(rebalance) = &mut self.rebalance {
            rebalance.adopt(event);
        }
        match event {
            RebalanceEvent::Completed(e) => self.end_rebalance(e.trades, e.at),
            RebalanceEvent::Failed(e) => self.end_rebalance(e.trades, e.at),
            RebalanceEvent::Cancelled(e) => self.end_rebalance(e.trades, e.at),
            RebalanceEvent::Started(_)
            | RebalanceEvent::Approved(_)
            | RebalanceEvent::OrderIntended(_)
            | RebalanceEvent::OrderAccepted(_)
            | RebalanceEvent::TradeExecuted(_)
            | RebalanceEvent::TradeFailed(_)
            | RebalanceEvent::Stuck(_)
            | RebalanceEvent::Replanned(_)
            | RebalanceEvent::CancelRequested(_) => {}
        }
    }

    fn book(&mut self, trade: &TradeExecuted) {
        let incoming = trade.side == Side::Buy;
        self.move_asset(trade.asset, signed(trade.quantity.get(), incoming));
        self.move_asset(trade.asset, signed(trade.base_fee.get(), false));
        self.move_cash(signed(trade.notional.get(), !incoming));
        self.move_cash(signed(trade.fee.get(), false));
    }

    fn end_rebalance(&mut self, trades: u32, at: Timestamp) {
        self.rebalance = None;
        if trades > 0 {
            self.last_rebalanced_at = Some(at);
        }
    }
}

fn signed(value: Decimal, incoming: bool) -> Decimal {
    if incoming { value } else { -value }
}
