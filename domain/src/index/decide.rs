//! Commands of an index, why they are refused, and the events that they lead to.

use super::{
    Definition, DefinitionError, Deposited, Funds, Holding, Index, IndexCreated, IndexDeleted,
    IndexEvent, IndexPaused, IndexResumed, IndexUpdated, Status, TradingModeSet, TransferSettled,
    Withdrawn, reconcile,
};
use crate::trading::{SwitchReason, TradingMode};
use crate::values::{
    Amount, ArithmeticError, Asset, IndexId, OwnerId, Quantity, RebalanceId, Timestamp, TransferId,
};

/// Transfers of one index that the venue may not know of yet: bounds what a silent venue
/// can pile up in the state.
pub const TRANSFERS_MAX: usize = 16;

/// What an owner may ask of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexCommand {
    /// Define it; the definition has been validated.
    Create {
        /// Its id, made by the caller.
        index_id: IndexId,
        /// Its owner.
        owner: OwnerId,
        /// Its definition.
        definition: Definition,
    },
    /// Replace the definition; it has been validated.
    Update {
        /// The new definition.
        definition: Definition,
    },
    /// Stop watching.
    Pause,
    /// Watch again.
    Resume,
    /// Delete; refused while a rebalance runs.
    Delete,
    /// Book funds that came in.
    Deposit {
        /// The transfer, made by the caller.
        transfer_id: TransferId,
        /// What came in.
        funds: Funds,
        /// Whether to invest it.
        invest: bool,
    },
    /// Book funds that go out.
    Withdraw {
        /// The transfer, made by the caller.
        transfer_id: TransferId,
        /// What goes out.
        funds: Funds,
    },
    /// The venue knows of a transfer.
    SettleTransfer {
        /// The transfer.
        transfer_id: TransferId,
    },
    /// Book what the venue holds, where the books say something else.
    Reconcile {
        /// Cash at the venue.
        cash: Amount,
        /// Holdings at the venue, each asset once.
        holdings: Vec<Holding>,
    },
    /// Set the index's own kill switch.
    SetTradingMode {
        /// What shall hold.
        mode: TradingMode,
        /// Why.
        reason: SwitchReason,
    },
}

/// Why a command was refused. Nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexRefusal {
    /// There is no such index.
    #[error("there is no such index")]
    NotFound,
    /// The id is taken.
    #[error("the index exists already")]
    Exists,
    /// The definition does not hold together.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The status does not allow it.
    #[error("the index is {status:?}, {action} is not possible")]
    Status {
        /// The status.
        status: Status,
        /// What was asked.
        action: &'static str,
    },
    /// A rebalance is running.
    #[error("rebalance {0} is running; try again when it has ended")]
    RebalanceRunning(RebalanceId),
    /// A transfer is on its way to the venue.
    #[error("transfer {0} has not reached the venue yet; try again shortly")]
    TransferPending(TransferId),
    /// An amount of zero or less.
    #[error("the amount must be greater than 0")]
    NotPositive,
    /// More cash than there is.
    #[error("{asked} of cash was asked for, {available} is there")]
    InsufficientCash {
        /// What was asked for.
        asked: Amount,
        /// What is there.
        available: Amount,
    },
    /// More of an asset than there is.
    #[error("{asked} of {asset} was asked for, {available} is there")]
    InsufficientHolding {
        /// The asset.
        asset: Asset,
        /// What was asked for.
        asked: Quantity,
        /// What is there.
        available: Quantity,
    },
    /// The account cannot change while the index has holdings or cash.
    #[error("the account cannot change while the index has funds")]
    AccountInUse,
    /// The venue reports less than nothing.
    #[error("the venue reports a negative balance; an index cannot have one")]
    NegativeBalance,
    /// Too many transfers on their way.
    #[error("{0} transfers have not reached the venue yet; try again when they have")]
    TooManyTransfers(usize),
    /// A number that does not fit.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// Which events a command leads to.
pub fn decide(
    index: Option<&Index>,
    command: IndexCommand,
    now: Timestamp,
) -> Result<Vec<IndexEvent>, IndexRefusal> {
    match (index, command) {
        (None, command) => create(command, now),
        (Some(_), IndexCommand::Create { .. }) => Err(IndexRefusal::Exists),
        (Some(index), _) if index.status == Status::Deleted => Err(IndexRefusal::NotFound),
        (Some(index), command) => decide_existing(index, command, now),
    }
}

fn create(command: IndexCommand, at: Timestamp) -> Result<Vec<IndexEvent>, IndexRefusal> {
    let IndexCommand::Create {
        index_id,
        owner,
        definition,
    } = command
    else {
        return Err(IndexRefusal::NotFound);
    };
    Ok(vec![IndexEvent::Created(IndexCreated {
        index_id,
        owner,
        definition: definition.validated()?,
        at,
    })])
}

fn decide_existing(
    index: &Index,
    command: IndexCommand,
    at: Timestamp,
) -> Result<Vec<IndexEvent>, IndexRefusal> {
    let event = match command {
        IndexCommand::Create { .. } => return Err(IndexRefusal::Exists),
        IndexCommand::Update { definition } => update(index, definition, at)?,
        IndexCommand::Pause => {
            require_status(index, Status::Active, "pausing")?;
            IndexEvent::Paused(IndexPaused { at })
        }
        IndexCommand::Resume => {
            require_status(index, Status::Paused, "resuming")?;
            IndexEvent::Resumed(IndexResumed { at })
        }
        IndexCommand::Delete => {
            require_no_rebalance(index)?;
            require_no_transfer(index)?;
            IndexEvent::Deleted(IndexDeleted { at })
        }
        // Asked again before it is settled, a transfer is booked already and changes nothing.
        IndexCommand::Deposit { transfer_id, .. } | IndexCommand::Withdraw { transfer_id, .. }
            if is_booked(index, transfer_id) =>
        {
            return Ok(Vec::new());
        }
        IndexCommand::Deposit {
            transfer_id,
            funds,
            invest,
        } => deposit(index, transfer_id, funds, invest, at)?,
        IndexCommand::Withdraw { transfer_id, funds } => withdraw(index, transfer_id, funds, at)?,
        IndexCommand::SettleTransfer { transfer_id } if !is_booked(index, transfer_id) => {
            return Ok(Vec::new());
        }
        IndexCommand::SettleTransfer { transfer_id } => {
            IndexEvent::TransferSettled(TransferSettled { transfer_id, at })
        }
        IndexCommand::Reconcile { cash, holdings } => {
            return reconcile::at_rest(index, cash, &holdings, at);
        }
        IndexCommand::SetTradingMode { mode, reason } => {
            IndexEvent::TradingModeSet(TradingModeSet { mode, reason, at })
        }
    };
    Ok(vec![event])
}

fn update(
    index: &Index,
    definition: Definition,
    at: Timestamp,
) -> Result<IndexEvent, IndexRefusal> {
    let definition = definition.validated()?;
    let moves = definition.account != index.definition.account;
    if moves
        || definition.constituents != index.definition.constituents
        || definition.cash_percentage != index.definition.cash_percentage
    {
        require_no_rebalance(index)?;
    }
    if moves && index.has_funds() {
        return Err(IndexRefusal::AccountInUse);
    }
    Ok(IndexEvent::Updated(IndexUpdated { definition, at }))
}

fn deposit(
    index: &Index,
    transfer_id: TransferId,
    funds: Funds,
    invest: bool,
    at: Timestamp,
) -> Result<IndexEvent, IndexRefusal> {
    require_positive(funds)?;
    require_room(index)?;
    let invest = match funds {
        Funds::Cash(amount) => {
            index.cash.add(amount)?;
            invest
        }
        // A running rebalance works with the prices of the assets that it began with, so
        // another asset waits; cash is only more to buy with.
        Funds::Asset(asset, quantity) => {
            require_no_rebalance(index)?;
            index.quantity(asset).add(quantity)?;
            false
        }
    };
    Ok(IndexEvent::Deposited(Deposited {
        transfer_id,
        funds,
        invest,
        at,
    }))
}

fn withdraw(
    index: &Index,
    transfer_id: TransferId,
    funds: Funds,
    at: Timestamp,
) -> Result<IndexEvent, IndexRefusal> {
    require_positive(funds)?;
    require_no_rebalance(index)?;
    require_room(index)?;
    match funds {
        Funds::Cash(asked) if asked > index.cash => {
            let available = index.cash;
            return Err(IndexRefusal::InsufficientCash { asked, available });
        }
        Funds::Asset(asset, asked) if asked > index.quantity(asset) => {
            return Err(IndexRefusal::InsufficientHolding {
                asset,
                asked,
                available: index.quantity(asset),
            });
        }
        Funds::Cash(_) | Funds::Asset(..) => {}
    }
    Ok(IndexEvent::Withdrawn(Withdrawn {
        transfer_id,
        funds,
        at,
    }))
}

fn require_status(index: &Index, status: Status, action: &'static str) -> Result<(), IndexRefusal> {
    if index.status == status {
        return Ok(());
    }
    Err(IndexRefusal::Status {
        status: index.status,
        action,
    })
}

pub(super) fn require_no_rebalance(index: &Index) -> Result<(), IndexRefusal> {
    match &index.rebalance {
        Some(rebalance) => Err(IndexRefusal::RebalanceRunning(rebalance.rebalance_id)),
        None => Ok(()),
    }
}

pub(super) fn require_no_transfer(index: &Index) -> Result<(), IndexRefusal> {
    match index.transfers.first() {
        Some(transfer) => Err(IndexRefusal::TransferPending(transfer.transfer_id)),
        None => Ok(()),
    }
}

fn require_positive(funds: Funds) -> Result<(), IndexRefusal> {
    let positive = match funds {
        Funds::Cash(amount) => amount.is_positive(),
        Funds::Asset(_, quantity) => quantity.is_positive(),
    };
    positive.then_some(()).ok_or(IndexRefusal::NotPositive)
}

fn require_room(index: &Index) -> Result<(), IndexRefusal> {
    match index.transfers.len() {
        pending if pending < TRANSFERS_MAX => Ok(()),
        pending => Err(IndexRefusal::TooManyTransfers(pending)),
    }
}

/// Whether a transfer is booked and not settled.
fn is_booked(index: &Index, transfer_id: TransferId) -> bool {
    index
        .transfers
        .iter()
        .any(|transfer| transfer.transfer_id == transfer_id)
}
