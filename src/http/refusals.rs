//! Which code each refusal of the engine has. Exhaustive: a new refusal does not compile without.

use evenkeel_actors::EngineError;
use evenkeel_domain::access::AccessRefusal;
use evenkeel_domain::drift::DriftError;
use evenkeel_domain::index::{DefinitionError, IndexRefusal, Status};
use evenkeel_domain::job::JobRefusal;
use evenkeel_domain::rebalance::RebalanceRefusal;
use evenkeel_domain::schedule::ScheduleError;
use evenkeel_domain::webhook::{FilterError, WebhookRefusal};

use super::problem::{Code, FieldError, Problem};

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::NotFound(_) => Self::new(Code::NotFound, detail),
            EngineError::Index(refusal) => refusal.into(),
            EngineError::Rebalance(refusal) => refusal.into(),
            EngineError::Definition(error) => error.into(),
            EngineError::Drift(error) => error.into(),
            EngineError::Webhook(refusal) => refusal.into(),
            EngineError::Job(refusal) => refusal.into(),
            EngineError::Access(refusal) => refusal.into(),
            EngineError::UnknownAccount { .. } => {
                Self::field(Code::UnknownAccount, "account", detail)
            }
            EngineError::UnknownAsset(_) => Self::field(Code::UnknownAsset, "constituents", detail),
            EngineError::Url(_) => Self::field(Code::UrlNotAllowed, "url", detail),
            EngineError::Seal(_) => Self::field(Code::ValidationFailed, "secret", detail),
            EngineError::WebhookTest(_) => Self::new(Code::WebhookTestFailed, detail),
            EngineError::TooMany { .. } => Self::new(Code::LimitReached, detail),
            EngineError::VersionMismatch { .. } => Self::new(Code::VersionMismatch, detail),
            EngineError::NotPushFeed => Self::new(Code::NotPushFeed, detail),
            EngineError::Busy => Self::new(Code::Busy, detail),
            EngineError::Unavailable(_) => Self::new(Code::Unavailable, detail),
            EngineError::Stopping => Self::new(Code::Stopping, detail),
            EngineError::Log(_) => hidden(Code::LogFailed, &detail),
            EngineError::OwnerInUse { .. } | EngineError::LastAdmin => {
                Self::new(Code::OwnerInUse, detail)
            }
            EngineError::Keys(_) | EngineError::Setting { .. } => hidden(Code::Internal, &detail),
        }
    }
}

/// A failure whose words are for the operator: they can name files and hosts.
fn hidden(code: Code, detail: &str) -> Problem {
    tracing::error!(error = detail, "a request failed inside");
    Problem::new(
        code,
        "the server's log says more; find it by the X-Request-Id of this answer",
    )
}

impl From<IndexRefusal> for Problem {
    fn from(refusal: IndexRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            IndexRefusal::NotFound => Self::new(Code::NotFound, detail),
            IndexRefusal::Exists => Self::new(Code::Exists, detail),
            IndexRefusal::Definition(error) => error.into(),
            IndexRefusal::Status { status, action } => in_status(status, action),
            IndexRefusal::RebalanceRunning(_) => Self::new(Code::RebalanceRunning, detail),
            IndexRefusal::TransferPending(_) | IndexRefusal::TooManyTransfers(_) => {
                Self::new(Code::TransferPending, detail)
            }
            IndexRefusal::NegativeBalance => Self::new(Code::ValidationFailed, detail),
            IndexRefusal::NotPositive => Self::field(Code::ValidationFailed, "amount", detail),
            IndexRefusal::InsufficientCash { .. } => {
                Self::field(Code::InsufficientCash, "amount", detail)
            }
            IndexRefusal::InsufficientHolding { .. } => {
                Self::field(Code::InsufficientHolding, "quantity", detail)
            }
            IndexRefusal::AccountInUse => Self::field(Code::AccountInUse, "account", detail),
            IndexRefusal::Arithmetic(_) => Self::new(Code::NumberTooLarge, detail),
        }
    }
}

impl From<RebalanceRefusal> for Problem {
    fn from(refusal: RebalanceRefusal) -> Self {
        let detail = refusal.to_string();
        let code = match &refusal {
            RebalanceRefusal::NotRunning | RebalanceRefusal::NotThisOne(_) => {
                Code::RebalanceNotRunning
            }
            RebalanceRefusal::AlreadyRunning(_) => Code::RebalanceRunning,
            RebalanceRefusal::NotStuck(_) => Code::RebalanceNotStuck,
            RebalanceRefusal::NotOpen(_) => return Self::field(Code::OrderNotOpen, "step", detail),
            RebalanceRefusal::Illegal(_) => Code::RebalanceIllegal,
            RebalanceRefusal::Halted => Code::TradingHalted,
            RebalanceRefusal::ApprovalExpired(_) => Code::ApprovalExpired,
            RebalanceRefusal::Arithmetic(_) => Code::NumberTooLarge,
        };
        Self::new(code, detail)
    }
}

fn in_status(status: Status, action: &str) -> Problem {
    let (code, word) = match status {
        Status::Pending => (Code::IndexPending, "has no funds yet"),
        Status::Active => (Code::IndexActive, "is active"),
        Status::Paused => (Code::IndexPaused, "is paused"),
        Status::Deleted => return Problem::not_found("index"),
    };
    Problem::new(code, format!("the index {word}: {action} is not possible"))
}

impl From<DefinitionError> for Problem {
    fn from(error: DefinitionError) -> Self {
        let detail = error.to_string();
        let (code, field) = match &error {
            DefinitionError::WeightsSum { .. } => (Code::WeightsDoNotSum, "constituents"),
            DefinitionError::DuplicateAsset(_) => (Code::DuplicateAsset, "constituents"),
            DefinitionError::NoConstituents
            | DefinitionError::TooManyConstituents(_)
            | DefinitionError::TargetNotPositive(_)
            | DefinitionError::Band { .. }
            | DefinitionError::AllLocked => (Code::ValidationFailed, "constituents"),
            DefinitionError::CashTarget(_) => (Code::ValidationFailed, "cashPercentage"),
            DefinitionError::Threshold(_) => (Code::ValidationFailed, "rebalancing.driftThreshold"),
            DefinitionError::Interval(field) | DefinitionError::Limit { field, .. } => {
                let field = nested(field);
                return Self::fields(
                    Code::ValidationFailed,
                    vec![FieldError::new(field, "out_of_range", detail)],
                );
            }
            DefinitionError::TooManyTags(_) => (Code::ValidationFailed, "tags"),
        };
        Self::field(code, field, detail)
    }
}

/// Where a field of a definition stands in the body.
fn nested(field: &str) -> String {
    match field {
        "minInterval" | "maxInterval" | "driftThreshold" | "approval" | "destination" => {
            format!("rebalancing.{field}")
        }
        "minTradeNotional" | "maxTradeNotional" | "maxSlippage" | "minTradePercent"
        | "maxTurnover" | "cashBuffer" => format!("risk.{field}"),
        other => other.to_owned(),
    }
}

impl From<DriftError> for Problem {
    fn from(error: DriftError) -> Self {
        let code = match error {
            DriftError::Price(..) => Code::PriceUnavailable,
            DriftError::NoValue => Code::NoValue,
            DriftError::Arithmetic(_) => Code::NumberTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WebhookRefusal> for Problem {
    fn from(refusal: WebhookRefusal) -> Self {
        let code = match refusal {
            WebhookRefusal::NotFound => Code::NotFound,
            WebhookRefusal::Exists => Code::Exists,
            WebhookRefusal::NotOpen => Code::DeliveryNotOpen,
            WebhookRefusal::TooManyRedeliveries => Code::LimitReached,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        let code = match error {
            FilterError::UnknownType { .. } | FilterError::Empty | FilterError::TooMany(_) => {
                Code::ValidationFailed
            }
        };
        Self::field(code, "events", error.to_string())
    }
}

impl From<JobRefusal> for Problem {
    fn from(refusal: JobRefusal) -> Self {
        match refusal {
            JobRefusal::NotFound => Self::new(Code::NotFound, refusal.to_string()),
            JobRefusal::Schedule(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let field = match error {
            ScheduleError::Syntax { .. } | ScheduleError::Never(_) => "schedule",
            ScheduleError::Timezone(_) => "timezone",
        };
        Self::field(Code::ScheduleInvalid, field, error.to_string())
    }
}

impl From<AccessRefusal> for Problem {
    fn from(refusal: AccessRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            AccessRefusal::OwnerNotFound | AccessRefusal::TokenNotFound => {
                Self::new(Code::NotFound, detail)
            }
            AccessRefusal::OwnerExists => Self::new(Code::Exists, detail),
            AccessRefusal::OwnerErased => Self::new(Code::OwnerErased, detail),
            AccessRefusal::NoScopes => Self::field(Code::ValidationFailed, "scopes", detail),
            AccessRefusal::Expired => Self::field(Code::ValidationFailed, "expiresAt", detail),
            AccessRefusal::TooManyTokens => Self::new(Code::LimitReached, detail),
        }
    }
}
