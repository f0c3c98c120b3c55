//! Every event of the domain. What the log stores is the struct inside; its layout is frozen.

use crate::access::AccessEvent;
use crate::index::IndexEvent;
use crate::job::JobEvent;
use crate::market::MarketEvent;
use crate::rebalance::RebalanceEvent;
use crate::request::RequestEvent;
use crate::trading::TradingEvent;
use crate::webhook::WebhookEvent;

/// An event of any aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An index: definition, funds, checks.
    Index(IndexEvent),
    /// A rebalance; stands in the stream of its index, so that a trade and the holdings
    /// that it changes are one append.
    Rebalance(RebalanceEvent),
    /// Prices.
    Market(MarketEvent),
    /// A job and its runs.
    Job(JobEvent),
    /// A webhook subscription and its deliveries.
    Webhook(WebhookEvent),
    /// Owners and tokens.
    Access(AccessEvent),
    /// The kill switch for all indexes.
    Trading(TradingEvent),
    /// A request that may be sent again.
    Request(RequestEvent),
}

#[cfg(test)]
mod tests;
