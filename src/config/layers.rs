//! Where values come from: each key's text, and who gave it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{ConfigError, ConfigErrors};
use super::keys::{self, KEYS, Key};

/// What a configuration is made of. The environment is given, so that tests need not set it.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Values of command-line flags, by key.
    pub flags: Vec<(&'static Key, String)>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The file.
    pub file: Option<PathBuf>,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody.
    Default,
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag => f.write_str("the command line"),
        }
    }
}

/// The text of each key and who gave it.
#[derive(Clone)]
pub(super) struct Layers {
    given: BTreeMap<&'static str, (String, Source)>,
    warnings: Vec<String>,
}

impl fmt::Debug for Layers {
    /// Names only: among the values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

/// Variables that are no keys but ours all the same: those of the client commands.
const OTHER_VARIABLES: [&str; 3] = ["EVENKEEL_URL", "EVENKEEL_TOKEN", "EVENKEEL_WEBHOOK_SECRET"];

impl Layers {
    /// Lays flags over environment over file.
    pub(super) fn gather(inputs: &Inputs) -> Result<Self, ConfigErrors> {
        let mut given = match &inputs.file {
            Some(path) => from_file(path)?,
            None => BTreeMap::new(),
        };
        for key in KEYS {
            if let Some(value) = from_env(key, &inputs.env)? {
                given.insert(key.name, value);
            }
        }
        for (key, value) in &inputs.flags {
            given.insert(key.name, (value.clone(), Source::Flag));
        }
        let warnings = unknown_variables(&inputs.env);
        Ok(Self { given, warnings })
    }

    pub(super) fn text(&self, key: &Key) -> &str {
        self.given
            .get(key.name)
            .map_or(key.default, |(text, _)| text.as_str())
    }

    pub(super) fn source(&self, key: &Key) -> Source {
        self.given
            .get(key.name)
            .map_or(Source::Default, |(_, source)| source.clone())
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// No error: orchestrators put variables of their own into the environment, named after the
/// service.
fn unknown_variables(env: &BTreeMap<String, String>) -> Vec<String> {
    let known = |name: &str| {
        let key =
            |key: &&Key| name == key.env || (key.secret && name == format!("{}_FILE", key.env));
        OTHER_VARIABLES.contains(&name) || KEYS.iter().any(key)
    };
    let ours = |name: &&String| name.starts_with("EVENKEEL_") || name.starts_with("DRIFT_MONITOR_");
    env.keys()
        .filter(ours)
        .filter(|name| !known(name))
        .map(|name| format!("the environment variable {name} is not known and does nothing"))
        .collect()
}

fn from_env(
    key: &Key,
    env: &BTreeMap<String, String>,
) -> Result<Option<(String, Source)>, ConfigErrors> {
    if let Some(value) = env.get(key.env) {
        return Ok(Some((value.clone(), Source::Env(key.env.to_owned()))));
    }
    let name = format!("{}_FILE", key.env);
    let Some(path) = env.get(&name).filter(|_| key.secret) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File {
        path: path.into(),
        problem: format!("cannot be read for {name}: {error}"),
    })?;
    Ok(Some((text.trim().to_owned(), Source::Env(name))))
}

fn from_file(path: &Path) -> Result<BTreeMap<&'static str, (String, Source)>, ConfigErrors> {
    let refuse = |problem: String| ConfigError::File {
        path: path.to_owned(),
        problem,
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("the file cannot be read: {error}")))?;
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| refuse(one_line(&error.to_string())))?;
    let (mut given, mut errors) = (BTreeMap::new(), Vec::new());
    flatten(
        "",
        &table,
        &mut |name, value| match (keys::named(&name), in_text(value)) {
            (Some(key), Some(text)) => {
                given.insert(key.name, (text, Source::File(path.to_owned())));
            }
            (Some(key), None) => errors.push(ConfigError::Value {
                key: key.name,
                source_of: Source::File(path.to_owned()),
                value: format!("a {}", value.type_str()),
                problem: "it must be a string, a number, true or false, or a list of strings"
                    .to_owned(),
                allowed: key.allowed,
            }),
            (None, _) => errors.push(unknown(path, name)),
        },
    );
    if errors.is_empty() {
        Ok(given)
    } else {
        Err(ConfigErrors(errors))
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn flatten(prefix: &str, table: &Table, take: &mut impl FnMut(String, &Value)) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            Value::Table(inner) if keys::named(&name).is_none() => {
                flatten(&format!("{name}."), inner, take);
            }
            value => take(name, value),
        }
    }
}

fn unknown(path: &Path, key: String) -> ConfigError {
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let of = |name: &str| name.rsplit_once('.').map_or("", |(section, _)| section) == section;
    let known: Vec<_> = KEYS
        .iter()
        .map(|key| key.name)
        .filter(|name| of(name))
        .collect();
    let known = if known.is_empty() {
        KEYS.iter().map(|key| key.name).collect()
    } else {
        known
    };
    ConfigError::UnknownKey {
        path: path.to_owned(),
        key,
        known: known.join(", "),
    }
}

/// A value as it would be written in the environment.
fn in_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}
