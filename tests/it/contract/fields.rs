//! The fields that clients are told of. One may be added, none may go.

/// Numbers that count things; every other quantity is a string.
pub const COUNTS: [&str; 27] = [
    "count",
    "version",
    "position",
    "payloadVersion",
    "step",
    "trades",
    "pendingTransfers",
    "runs",
    "checked",
    "drifted",
    "exceeded",
    "rebalancesStarted",
    "skipped",
    "failed",
    "succeeded",
    "coalesced",
    "durationMs",
    "averageMs",
    "maxMs",
    "lastMs",
    "ratePerSecond",
    "failureCount",
    "accepted",
    "attempts",
    "attempt",
    "status",
    "statusCode",
];

/// `/api/indexes/{id}/drift`.
pub const DRIFT: [&str; 8] = [
    "indexId",
    "asOf",
    "totalValue",
    "drift",
    "turnover",
    "threshold",
    "exceeded",
    "assets",
];

/// An item of `/api/indexes/{id}/drift/history`.
pub const DRIFT_FOUND: [&str; 5] = ["at", "drift", "threshold", "exceeded", "totalValue"];

/// `/api/trading`.
pub const TRADING: [&str; 3] = ["mode", "reason", "since"];

/// `/api/indexes/{id}/trading`.
pub const INDEX_TRADING: [&str; 3] = ["mode", "allIndexes", "effective"];

/// `/api/accounts/{account}/instruments/{asset}`.
pub const INSTRUMENT: [&str; 3] = ["account", "asset", "rules"];

/// What a venue demands and charges.
pub const RULES: [&str; 4] = ["lotStep", "minNotional", "fee", "slippage"];

/// A plan.
pub const PLAN: [&str; 2] = ["orders", "skipped"];

/// An order of a plan.
pub const PLANNED_ORDER: [&str; 5] = ["asset", "side", "quantity", "price", "notional"];

/// What a plan is expected to cost.
pub const COST: [&str; 4] = ["fee", "slippage", "total", "orders"];

/// What one order is expected to cost.
pub const ORDER_COST: [&str; 4] = ["asset", "side", "fee", "slippage"];

/// An order of a rebalance.
pub const ORDER: [&str; 9] = [
    "clientOrderId",
    "step",
    "asset",
    "side",
    "quantity",
    "price",
    "limit",
    "status",
    "intendedAt",
];

/// A rebalance.
pub const REBALANCE: [&str; 12] = [
    "rebalanceId",
    "trigger",
    "status",
    "driftBefore",
    "driftAfter",
    "approvalUntil",
    "plan",
    "orders",
    "trades",
    "reason",
    "startedAt",
    "endedAt",
];

/// A trade.
pub const TRADE: [&str; 12] = [
    "rebalanceId",
    "step",
    "status",
    "asset",
    "side",
    "quantity",
    "price",
    "notional",
    "fee",
    "baseFee",
    "reason",
    "at",
];

/// A delivery.
pub const DELIVERY: [&str; 6] = [
    "deliveryId",
    "position",
    "status",
    "attempts",
    "statusCode",
    "at",
];

/// A job.
pub const JOB: [&str; 5] = ["name", "schedule", "timezone", "enabled", "next"];

/// A run of a job.
pub const RUN: [&str; 8] = [
    "runId",
    "status",
    "checked",
    "drifted",
    "exceeded",
    "rebalancesStarted",
    "skipped",
    "durationMs",
];

/// An index.
pub const INDEX: [&str; 21] = [
    "indexId",
    "owner",
    "name",
    "description",
    "tags",
    "account",
    "status",
    "cashPercentage",
    "activeRebalanceId",
    "pendingTransfers",
    "tradingMode",
    "skipped",
    "constituents",
    "holdings",
    "cash",
    "rebalancing",
    "risk",
    "lastRebalancedAt",
    "version",
    "createdAt",
    "updatedAt",
];

/// An event of the audit.
pub const EVENT: [&str; 9] = [
    "position",
    "stream",
    "version",
    "type",
    "at",
    "owner",
    "correlation",
    "causation",
    "data",
];

/// A subscription.
pub const WEBHOOK: [&str; 10] = [
    "webhookId",
    "url",
    "events",
    "description",
    "enabled",
    "failureCount",
    "lastTriggeredAt",
    "disabledReason",
    "createdAt",
    "updatedAt",
];
