//! How far a line may stray, and how far a trade brings it back.
//!
//! As JSON both name their type (`{"type":"ABSOLUTE","width":"2"}`), as bytes they are plain enums:
//! the log's codec cannot read what has to be looked into first.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::values::{Amount, ArithmeticError, Percent};

/// The absolute half of 5/25, percentage points.
const FIVE: Percent = Percent::whole(5);

/// The relative half of 5/25, per cent of the target.
const TWENTY_FIVE: Percent = Percent::whole(25);

/// How far a line may stray from its target to either side before it is a breach by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// Percentage points of the value that is shared out.
    Absolute {
        /// Points, above 0, at most 100.
        width: Percent,
    },
    /// Per cent of the target.
    Relative {
        /// Per cent, above 0, at most 100.
        width: Percent,
    },
    /// The smaller of 5 points and 25 % of the target (Swedroe's 5/25 rule).
    FiveTwentyFive,
}

impl Band {
    /// The width to either side as money: `aim` is what the line should be worth, `shared` the
    /// value that is shared out.
    pub(crate) fn width(self, aim: Amount, shared: Amount) -> Result<Amount, ArithmeticError> {
        match self {
            Self::Absolute { width } => shared.percent(width),
            Self::Relative { width } => aim.percent(width),
            Self::FiveTwentyFive => Ok(shared.percent(FIVE)?.min(aim.percent(TWENTY_FIVE)?)),
        }
    }
}

/// Where a trade of a line that strayed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destination {
    /// At the target.
    #[default]
    Target,
    /// At the nearer edge of its band: the smallest trade that ends the breach.
    BandEdge,
    /// Part of the way from the edge to the target.
    Fraction {
        /// Per cent of that way, from 0 (the edge) to 100 (the target).
        percent: Percent,
    },
}

impl Destination {
    /// How far from the target a trade may leave a line whose band is `width` wide.
    pub(crate) fn distance(self, width: Amount) -> Result<Amount, ArithmeticError> {
        match self {
            Self::Target => Ok(Amount::ZERO),
            Self::BandEdge => Ok(width),
            Self::Fraction { percent } => width.sub(width.percent(percent)?),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Band", tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
enum BandText {
    Absolute { width: Percent },
    Relative { width: Percent },
    FiveTwentyFive,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Band")]
enum BandBytes {
    Absolute { width: Percent },
    Relative { width: Percent },
    FiveTwentyFive,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Destination",
    tag = "type",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
enum DestinationText {
    Target,
    BandEdge,
    Fraction { percent: Percent },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Destination")]
enum DestinationBytes {
    Target,
    BandEdge,
    Fraction { percent: Percent },
}

macro_rules! tagged_in_text {
    ($type:ident, $text:ident, $bytes:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    $text::serialize(self, serializer)
                } else {
                    $bytes::serialize(self, serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    $text::deserialize(deserializer)
                } else {
                    $bytes::deserialize(deserializer)
                }
            }
        }
    };
}

tagged_in_text!(Band, BandText, BandBytes);
tagged_in_text!(Destination, DestinationText, DestinationBytes);
