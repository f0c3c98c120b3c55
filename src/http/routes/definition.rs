//! A definition of an index as it is written in a body.
//!
//! | field | when it is missing at creation |
//! |---|---|
//! | `name`, `constituents` | refused |
//! | `description`, `tags` | empty |
//! | `cashPercentage` | `"0"` |
//! | `rebalancing` | `DRIFT`, threshold 5, `minInterval` and `maxInterval` 24h, measured `ABSOLUTE`, scope `INDEX`, destination `TARGET`, no `cooldown`, no `approval`; each by itself |
//! | `risk` | `minTradeNotional` 1, `maxSlippage` 1, no `maxTradeNotional`, `minTradePercent`, `maxTurnover`, `cashBuffer`; each by itself |
//! | `account` | `"paper"` |
//!
//! In a change, what is missing stays as it is. `constituents` are replaced as a whole, and
//! `"maxTradeNotional": null` takes the limit away, like that of `maxTurnover` and `approval`.
//!
//! A band is `{"type": "ABSOLUTE", "width": "2"}`, `{"type": "RELATIVE", "width": "25"}` or
//! `{"type": "FIVE_TWENTY_FIVE"}`; a destination is `{"type": "TARGET"}`, `{"type": "BAND_EDGE"}`
//! or `{"type": "FRACTION", "percent": "50"}`.

use evenkeel_domain::index::{
    Account, Band, Constituent, Constituents, Definition, Destination, DriftMeasure, Method,
    Rebalancing, Risk, Scope, Tag,
};
use evenkeel_domain::values::Span;
use serde_json::Value;

use crate::http::fields::{
    Fields, boolean, decimal, incomplete, parsed, required_text, strings, text,
};
use crate::http::problem::{Code, Problem};

/// Reads a definition, over `base` when it is a change. Broken rules are noted in `fields`;
/// look at them before the result.
pub fn read(fields: &mut Fields, base: Option<&Definition>) -> Result<Definition, Problem> {
    let name = match base {
        None => fields.required("name", required_text),
        Some(base) => or_kept(fields.optional("name", required_text), &base.name),
    };
    let constituents = constituents(fields, base);
    let description = fields.optional("description", text);
    let tags = tags(fields);
    let account = fields.optional("account", required_text);
    let cash_percentage = fields.optional("cashPercentage", decimal);
    let rebalancing = rebalancing(
        fields,
        base.map_or_else(Rebalancing::default, |b| b.rebalancing),
    );
    let risk = risk(fields, base.map_or_else(Risk::default, |b| b.risk));
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
        account: match account.or_else(|| base.map(|base| base.account.clone())) {
            Some(account) => account,
            None => paper()?,
        },
        tags: tags
            .or_else(|| base.map(|base| base.tags.clone()))
            .unwrap_or_default(),
    })
}

/// The account of an index whose owner names none.
fn paper() -> Result<Account, Problem> {
    Account::required("paper").map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

fn or_kept<T: Clone>(given: Option<T>, kept: &T) -> Option<T> {
    given.or_else(|| Some(kept.clone()))
}

fn constituents(fields: &mut Fields, base: Option<&Definition>) -> Option<Constituents> {
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
        let band = band(&mut line);
        let locked = line.optional("locked", boolean).unwrap_or_default();
        fields.absorb(line);
        if let (Some(asset), Some(target)) = (asset, target) {
            constituents.push(Constituent {
                asset,
                target,
                band,
                locked,
            });
        }
    }
    Some(constituents.into())
}

/// The band of a constituent, if it has one; a wrong one is noted.
fn band(line: &mut Fields) -> Option<Band> {
    let mut inner = line.present("band")?;
    let kind = inner.required("type", word);
    let band = match kind.as_deref().unwrap_or_default() {
        "ABSOLUTE" => inner
            .required("width", decimal)
            .map(|width| Band::Absolute { width }),
        "RELATIVE" => inner
            .required("width", decimal)
            .map(|width| Band::Relative { width }),
        "FIVE_TWENTY_FIVE" => Some(Band::FiveTwentyFive),
        _ if kind.is_none() => None,
        _ => {
            let detail = "it must be ABSOLUTE, RELATIVE or FIVE_TWENTY_FIVE";
            inner.refuse("type", "invalid", detail);
            None
        }
    };
    line.absorb(inner);
    band
}

fn destination(fields: &mut Fields) -> Option<Destination> {
    let mut inner = fields.present("destination")?;
    let kind = inner.required("type", word);
    let destination = match kind.as_deref().unwrap_or_default() {
        "TARGET" => Some(Destination::Target),
        "BAND_EDGE" => Some(Destination::BandEdge),
        "FRACTION" => inner
            .required("percent", decimal)
            .map(|percent| Destination::Fraction { percent }),
        _ if kind.is_none() => None,
        _ => {
            let detail = "it must be TARGET, BAND_EDGE or FRACTION";
            inner.refuse("type", "invalid", detail);
            None
        }
    };
    fields.absorb(inner);
    destination
}

fn word(value: &Value) -> Result<String, String> {
    let word = value.as_str().ok_or("it must be a string")?;
    Ok(word.to_owned())
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
        measure: inner
            .optional("driftMeasure", measure)
            .unwrap_or(base.measure),
        scope: inner.optional("scope", scope).unwrap_or(base.scope),
        destination: destination(&mut inner).unwrap_or(base.destination),
        cooldown: span(&mut inner, "cooldown", base.cooldown),
        approval: inner.nullable("approval", parsed).unwrap_or(base.approval),
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

fn measure(value: &Value) -> Result<DriftMeasure, String> {
    serde_json::from_value(value.clone())
        .map_err(|_| "it must be ABSOLUTE, RELATIVE or TURNOVER".to_owned())
}

fn scope(value: &Value) -> Result<Scope, String> {
    serde_json::from_value(value.clone()).map_err(|_| "it must be INDEX or BREACHING".to_owned())
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
        min_trade_percent: inner
            .optional("minTradePercent", decimal)
            .unwrap_or(base.min_trade_percent),
        max_turnover: inner
            .nullable("maxTurnover", decimal)
            .unwrap_or(base.max_turnover),
        cash_buffer: inner
            .optional("cashBuffer", decimal)
            .unwrap_or(base.cash_buffer),
    };
    fields.absorb(inner);
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(
            definition.constituents.get(1).unwrap().target.to_string(),
            "40"
        );
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
    fn bands_destination_and_limits_are_read_and_kept() {
        let body = json!({"name": "Banded", "constituents": [
            {"asset": "A", "percentage": "50", "band": {"type": "ABSOLUTE", "width": "2"}},
            {"asset": "B", "percentage": "30", "band": {"type": "RELATIVE", "width": 25}},
            {"asset": "C", "percentage": "10", "band": {"type": "FIVE_TWENTY_FIVE"}},
            {"asset": "D", "percentage": "10", "band": null, "locked": true},
        ], "rebalancing": {
            "driftMeasure": "TURNOVER", "scope": "BREACHING", "cooldown": "30m", "approval": "1h",
            "destination": {"type": "FRACTION", "percent": "50"},
        }, "risk": {"minTradePercent": "0.1", "maxTurnover": "10", "cashBuffer": "250"}});
        let base = read_body(&body, None).unwrap().validated().unwrap();
        let width = |text: &str| text.parse().unwrap();
        assert_eq!(
            base.constituents.iter().map(|c| c.band).collect::<Vec<_>>(),
            [
                Some(Band::Absolute { width: width("2") }),
                Some(Band::Relative { width: width("25") }),
                Some(Band::FiveTwentyFive),
                None,
            ]
        );
        let locked: Vec<bool> = base.constituents.iter().map(|c| c.locked).collect();
        assert_eq!(locked, [false, false, false, true]);
        assert_eq!(base.rebalancing.measure, DriftMeasure::Turnover);
        assert_eq!(base.rebalancing.scope, Scope::Breaching);
        let half = Destination::Fraction {
            percent: width("50"),
        };
        assert_eq!(base.rebalancing.destination, half);
        assert_eq!(base.rebalancing.cooldown.to_string(), "30m");
        assert_eq!(base.rebalancing.approval.unwrap().to_string(), "1h");
        assert_eq!(base.risk.cash_buffer.to_string(), "250");
        // What is shown is what is read.
        let shown = serde_json::to_value(&base).unwrap();
        for (field, sent) in body["rebalancing"].as_object().unwrap() {
            assert_eq!(&shown["rebalancing"][field], sent);
        }
        assert_eq!(
            shown["constituents"][2]["band"],
            body["constituents"][2]["band"]
        );
        let change = json!({"rebalancing": {"approval": null}, "risk": {"maxTurnover": null}});
        let changed = read_body(&change, Some(&base)).unwrap();
        assert_eq!(
            (changed.rebalancing.approval, changed.risk.max_turnover),
            (None, None)
        );
        assert_eq!(changed.rebalancing.destination, half);
        assert_eq!(changed.risk.min_trade_percent, width("0.1"));
        assert_eq!(changed.constituents, base.constituents);
    }

    #[test]
    fn a_wrong_band_or_destination_is_named() {
        let body = json!({"name": "Banded", "constituents": [
            {"asset": "A", "percentage": "50", "band": {"type": "WIDE"}},
            {"asset": "B", "percentage": "50", "band": {"type": "ABSOLUTE"}, "locked": 1},
            {"asset": "C", "percentage": "50", "band": {}},
            {"asset": "D", "percentage": "50", "band": {"type": "FIVE_TWENTY_FIVE", "width": "5"}},
        ], "rebalancing": {
            "driftMeasure": "L2", "scope": "ALL", "cooldown": "1", "approval": true,
            "destination": {"type": "FRACTION"},
        }, "risk": {"minTradePercent": "x", "maxTurnover": [], "cashBuffer": {}}});
        let problem = read_body(&body, None).unwrap_err();
        let named: Vec<_> = problem.errors.iter().map(|e| e.field.as_str()).collect();
        let expected = [
            "constituents[0].band.type",
            "constituents[1].band.width",
            "constituents[1].locked",
            "constituents[2].band.type",
            "constituents[3].band.width",
            "rebalancing.approval",
            "rebalancing.cooldown",
            "rebalancing.destination.percent",
            "rebalancing.driftMeasure",
            "rebalancing.scope",
            "risk.cashBuffer",
            "risk.maxTurnover",
            "risk.minTradePercent",
        ];
        let mut sorted = named.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
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
