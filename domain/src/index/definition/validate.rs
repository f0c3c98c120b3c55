//! The rules that a definition must meet.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::{
    Account, Band, CONSTITUENTS_MAX, Definition, Description, Destination, Name, Risk, TAGS_MAX,
    Tag, WEIGHT_TOLERANCE,
};
use crate::values::{Amount, Asset, Percent, SCALE_MAX, Span, Text, TextError};

/// A definition that does not hold together. Each names the field and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Targets do not sum to 100.
    #[error(
        "the percentages of the constituents and of cash sum to {sum}, they must sum to 100 (± 0.01)"
    )]
    WeightsSum {
        /// The sum found.
        sum: Percent,
    },
    /// No constituent.
    #[error("an index needs at least one constituent")]
    NoConstituents,
    /// Too many constituents.
    #[error("an index has at most {CONSTITUENTS_MAX} constituents, found {0}")]
    TooManyConstituents(usize),
    /// An asset twice.
    #[error("asset {0} stands more than once among the constituents")]
    DuplicateAsset(Asset),
    /// A target of zero or less.
    #[error("the percentage of {0} must be greater than 0")]
    TargetNotPositive(Asset),
    /// A band of no width, or wider than the whole.
    #[error("the band of {asset} must have a width above 0 and at most 100, got {found}")]
    Band {
        /// Whose band.
        asset: Asset,
        /// The width found.
        found: Percent,
    },
    /// Every constituent is locked.
    #[error("at least one constituent must not be locked; pause an index that shall not trade")]
    AllLocked,
    /// Cash below 0 or at 100 and above.
    #[error("cashPercentage must be from 0 to below 100, got {0}")]
    CashTarget(Percent),
    /// A threshold outside 0 to 100.
    #[error("driftThreshold must be from 0 to 100 percentage points, got {0}")]
    Threshold(Percent),
    /// An interval of zero.
    #[error("{0} must be longer than 0")]
    Interval(&'static str),
    /// A negative or contradictory limit.
    #[error("{field} must {rule}, got {found}")]
    Limit {
        /// The field's name on the wire.
        field: &'static str,
        /// The rule.
        rule: &'static str,
        /// The value found.
        found: String,
    },
    /// Too many tags.
    #[error("an index has at most {TAGS_MAX} tags, found {0}")]
    TooManyTags(usize),
}

impl Definition {
    /// Checks the definition and normalises targets that miss 100 within the tolerance.
    pub fn validated(mut self) -> Result<Self, DefinitionError> {
        self.check_texts()?;
        self.check_constituents()?;
        self.check_rebalancing()?;
        self.check_risk()?;
        self.normalise()?;
        Ok(self)
    }

    /// The text types bound what they parse; a decoded definition has not been parsed.
    fn check_texts(&self) -> Result<(), DefinitionError> {
        check_text("name", &self.name, Name::required)?;
        check_text("description", &self.description, Description::optional)?;
        check_text("account", &self.account, Account::required)?;
        if self.tags.len() > TAGS_MAX {
            return Err(DefinitionError::TooManyTags(self.tags.len()));
        }
        self.tags
            .iter()
            .try_for_each(|tag| check_text("tags", tag, Tag::required))
    }

    fn check_constituents(&self) -> Result<(), DefinitionError> {
        match self.constituents.len() {
            0 => return Err(DefinitionError::NoConstituents),
            1..=CONSTITUENTS_MAX => {}
            more => return Err(DefinitionError::TooManyConstituents(more)),
        }
        let mut seen = BTreeSet::new();
        for constituent in self.constituents.iter() {
            if !constituent.target.is_positive() {
                return Err(DefinitionError::TargetNotPositive(constituent.asset));
            }
            if !seen.insert(constituent.asset) {
                return Err(DefinitionError::DuplicateAsset(constituent.asset));
            }
            check_band(constituent.asset, constituent.band)?;
        }
        if self.constituents.iter().all(|c| c.locked) {
            return Err(DefinitionError::AllLocked);
        }
        let cash = self.cash_percentage;
        if cash < Percent::ZERO || cash >= Percent::HUNDRED {
            return Err(DefinitionError::CashTarget(cash));
        }
        Ok(())
    }

    fn check_rebalancing(&self) -> Result<(), DefinitionError> {
        let rebalancing = &self.rebalancing;
        if !is_percentage(rebalancing.drift_threshold) {
            return Err(DefinitionError::Threshold(rebalancing.drift_threshold));
        }
        if rebalancing.min_interval == Span::ZERO {
            return Err(DefinitionError::Interval("minInterval"));
        }
        if rebalancing.max_interval == Span::ZERO {
            return Err(DefinitionError::Interval("maxInterval"));
        }
        if rebalancing.approval == Some(Span::ZERO) {
            return Err(DefinitionError::Interval("approval"));
        }
        if let Destination::Fraction { percent } = rebalancing.destination
            && !is_percentage(percent)
        {
            return Err(limit(
                "destination",
                "have a percent from 0 to 100",
                &percent,
            ));
        }
        Ok(())
    }

    fn check_risk(&self) -> Result<(), DefinitionError> {
        let Risk {
            min_trade_notional: min,
            max_trade_notional: max,
            max_slippage,
            min_trade_percent: min_percent,
            max_turnover,
            cash_buffer,
        } = self.risk;
        if min < Amount::ZERO {
            return Err(limit("minTradeNotional", "be 0 or more", &min));
        }
        if let Some(max) = max.filter(|max| !max.is_positive() || *max < min) {
            let rule = "be greater than 0 and not below minTradeNotional";
            return Err(limit("maxTradeNotional", rule, &max));
        }
        if !is_percentage(max_slippage) {
            return Err(limit("maxSlippage", "be from 0 to 100", &max_slippage));
        }
        if !is_percentage(min_percent) {
            return Err(limit("minTradePercent", "be from 0 to 100", &min_percent));
        }
        if let Some(max) = max_turnover.filter(|max| !is_width(*max)) {
            return Err(limit("maxTurnover", "be above 0 and at most 100", &max));
        }
        if cash_buffer < Amount::ZERO {
            return Err(limit("cashBuffer", "be 0 or more", &cash_buffer));
        }
        Ok(())
    }

    /// Scales targets and cash to exactly 100; what rounding leaves goes to the largest line.
    fn normalise(&mut self) -> Result<(), DefinitionError> {
        let sum = self.weights_sum()?;
        let refuse = || DefinitionError::WeightsSum { sum };
        let off = sum.sub(Percent::HUNDRED).map_err(|_| refuse())?;
        if off.abs() > WEIGHT_TOLERANCE {
            return Err(refuse());
        }
        if off.is_zero() {
            return Ok(());
        }
        let mut lines = Vec::from(std::mem::take(&mut self.constituents));
        for line in &mut lines {
            line.target = scaled(line.target, sum).ok_or_else(refuse)?;
        }
        self.cash_percentage = scaled(self.cash_percentage, sum).ok_or_else(refuse)?;
        self.constituents = lines.into();
        let residue = Percent::HUNDRED.sub(self.weights_sum()?);
        let residue = residue.map_err(|_| refuse())?;
        self.give_to_the_largest(residue).ok_or_else(refuse)
    }

    fn give_to_the_largest(&mut self, residue: Percent) -> Option<()> {
        let mut lines = Vec::from(std::mem::take(&mut self.constituents));
        // Reversed, because of equal lines `max_by_key` takes the last.
        if let Some(largest) = lines.iter_mut().rev().max_by_key(|line| line.target) {
            largest.target = largest.target.add(residue).ok()?;
        }
        self.constituents = lines.into();
        Some(())
    }

    fn weights_sum(&self) -> Result<Percent, DefinitionError> {
        let targets = self.constituents.iter().map(|c| c.target);
        targets
            .clone()
            .try_fold(self.cash_percentage, Percent::add)
            .map_err(|_| DefinitionError::WeightsSum {
                // The largest target stands for a sum that does not fit into 28 digits.
                sum: targets.max().unwrap_or_default(),
            })
    }
}

/// A weight scaled so that weights which sum to `sum` sum to 100, but for rounding.
fn scaled(weight: Percent, sum: Percent) -> Option<Percent> {
    let hundredfold = weight.get().checked_mul(Decimal::ONE_HUNDRED)?;
    let scaled = hundredfold.checked_div(sum.get())?;
    Some(Percent::new(scaled.round_dp(SCALE_MAX).normalize()))
}

fn is_percentage(percent: Percent) -> bool {
    percent >= Percent::ZERO && percent <= Percent::HUNDRED
}

/// Above 0 and at most 100.
fn is_width(percent: Percent) -> bool {
    percent.is_positive() && percent <= Percent::HUNDRED
}

fn check_band(asset: Asset, band: Option<Band>) -> Result<(), DefinitionError> {
    match band {
        Some(Band::Absolute { width: found } | Band::Relative { width: found })
            if !is_width(found) =>
        {
            Err(DefinitionError::Band { asset, found })
        }
        Some(Band::Absolute { .. } | Band::Relative { .. } | Band::FiveTwentyFive) | None => Ok(()),
    }
}

fn limit(field: &'static str, rule: &'static str, found: &impl ToString) -> DefinitionError {
    let found = found.to_string();
    DefinitionError::Limit { field, rule, found }
}

fn check_text<const MAX: usize>(
    field: &'static str,
    text: &Text<MAX>,
    parse: fn(&str) -> Result<Text<MAX>, TextError>,
) -> Result<(), DefinitionError> {
    match parse(text.as_str()) {
        Ok(parsed) if parsed == *text => Ok(()),
        _ => {
            let found = text.as_str().chars().take(64).collect();
            let rule = "be trimmed text of the allowed length without control characters";
            Err(DefinitionError::Limit { field, rule, found })
        }
    }
}
