//! What is wrong with a configuration: one line per mistake.

use std::fmt;
use std::path::PathBuf;

use super::layers::Source;

/// A mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that its key does not allow.
    #[error("{key} (from {source_of}): {value} is wrong: {problem}; allowed: {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// Where the value comes from.
        source_of: Source,
        /// The value, quoted; hidden for secrets.
        value: String,
        /// What is wrong.
        problem: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A key in the file that nobody knows.
    #[error("{path}: there is no key {key:?}; known are: {known}")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key as it stands there.
        key: String,
        /// What there is in that section.
        known: String,
    },
    /// A file that cannot be read or is no TOML.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// All mistakes of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}
