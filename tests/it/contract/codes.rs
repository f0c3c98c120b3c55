//! The codes of refusals that clients are told of.

use std::collections::BTreeMap;

use evenkeel::http::problem::Code;

/// Every code and its status: what clients branch on. A line may be added, never changed.
const CODES: [(&str, u16); 52] = [
    ("malformed_json", 400),
    ("malformed_request", 400),
    ("unauthorized", 401),
    ("forbidden", 403),
    ("not_found", 404),
    ("method_not_allowed", 405),
    ("request_timeout", 408),
    ("exists", 409),
    ("index_pending", 409),
    ("index_active", 409),
    ("index_paused", 409),
    ("rebalance_running", 409),
    ("rebalance_not_running", 409),
    ("rebalance_not_stuck", 409),
    ("order_not_open", 409),
    ("fill_does_not_fit", 409),
    ("rebalance_illegal", 409),
    ("approval_expired", 409),
    ("trading_halted", 409),
    ("transfer_pending", 409),
    ("insufficient_cash", 409),
    ("insufficient_holding", 409),
    ("account_in_use", 409),
    ("no_value", 409),
    ("price_unavailable", 409),
    ("not_push_feed", 409),
    ("delivery_not_open", 409),
    ("owner_in_use", 409),
    ("owner_erased", 409),
    ("limit_reached", 409),
    ("concurrent_update", 409),
    ("idempotency_answer_not_kept", 409),
    ("idempotency_key_running", 409),
    ("idempotency_outcome_unknown", 409),
    ("version_mismatch", 412),
    ("body_too_large", 413),
    ("unsupported_media_type", 415),
    ("validation_failed", 422),
    ("weights_do_not_sum", 422),
    ("duplicate_asset", 422),
    ("unknown_asset", 422),
    ("unknown_account", 422),
    ("schedule_invalid", 422),
    ("url_not_allowed", 422),
    ("webhook_test_failed", 422),
    ("number_too_large", 422),
    ("idempotency_key_reused", 422),
    ("busy", 429),
    ("internal", 500),
    ("log_failed", 503),
    ("unavailable", 503),
    ("stopping", 503),
];

#[test]
fn codes_and_their_statuses_are_those_that_clients_know() {
    let known: BTreeMap<&str, u16> = CODES.into_iter().collect();
    let are = Code::ALL.iter();
    let are: BTreeMap<&str, u16> = are
        .map(|code| (code.as_str(), code.status().as_u16()))
        .collect();
    assert_eq!(are, known);
}
