//! A definition of an index as it is written in a body.
//!
//! | field | when it is missing at creation |
//! |---|---|
//! | `name`, `constituents` | refused |
//! | `description`, `tags` | empty |
//! | `cashPercentage` | `"0"` |
//! | `rebalancing` | `DRIFT`, threshold 5, `minInterval` and `maxInterval` 24h; each by itself |
//! | `risk` | `minTradeNotional` 1, no `maxTradeNotional`, `maxSlippage` 1; each by itself |
//! | `account` | `"paper"` |
//!
//! In a change, what is missing stays as it is. `constituents` are replaced as a whole, and
//! `"maxTradeNotional": null` takes the limit away.

use evenkeel_domain::index::{Account, Constituent, Definition, Method, Rebalancing, Risk, Tag};
use evenkeel_domain::values::Span;
use serde_json::{Value, json};

use crate::http::fields::{Fields, decimal, incomplete, parsed, required_text, strings, text};
use crate::http::problem::{Code, Problem};

/// What an index has when nobody says otherwise.
struct Defaults {
    rebalancing: Rebalancing,
    risk: Risk,
    account: Account,
}

impl Defaults {
    /// Written as they are documented, and read like any input.
    fn new() -> Result<Self, Problem> {
        let broken = |error: String| Problem::new(Code::Internal, error);
        let parse = |error: serde_json::Error| error.to_string();
        let rebalancing = json!({
            "method": "DRIFT", "driftThreshold": "5", "minInterval": "24h", "maxInterval": "24h",
        });
        let risk = json!({
            "minTradeNotional": "1", "maxTradeNotional": null, "maxSlippage": "1",
        });
        Ok(Self {
            rebalancing: serde_json::from_value(rebalancing)
                .map_err(parse)
                .map_err(broken)?,
            risk: serde_json::from_value(risk)
                .map_err(parse)
                .map_err(broken)?,
            account: required_text(&Value::from("paper")).map_err(broken)?,
        })
    }
}

/// Reads a definition, over `base` when it is a change. Broken rules are noted in `fields`;
/// look at them before the result.
pub fn read(fields: &mut Fields, base: Option<&Definition>) -> Result<Definition, Problem> {
    let defaults = Defaults::new()?;
    let name = match base {
        None => fields.required("name", required_text),
        Some(base) => or_kept(fields.optional("name", required_text), &base.name),
    };
    let constituents = constituents(fields, base);
    let description = fields.optional("description", text);
    let tags = tags(fields);
    let account = fields.optional("account", required_text);
    let cash_percentage = fields.optional("cashPercentage", decimal);
    let rebalancing = rebalancing(fields, base.map_or(defaults.rebalancing, |b| b.rebalancing));
    let risk = risk(fields, base.map_or(defaults.risk, |b| b.risk));
    let kept = |pick: fn(&Definition) -> evenkeel_domain::index::Description| base.map(pick);
    Ok(Definition {
        name: name.ok_or_else(incomplete)?,
        description: description
            .or_else(|| kept(|base| base.description.clone()))
            .unwrap_or_default(),
        constituents: constituents.ok_or_else(incomplete)?,
        cash_percentage: cash_percentage
            .or_else(|| base.map(|base| base.cash_percentage))
            .unwrap_or_default(),
        rebalancing,
        risk,
        account: account
            .or_else(|| base.map(|base| base.account.clone()))
            .unwrap_or(defaults.account),
        tags: tags
            .or_else(|| base.map(|base| base.tags.clone()))
            .unwrap_or_default(),
    })
}

fn or_kept<T: Clone>(given: Option<T>, kept: &T) -> Option<T> {
    given.or_else(|| Some(kept.clone()))
}

fn constituents(fields: &mut Fields, base: Option<&Definition>) -> Option<Vec<Constituent>> {
    if base.is_none() && !fields.has("constituents") {
        fields.refuse("constituents", "required", "it is required");
        return None;
    }
    let Some(lines) = fields.objects("constituents") else {
        return base.map(|base| base.constituents.clone());
    };
    let mut constituents = Vec::with_capacity(lines.len());
    for mut line in lines {
        let asset = line.required("asset", parsed);
        let target = line.required("percentage", decimal);
        fields.absorb(line);
        if let (Some(asset), Some(target)) = (asset, target) {
            constituents.push(Constituent { asset, target });
        }
    }
    Some(constituents)
}

fn tags(fields: &mut Fields) -> Option<Vec<Tag>> {
    let mut tags: Vec<Tag> = Vec::new();
    for (at, text) in fields.optional("tags", strings)?.into_iter().enumerate() {
        match Tag::required(&text) {
            // A tag that stands twice says nothing more.
            Ok(tag) if tags.contains(&tag) => {}
            Ok(tag) => tags.push(tag),
            Err(error) => fields.refuse(&format!("tags[{at}]"), "invalid", error.to_string()),
        }
    }
    Some(tags)
}

fn rebalancing(fields: &mut Fields, base: Rebalancing) -> Rebalancing {
    let mut inner = fields.object("rebalancing");
    let read = Rebalancing {
        method: inner.optional("method", method).unwrap_or(base.method),
        drift_threshold: inner
            .optional("driftThreshold", decimal)
            .unwrap_or(base.drift_threshold),
        min_interval: span(&mut inner, "minInterval", base.min_interval),
        max_interval: span(&mut inner, "maxInterval", base.max_interval),
    };
    fields.absorb(inner);
    read
}

fn span(fields: &mut Fields, name: &str, base: Span) -> Span {
    fields.optional(name, parsed).unwrap_or(base)
}

fn method(value: &Value) -> Result<Method, String> {
    serde_json::from_value(value.clone())
        .map_err(|_| "it must be NONE, DRIFT, DAILY or HYBRID".to_owned())
}

fn risk(fields: &mut Fields, base: Risk) -> Risk {
    let mut inner = fields.object("risk");
    let read = Risk {
        min_trade_notional: inner
            .optional("minTradeNotional", decimal)
            .unwrap_or(base.min_trade_notional),
        max_trade_notional: inner
            .nullable("maxTradeNotional", decimal)
            .unwrap_or(base.max_trade_notional),
        max_slippage: inner
            .optional("maxSlippage", decimal)
            .unwrap_or(base.max_slippage),
    };
    fields.absorb(inner);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: &Value, base: Option<&Definition>) -> Result<Definition, Problem> {
        let mut fields = Fields::of(body.to_string().as_bytes()).unwrap();
        let definition = read(&mut fields, base);
        fields.finish()?;
        definition
    }

    fn minimal() -> Definition {
        let body = json!({"name": " Two ", "constituents": [
            {"asset": "AAPL", "percentage": "60"}, {"asset": "MSFT", "percentage": 40},
        ]});
        read_body(&body, None).unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let definition = minimal();
        assert_eq!(definition.name.as_str(), "Two");
        assert_eq!(definition.account.as_str(), "paper");
        assert_eq!(definition.cash_percentage.to_string(), "0");
        assert_eq!(definition.rebalancing.method, Method::Drift);
        assert_eq!(definition.rebalancing.drift_threshold.to_string(), "5");
        assert_eq!(definition.rebalancing.min_interval.to_string(), "24h");
        assert_eq!(definition.risk.min_trade_notional.to_string(), "1");
        assert_eq!(definition.risk.max_trade_notional, None);
        assert_eq!(definition.constituents[1].target.to_string(), "40");
        assert!(definition.tags.is_empty());
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let mut base = minimal();
        base.risk.max_trade_notional = Some("500".parse().unwrap());
        let change = json!({"rebalancing": {"method": "HYBRID"}, "tags": ["a", "b", "a"]});
        let changed = read_body(&change, Some(&base)).unwrap();
        assert_eq!(changed.rebalancing.method, Method::Hybrid);
        assert_eq!(
            changed.rebalancing.drift_threshold,
            base.rebalancing.drift_threshold
        );
        assert_eq!(changed.tags.len(), 2);
        assert_eq!(
            (changed.risk, changed.constituents),
            (base.risk, base.constituents.clone())
        );
        let change = json!({"risk": {"maxTradeNotional": null}});
        assert_eq!(
            read_body(&change, Some(&base))
                .unwrap()
                .risk
                .max_trade_notional,
            None
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = json!({
            "name": "", "constituents": [{"asset": "A", "percentage": "NaN"}, {"asset": "*"}],
            "cashPercentage": true, "tags": [""], "account": 1, "weights": [],
            "rebalancing": {"method": "WEEKLY", "driftTreshold": "5", "minInterval": "24"},
            "risk": [],
        });
        let problem = read_body(&body, None).unwrap_err();
        let mut named: Vec<_> = problem
            .errors
            .iter()
            .map(|error| error.field.as_str())
            .collect();
        named.sort_unstable();
        let expected = [
            "account",
            "cashPercentage",
            "constituents[0].percentage",
            "constituents[1].asset",
            "constituents[1].percentage",
            "name",
            "rebalancing.driftTreshold",
            "rebalancing.method",
            "rebalancing.minInterval",
            "risk",
            "tags[0]",
            "weights",
        ];
        assert_eq!(named, expected);
        let problem = read_body(&json!({}), None).unwrap_err();
        assert_eq!(problem.errors.len(), 2);
    }
}
