//! Short text from outside: trimmed, bounded, without control characters.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Text of at most `MAX` characters, without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Box<str>);

/// Text that is too long, empty where it may not be, or contains control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than allowed.
    #[error("it has {found} characters, at most {max} are allowed")]
    TooLong {
        /// Characters found.
        found: usize,
        /// Characters allowed.
        max: usize,
    },
    /// Empty where a text is required.
    #[error("it is empty")]
    Empty,
    /// A control character.
    #[error("it contains a control character")]
    Control,
}

impl<const MAX: usize> Text<MAX> {
    /// Takes text in; it may be empty.
    pub fn optional(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        let found = text.chars().count();
        if found > MAX {
            return Err(TextError::TooLong { found, max: MAX });
        }
        if text.chars().any(char::is_control) {
            return Err(TextError::Control);
        }
        Ok(Self(text.into()))
    }

    /// Takes text in; it may not be empty.
    pub fn required(text: &str) -> Result<Self, TextError> {
        let text = Self::optional(text)?;
        if text.0.is_empty() {
            Err(TextError::Empty)
        } else {
            Ok(text)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text formats come from outside and are held to the rules; what the log stored met them when
/// it was written, and stays readable should they change.
impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let checked = deserializer.is_human_readable();
        let text = Box::<str>::deserialize(deserializer)?;
        if checked {
            Self::optional(&text).map_err(serde::de::Error::custom)
        } else {
            Ok(Self(text))
        }
    }
}
