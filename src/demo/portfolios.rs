//! The sample portfolios: three owners, twelve indexes, all four methods.

use evenkeel_domain::index::{
    Account, Constituent, Definition, DefinitionError, Description, Method, Name, Rebalancing,
    Risk, Tag,
};
use evenkeel_domain::values::{Amount, Percent, Span};

use crate::engine::PAPER;

/// An owner of the demo with its indexes.
pub(super) struct Sample {
    pub(super) owner: &'static str,
    pub(super) indexes: &'static [Portfolio],
}

/// An index of the demo.
pub(super) struct Portfolio {
    name: &'static str,
    method: Method,
    /// Percentage points.
    threshold: &'static str,
    /// Per cent of the total value.
    cash: &'static str,
    lines: &'static [(&'static str, &'static str)],
}

const fn portfolio(
    name: &'static str,
    method: Method,
    threshold: &'static str,
    cash: &'static str,
    lines: &'static [(&'static str, &'static str)],
) -> Portfolio {
    Portfolio {
        name,
        method,
        threshold,
        cash,
        lines,
    }
}

/// What every index of the demo starts with, in US dollars.
pub(super) const FUNDING: &str = "100000";

pub(super) const SAMPLES: [Sample; 3] = [
    Sample {
        owner: "Northwind Robo",
        indexes: &[
            portfolio(
                "Tech pair",
                Method::Drift,
                "5",
                "0",
                &[("AAPL", "50"), ("MSFT", "50")],
            ),
            portfolio(
                "Chips and software",
                Method::Drift,
                "3",
                "0",
                &[("AMD", "40"), ("MSFT", "60")],
            ),
            portfolio(
                "Steady four",
                Method::Daily,
                "2",
                "0",
                &[("JNJ", "25"), ("KO", "25"), ("PG", "25"), ("WMT", "25")],
            ),
            portfolio(
                "Health",
                Method::Hybrid,
                "2",
                "2",
                &[("JNJ", "30"), ("MRK", "24"), ("PFE", "24"), ("UNH", "20")],
            ),
        ],
    },
    Sample {
        owner: "Meridian Index",
        indexes: &[
            portfolio(
                "Energy duo",
                Method::Drift,
                "2",
                "0",
                &[("CVX", "50"), ("XOM", "50")],
            ),
            portfolio(
                "Broad ten",
                Method::Hybrid,
                "1.5",
                "0",
                &[
                    ("AAPL", "10"),
                    ("BAC", "10"),
                    ("CVX", "10"),
                    ("GE", "10"),
                    ("HD", "10"),
                    ("JNJ", "10"),
                    ("JPM", "10"),
                    ("KO", "10"),
                    ("PG", "10"),
                    ("XOM", "10"),
                ],
            ),
            portfolio(
                "Banks and builders",
                Method::Daily,
                "3",
                "5",
                &[("BAC", "30"), ("JPM", "35"), ("HD", "30")],
            ),
            portfolio(
                "Watch only",
                Method::None,
                "5",
                "0",
                &[("AAPL", "60"), ("GE", "40")],
            ),
        ],
    },
    Sample {
        owner: "Family Office",
        indexes: &[
            portfolio(
                "Seventy thirty",
                Method::Drift,
                "4",
                "0",
                &[("KO", "70"), ("PEP", "30")],
            ),
            portfolio(
                "Barbell",
                Method::Hybrid,
                "5",
                "10",
                &[("AMD", "20"), ("WMT", "70")],
            ),
            portfolio(
                "Defensive",
                Method::Daily,
                "1",
                "0",
                &[("LLY", "34"), ("PG", "33"), ("RRC", "33")],
            ),
            portfolio(
                "Equal five",
                Method::Drift,
                "2.5",
                "0",
                &[
                    ("BBY", "20"),
                    ("CVX", "20"),
                    ("MRK", "20"),
                    ("MSFT", "20"),
                    ("UNH", "20"),
                ],
            ),
        ],
    },
];

impl Portfolio {
    /// The definition. The texts above are constants, checked by a test.
    pub(super) fn definition(&self, minimum: Amount) -> Result<Definition, DefinitionError> {
        let percent = |text: &str| text.parse::<Percent>().unwrap_or_default();
        let lines = self.lines.iter().filter_map(|(asset, share)| {
            Some(Constituent::new(asset.parse().ok()?, percent(share)))
        });
        let text = |text: &str| Tag::required(text).into_iter().collect();
        let definition = Definition {
            name: Name::required(self.name).unwrap_or_default(),
            description: Description::default(),
            constituents: lines.collect(),
            cash_percentage: percent(self.cash),
            rebalancing: Rebalancing {
                method: self.method,
                drift_threshold: percent(self.threshold),
                max_interval: Span::from_hours(24 * 7),
                ..Rebalancing::default()
            },
            risk: Risk {
                min_trade_notional: minimum,
                ..Risk::default()
            },
            account: Account::required(PAPER).unwrap_or_default(),
            tags: text("demo"),
        };
        definition.validated()
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_holds_together_and_all_methods_are_there() {
        let mut methods = Vec::new();
        for portfolio in SAMPLES.iter().flat_map(|sample| sample.indexes) {
            let definition = portfolio.definition("10".parse().unwrap_or_default());
            assert!(definition.is_ok(), "{}: {definition:?}", portfolio.name);
            let definition = definition.unwrap_or_else(|_| unreachable!());
            assert_eq!(definition.constituents.len(), portfolio.lines.len());
            assert!(!methods.contains(&(definition.name.as_str().to_owned())));
            methods.push(definition.name.as_str().to_owned());
        }
        assert_eq!(methods.len(), 12);
        for method in [Method::None, Method::Drift, Method::Daily, Method::Hybrid] {
            assert!(
                SAMPLES
                    .iter()
                    .flat_map(|s| s.indexes)
                    .any(|p| p.method == method)
            );
        }
    }
}
