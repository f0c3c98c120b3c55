//! `/api/prices`: the push feed, and all prices as a cycle sees them now.

use evenkeel_domain::access::Scope;
use evenkeel_domain::market::{PriceProblem, RecordPrices, Source};
use evenkeel_domain::values::{Asset, Price, Span, Timestamp};
use http::Method;
use serde_json::{Value, json};

use crate::http::Api;
use crate::http::fields::{Fields, boolean, decimal, parsed};
use crate::http::problem::Problem;
use crate::http::reply::{self, Answer};
use crate::http::router::{Call, Row};

/// Clocks differ a little. A time further ahead would keep a price fresh for longer than it is.
const AHEAD_MAX: Span = Span::from_secs(60);

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(Scope::Prices, Method::POST, "/api/prices", push),
        Row::needs(Scope::Read, Method::GET, "/api/prices", list),
    ]
}

async fn push(api: Api, call: Call) -> Answer {
    let command = command(&call.body, api.clock.now())?;
    let count = command.prices.len();
    let view = api.engine.push_prices(&call.caller, command).await?;
    reply::ok(&json!({
        "accepted": count.saturating_sub(view.held.len()),
        "held": view.held,
        "asOf": view.as_of,
    }))
}

/// `confirm` vouches for prices that jumped: the scope for prices is enough for it.
fn command(body: &[u8], now: Timestamp) -> Result<RecordPrices, Problem> {
    let mut fields = Fields::of(body)?;
    let is_given = fields.has("prices");
    let mut inner = fields.object("prices");
    let mut prices = Vec::new();
    for (symbol, value) in inner.rest() {
        match price(&symbol, &value) {
            Ok(price) => prices.push(price),
            Err(detail) => {
                let symbol: String = symbol.chars().take(64).collect();
                inner.refuse(&symbol, "invalid", detail);
            }
        }
    }
    if !is_given {
        fields.refuse("prices", "required", "it is required");
    } else if prices.is_empty() {
        fields.refuse("prices", "empty", "give at least one price");
    }
    fields.absorb(inner);
    let at = fields.optional("at", parsed).unwrap_or(now);
    if at > now.plus(AHEAD_MAX) {
        let detail = format!("it lies in the future: it is {now} here");
        fields.refuse("at", "out_of_range", detail);
    }
    let confirm = fields.optional("confirm", boolean).unwrap_or(false);
    fields.finish()?;
    Ok(RecordPrices {
        source: Source::Push,
        at,
        prices,
        confirm,
    })
}

fn price(symbol: &str, value: &Value) -> Result<(Asset, Price), String> {
    let asset: Asset = parsed(&Value::from(symbol))?;
    let price: Price = decimal(value)?;
    if price.is_positive() {
        Ok((asset, price))
    } else {
        Err("a price must be greater than 0".to_owned())
    }
}

/// In the order of the assets.
async fn list(api: Api, mut call: Call) -> Answer {
    let (after, limit) = call.query.page::<Asset>()?;
    call.query.finish()?;
    let view = api.engine.prices();
    let item = |(asset, price): &(Asset, Result<Price, PriceProblem>)| match price {
        Ok(price) => json!({"asset": asset, "price": price, "problem": null}),
        Err(problem) => json!({
            "asset": asset, "price": null, "problem": problem, "detail": problem.to_string(),
        }),
    };
    let entries = view.snapshot.entries();
    let from = entries.partition_point(|(asset, _)| after.is_some_and(|after| *asset <= after));
    let rest = &entries[from..];
    let next = rest.get(limit).and_then(|_| rest.get(limit - 1));
    let items: Vec<_> = rest.iter().take(limit).map(item).collect();
    let next = next.map(|(asset, _)| asset);
    reply::ok(&json!({"asOf": view.as_of, "items": items, "next": next}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-05T09:30:00Z".parse().unwrap()
    }

    #[test]
    fn prices_are_positive_and_each_wrong_one_is_named() {
        let good = br#"{"prices":{"AAPL":"101.5","BTC-USD":64000.25},"at":"2026-01-05T09:00:00Z"}"#;
        let told = command(good, now()).unwrap();
        assert_eq!(told.prices.len(), 2);
        assert_eq!(told.at.to_string(), "2026-01-05T09:00:00Z");
        assert!(!told.confirm);
        let bad = br#"{"prices":{"A":"0","B":"-1","C":"NaN","D":null,"E":true,"*":"1","OK":"1"}}"#;
        let problem = command(bad, now()).unwrap_err();
        let mut named: Vec<_> = problem.errors.iter().map(|e| e.field.clone()).collect();
        named.sort_unstable();
        let expected = [
            "prices.*", "prices.A", "prices.B", "prices.C", "prices.D", "prices.E",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_push_says_something_about_now_or_before() {
        for (body, fine) in [
            (r#"{"prices":{"A":"1"}}"#, true),
            (r#"{"prices":{"A":"1"},"at":"2026-01-05T09:31:00Z"}"#, true),
            (r#"{"prices":{"A":"1"},"at":"2026-01-05T09:31:01Z"}"#, false),
            (r#"{"prices":{"A":"1"},"at":"yesterday"}"#, false),
            (r#"{"prices":{}}"#, false),
            (r#"{"prices":[]}"#, false),
            (r#"{"price":{"A":"1"}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(command(body.as_bytes(), now()).is_ok(), fine, "{body}");
        }
    }
}
