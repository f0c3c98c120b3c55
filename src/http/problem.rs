//! What a client is told when something is refused: RFC 9457 problem details with a stable code.
//!
//! ```json
//! {"type":"urn:evenkeel:problem:weights_do_not_sum","title":"Weights do not sum to 100",
//!  "status":422,"code":"weights_do_not_sum","detail":"the percentages … sum to 99, …",
//!  "errors":[{"field":"constituents","code":"weights_do_not_sum","detail":"…"}]}
//! ```
//!
//! `code` never changes its meaning; `detail` is for people and may change. Codes of validation
//! have status 422, refusals that depend on the state of the resource 409.

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response as HttpResponse, StatusCode};
use serde::Serialize;
use warp::reply::Response;

/// The media type of every refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($name:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// Every code there is, with its status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status that goes with the code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The code in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not usable JSON";
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request cannot be read";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid token is needed";
    Forbidden = "forbidden", FORBIDDEN, "The token lacks a scope";
    NotFound = "not_found", NOT_FOUND, "Not found";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not know this method";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    Exists = "exists", CONFLICT, "It exists already";
    IndexPending = "index_pending", CONFLICT, "The index has no funds yet";
    IndexActive = "index_active", CONFLICT, "The index is active";
    IndexPaused = "index_paused", CONFLICT, "The index is paused";
    RebalanceRunning = "rebalance_running", CONFLICT, "A rebalance is running";
    RebalanceNotRunning = "rebalance_not_running", CONFLICT, "The rebalance is not running";
    RebalanceNotStuck = "rebalance_not_stuck", CONFLICT, "The rebalance is not stuck";
    OrderNotOpen = "order_not_open", CONFLICT, "The order is not open";
    FillDoesNotFit = "fill_does_not_fit", CONFLICT, "The fill does not fit the books";
    RebalanceIllegal = "rebalance_illegal", CONFLICT, "The rebalance is in another phase";
    ApprovalExpired = "approval_expired", CONFLICT, "The time for an approval has passed";
    TradingHalted = "trading_halted", CONFLICT, "Trading is halted";
    TransferPending = "transfer_pending", CONFLICT, "A transfer has not reached the venue yet";
    InsufficientCash = "insufficient_cash", CONFLICT, "There is not that much cash";
    InsufficientHolding = "insufficient_holding", CONFLICT, "There is not that much of the asset";
    AccountInUse = "account_in_use", CONFLICT, "The account cannot change while there are funds";
    NoValue = "no_value", CONFLICT, "The index has no value yet";
    PriceUnavailable = "price_unavailable", CONFLICT, "An asset has no usable price";
    NotPushFeed = "not_push_feed", CONFLICT, "Prices are not pushed here";
    DeliveryNotOpen = "delivery_not_open", CONFLICT, "The delivery is not open";
    OwnerInUse = "owner_in_use", CONFLICT, "The owner cannot be erased yet";
    OwnerErased = "owner_erased", CONFLICT, "The owner is erased";
    LimitReached = "limit_reached", CONFLICT, "A limit on how many is reached";
    ConcurrentUpdate = "concurrent_update", CONFLICT, "It was changed at the same time";
    IdempotencyKeyRunning = "idempotency_key_running", CONFLICT, "The first request with this key still runs";
    IdempotencyAnswerNotKept = "idempotency_answer_not_kept", CONFLICT, "The answer was not kept";
    IdempotencyOutcomeUnknown = "idempotency_outcome_unknown", CONFLICT, "What became of the first request with this key is unknown";
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED, "It is at another version";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, "A field breaks a rule";
    WeightsDoNotSum = "weights_do_not_sum", UNPROCESSABLE_ENTITY, "Weights do not sum to 100";
    DuplicateAsset = "duplicate_asset", UNPROCESSABLE_ENTITY, "An asset stands more than once";
    UnknownAsset = "unknown_asset", UNPROCESSABLE_ENTITY, "The feed can never price this asset";
    UnknownAccount = "unknown_account", UNPROCESSABLE_ENTITY, "No venue has this account";
    ScheduleInvalid = "schedule_invalid", UNPROCESSABLE_ENTITY, "The schedule is no schedule";
    UrlNotAllowed = "url_not_allowed", UNPROCESSABLE_ENTITY, "The URL is not allowed";
    WebhookTestFailed = "webhook_test_failed", UNPROCESSABLE_ENTITY, "The test delivery failed";
    NumberTooLarge = "number_too_large", UNPROCESSABLE_ENTITY, "A number does not fit";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The key was used for another request";
    Busy = "busy", TOO_MANY_REQUESTS, "Too much at once";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is broken here";
    LogFailed = "log_failed", SERVICE_UNAVAILABLE, "The log failed";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Not available right now";
    Stopping = "stopping", SERVICE_UNAVAILABLE, "The server is stopping";
}

impl Code {
    /// Whether a command that ended so may have taken effect all the same.
    pub const fn leaves_outcome_unknown(self) -> bool {
        matches!(self, Self::Internal | Self::LogFailed | Self::Unavailable)
    }

    /// After how many seconds it is worth trying again, where it is.
    const fn retry_after_secs(self) -> Option<u64> {
        match self {
            Self::Busy | Self::Unavailable => Some(1),
            Self::Stopping => Some(5),
            _ => None,
        }
    }
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, as a path: `constituents[1].percentage`.
    pub field: String,
    /// Which rule.
    pub code: &'static str,
    /// The rule in words.
    pub detail: String,
}

impl FieldError {
    /// A field that breaks a rule.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            code,
            detail: detail.into(),
        }
    }
}

/// A refusal on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its stable code.
    pub code: Code,
    /// What happened, for people.
    pub detail: String,
    /// Which fields break which rules.
    pub errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a refusal.
#[derive(Serialize)]
struct Details<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A refusal with a sentence for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// There is no such thing, or it is another owner's.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Fields that break rules; `code` is the first one's where that is one of ours.
    pub fn fields(code: Code, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => code.title().to_owned(),
            [one] if one.field.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.field, one.detail),
            [first, rest @ ..] => {
                format!(
                    "{}: {} (and {} more)",
                    first.field,
                    first.detail,
                    rest.len()
                )
            }
        };
        let mut problem = Self::new(code, detail);
        problem.errors = errors;
        problem
    }

    /// One field that breaks a rule which has a code of its own.
    pub fn field(code: Code, field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(code, detail.clone());
        problem.errors = vec![FieldError::new(field, code.as_str(), detail)];
        problem
    }

    /// No token, or none that is in force.
    pub fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self::new(Code::Unauthorized, detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A method that the path does not know.
    pub fn method_not_allowed(allow: HeaderValue) -> Self {
        let known = allow.to_str().unwrap_or_default();
        let detail = format!("this path knows {known}");
        Self::new(Code::MethodNotAllowed, detail).with_header(ALLOW, allow)
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(&self) -> Vec<u8> {
        let details = Details {
            r#type: format!("urn:evenkeel:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
        };
        // Strings and numbers always serialise; an empty body would still carry the status.
        serde_json::to_vec(&details).unwrap_or_default()
    }

    /// The response.
    pub fn into_response(self) -> Response {
        self.response()
    }

    /// The response with any kind of body.
    pub fn response<B: From<Vec<u8>>>(self) -> HttpResponse<B> {
        let mut response = HttpResponse::new(B::from(self.body()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(secs) = self.code.retry_after_secs() {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        headers.extend(
            self.headers
                .into_iter()
                .map(|(name, value)| (Some(name), value)),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_snake_case_and_refusals() {
        let mut seen = BTreeSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} stands twice");
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{text}"
            );
            assert!(code.status().as_u16() >= 400, "{text}");
            assert!(!code.title().is_empty());
        }
    }

    #[test]
    fn a_problem_is_told_in_full() {
        let problem = Problem::field(Code::WeightsDoNotSum, "constituents", "they sum to 99");
        let response: HttpResponse<Vec<u8>> = problem.response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:evenkeel:problem:weights_do_not_sum",
                "title": "Weights do not sum to 100",
                "status": 422,
                "code": "weights_do_not_sum",
                "detail": "they sum to 99",
                "errors": [{"field": "constituents", "code": "weights_do_not_sum", "detail": "they sum to 99"}],
            })
        );
    }

    #[test]
    fn what_passes_says_when_to_try_again() {
        for (code, secs) in [
            (Code::Busy, "1"),
            (Code::Unavailable, "1"),
            (Code::Stopping, "5"),
        ] {
            let response: HttpResponse<Vec<u8>> = Problem::new(code, "later").response();
            assert_eq!(response.headers()[RETRY_AFTER], secs);
        }
    }
}
