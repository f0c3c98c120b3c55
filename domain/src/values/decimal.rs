//! Checked decimals with a unit: money, quantities, prices, percentages. Never floats.
//!
//! In text formats a decimal is a string, in binary ones a mantissa and a scale: the decimal
//! crate's own serde asks a format to describe itself, which the log's codec cannot.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits after the point that are accepted from outside: finer than any venue's lot.
pub const SCALE_MAX: u32 = 12;

/// Largest magnitude accepted from outside, 10^15: products of two stay inside 28 digits'
/// integer range, so valuations cannot overflow.
const MAGNITUDE_MAX: i64 = 1_000_000_000_000_000;

/// Text that is not an acceptable decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a decimal number: `NaN`, `1e5`, an empty string.
    #[error("{0:?} is not a decimal number such as \"12.5\"")]
    NotANumber(String),
    /// More digits after the point than are kept.
    #[error("{0} has more than {SCALE_MAX} digits after the point")]
    TooFine(String),
    /// Beyond 10^15.
    #[error("{0} is larger than 10^15 in magnitude")]
    TooLarge(String),
    /// Negative where that has no meaning.
    #[error("{0} is negative")]
    Negative(String),
}

/// A result that does not fit into 28 digits, or a division by zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a decimal overflowed or was divided by zero")]
pub struct ArithmeticError;

fn parse(text: &str) -> Result<Decimal, DecimalError> {
    let plain = text.len() <= 64
        && !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    if !plain {
        return Err(DecimalError::NotANumber(text.chars().take(64).collect()));
    }
    let value = Decimal::from_str_exact(text).map_err(|_| match text.len() {
        0..=28 => DecimalError::NotANumber(text.to_owned()),
        _ => DecimalError::TooFine(text.to_owned()),
    })?;
    let value = value.normalize();
    if value.scale() > SCALE_MAX {
        return Err(DecimalError::TooFine(text.to_owned()));
    }
    if value.abs() > Decimal::from(MAGNITUDE_MAX) {
        return Err(DecimalError::TooLarge(text.to_owned()));
    }
    Ok(value)
}

macro_rules! decimal_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Decimal);

        #[allow(
            clippy::should_implement_trait,
            reason = "the operators cannot fail, these can"
        )]
        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// From a decimal that was computed, not read from outside.
            pub const fn new(value: Decimal) -> Self {
                Self(value)
            }

            /// The bare decimal.
            pub const fn get(self) -> Decimal {
                self.0
            }

            /// Parses a value that may not be negative.
            pub fn parse_non_negative(text: &str) -> Result<Self, DecimalError> {
                let value = parse(text)?;
                if value.is_sign_negative() && !value.is_zero() {
                    return Err(DecimalError::Negative(text.to_owned()));
                }
                Ok(Self(value))
            }

            /// Sum, or an error when it does not fit.
            pub fn add(self, other: Self) -> Result<Self, ArithmeticError> {
                self.0.checked_add(other.0).map(Self).ok_or(ArithmeticError)
            }

            /// Difference, or an error when it does not fit.
            pub fn sub(self, other: Self) -> Result<Self, ArithmeticError> {
                self.0.checked_sub(other.0).map(Self).ok_or(ArithmeticError)
            }

            /// True for exactly zero.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            /// True above zero.
            pub fn is_positive(self) -> bool {
                self.0 > Decimal::ZERO
            }

            /// The distance from zero.
            #[must_use]
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
        }

        impl FromStr for $name {
            type Err = DecimalError;
            fn from_str(text: &str) -> Result<Self, DecimalError> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.normalize(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.normalize())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let value = self.0.normalize();
                    (value.mantissa(), value.scale()).serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    let (mantissa, scale) = <(i128, u32)>::deserialize(deserializer)?;
                    Decimal::try_from_i128_with_scale(mantissa, scale)
                        .map(Self)
                        .map_err(D::Error::custom)
                }
            }
        }
    };
}

decimal_type! {
    /// Money in the account's quote currency.
    Amount
}
decimal_type! {
    /// A quantity of an asset, in units of the asset.
    Quantity
}
decimal_type! {
    /// Quote currency per unit of an asset.
    Price
}
decimal_type! {
    /// Percentage points: 40 means 40 %.
    Percent
}

impl Percent {
    /// One hundred per cent.
    pub const HUNDRED: Self = Self(Decimal::ONE_HUNDRED);

    /// A whole number of per cent, or of points.
    pub const fn whole(percent: u32) -> Self {
        Self(Decimal::from_parts(percent, 0, 0, false, 0))
    }

    /// One half.
    pub const FIFTY: Self = Self(Decimal::from_parts(50, 0, 0, false, 0));
}

impl Quantity {
    /// The finest quantity that is kept: 10^-12.
    pub const FINEST: Self = Self(Decimal::from_parts(1, 0, 0, false, SCALE_MAX));

    /// What the quantity is worth at a price.
    pub fn value_at(self, price: Price) -> Result<Amount, ArithmeticError> {
        self.0
            .checked_mul(price.0)
            .map(Amount)
            .ok_or(ArithmeticError)
    }

    /// Rounds toward zero to a multiple of the lot step.
    pub fn floor_to(self, step: Self) -> Result<Self, ArithmeticError> {
        let lots = self.0.checked_div(step.0).ok_or(ArithmeticError)?.trunc();
        lots.checked_mul(step.0).map(Self).ok_or(ArithmeticError)
    }
}

impl Amount {
    /// The quantity that the amount buys at a price, unrounded.
    pub fn quantity_at(self, price: Price) -> Result<Quantity, ArithmeticError> {
        self.0
            .checked_div(price.0)
            .map(Quantity)
            .ok_or(ArithmeticError)
    }

    /// A percentage of the amount.
    pub fn percent(self, percent: Percent) -> Result<Self, ArithmeticError> {
        self.0
            .checked_mul(percent.0)
            .and_then(|v| v.checked_div(Decimal::ONE_HUNDRED))
            .map(Self)
            .ok_or(ArithmeticError)
    }

    /// This amount as a percentage of `total`.
    pub fn percent_of(self, total: Self) -> Result<Percent, ArithmeticError> {
        self.0
            .checked_mul(Decimal::ONE_HUNDRED)
            .and_then(|v| v.checked_div(total.0))
            .map(Percent)
            .ok_or(ArithmeticError)
    }
}
