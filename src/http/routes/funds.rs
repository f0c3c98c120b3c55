//! `/api/indexes/{id}/deposit` and `/withdraw`: cash or units of an asset, in and out.

use evenkeel_domain::access::Scope;
use evenkeel_domain::index::Funds;
use evenkeel_domain::values::{Amount, Asset, Quantity};
use http::{Method, StatusCode};

use super::indexes::{answer, id_of};
use crate::http::Api;
use crate::http::fields::{Fields, boolean, decimal, incomplete, parsed};
use crate::http::problem::Problem;
use crate::http::reply::Answer;
use crate::http::router::{Call, Row};

/// The routes.
pub fn rows() -> Vec<Row<Api>> {
    vec![
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/deposit",
            deposit,
        ),
        Row::needs(
            Scope::Trade,
            Method::POST,
            "/api/indexes/{id}/withdraw",
            withdraw,
        ),
    ]
}

async fn deposit(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let (funds, invest) = deposited(&call.body)?;
    let view = api.engine.deposit(&call.caller, id, funds, invest).await?;
    answer(StatusCode::OK, &view)
}

async fn withdraw(api: Api, call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut fields = Fields::of(&call.body)?;
    let funds = funds(&mut fields);
    fields.finish()?;
    let funds = funds.ok_or_else(incomplete)?;
    let view = api.engine.withdraw(&call.caller, id, funds).await?;
    answer(StatusCode::OK, &view)
}

/// Cash is invested unless the body says otherwise; units of an asset stay as they are.
fn deposited(body: &[u8]) -> Result<(Funds, bool), Problem> {
    let mut fields = Fields::of(body)?;
    let funds = funds(&mut fields);
    let invest = fields.optional("invest", boolean);
    fields.finish()?;
    let funds = funds.ok_or_else(incomplete)?;
    let invest = invest.unwrap_or(matches!(funds, Funds::Cash(_)));
    Ok((funds, invest))
}

fn funds(fields: &mut Fields) -> Option<Funds> {
    if fields.has("amount") && (fields.has("asset") || fields.has("quantity")) {
        let detail = "give either amount, or asset and quantity";
        fields.refuse("amount", "contradiction", detail);
    }
    if fields.has("asset") || fields.has("quantity") {
        let asset: Option<Asset> = fields.required("asset", parsed);
        let quantity: Option<Quantity> = fields.required("quantity", decimal);
        // Read here only so that it does not count as unknown besides.
        let _: Option<Amount> = fields.optional("amount", decimal);
        let quantity = positive(fields, "quantity", quantity, Quantity::is_positive);
        return Some(Funds::Asset(asset?, quantity?));
    }
    let amount = fields.required("amount", decimal);
    positive(fields, "amount", amount, Amount::is_positive).map(Funds::Cash)
}

fn positive<T: Copy>(
    fields: &mut Fields,
    name: &str,
    value: Option<T>,
    is_positive: fn(T) -> bool,
) -> Option<T> {
    let value = value?;
    if is_positive(value) {
        return Some(value);
    }
    fields.refuse(name, "out_of_range", "it must be greater than 0");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funds_are_cash_or_units_and_always_more_than_nothing() {
        let cash = |text: &str| Some(Funds::Cash(text.parse().unwrap()));
        let units = Funds::Asset("AAPL".parse().unwrap(), "12.5".parse().unwrap());
        for (body, expected) in [
            (
                r#"{"amount":"10000"}"#,
                cash("10000").map(|funds| (funds, true)),
            ),
            (
                r#"{"amount":10000,"invest":false}"#,
                cash("10000").map(|funds| (funds, false)),
            ),
            (
                r#"{"asset":"AAPL","quantity":"12.5"}"#,
                Some((units, false)),
            ),
            (
                r#"{"asset":"AAPL","quantity":12.5,"invest":true}"#,
                Some((units, true)),
            ),
            (r#"{"amount":"0"}"#, None),
            (r#"{"amount":"-5"}"#, None),
            (r#"{"amount":"NaN"}"#, None),
            (r#"{"amount":"1e5"}"#, None),
            (r#"{"amount":"1","asset":"AAPL","quantity":"1"}"#, None),
            (r#"{"asset":"AAPL"}"#, None),
            (r#"{"quantity":"1"}"#, None),
            (r#"{"amount":"1","amout":"1"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(deposited(body.as_bytes()).ok(), expected, "{body}");
        }
    }
}
