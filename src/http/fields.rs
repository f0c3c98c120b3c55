//! Reads an object field by field and remembers every rule that is broken, with its place.
//!
//! ```text
//! let mut fields = Fields::of(&body)?;
//! let name = fields.required("name", text);
//! let cash = fields.optional("cash", decimal);
//! fields.finish()?;                        // every error at once, unknown fields among them
//! ```

use std::fmt::Display;
use std::str::FromStr;

use evenkeel_domain::values::{DecimalError, Text};
use serde_json::{Map, Value};

use super::body;
use super::number;
use super::problem::{Code, FieldError, Problem};

/// Most errors that are told at once.
const ERRORS_MAX: usize = 20;

/// An object that is being read.
#[derive(Debug)]
pub struct Fields {
    path: String,
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// How one value is read; the error is the rule that it breaks.
pub type Read<T> = fn(&Value) -> Result<T, String>;

impl Fields {
    /// The object of a body; an empty body is an empty object.
    pub fn of(body: &[u8]) -> Result<Self, Problem> {
        Ok(Self::at(String::new(), body::object(body)?))
    }

    fn at(path: String, map: Map<String, Value>) -> Self {
        Self {
            path,
            map,
            errors: Vec::new(),
        }
    }

    fn place(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Notes that a field breaks a rule.
    pub fn refuse(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let place = self.place(name);
        self.errors.push(FieldError::new(place, code, detail));
    }

    /// A field that may be missing or null.
    pub fn optional<T>(&mut self, name: &str, read: Read<T>) -> Option<T> {
        self.nullable(name, read).flatten()
    }

    /// A field that may be missing (outer none) or null (inner none).
    #[expect(
        clippy::option_option,
        reason = "missing and null mean different things here"
    )]
    pub fn nullable<T>(&mut self, name: &str, read: Read<T>) -> Option<Option<T>> {
        let value = self.map.remove(name)?;
        if value.is_null() {
            return Some(None);
        }
        match read(&value) {
            Ok(read) => Some(Some(read)),
            Err(detail) => {
                self.refuse(name, "invalid", detail);
                None
            }
        }
    }

    /// A field that must be there.
    pub fn required<T>(&mut self, name: &str, read: Read<T>) -> Option<T> {
        if self.map.get(name).is_none_or(Value::is_null) {
            self.map.remove(name);
            self.refuse(name, "required", "it is required");
            return None;
        }
        self.optional(name, read)
    }

    /// Whether a field is there, null or not.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// An object inside; missing, null and wrong ones read as empty.
    pub fn object(&mut self, name: &str) -> Self {
        let place = self.place(name);
        match self.map.remove(name) {
            Some(Value::Object(map)) => Self::at(place, map),
            None | Some(Value::Null) => Self::at(place, Map::new()),
            Some(_) => {
                self.refuse(name, "invalid", "it must be an object");
                Self::at(place, Map::new())
            }
        }
    }

    /// An object inside that may be missing or null: then there is none.
    pub fn present(&mut self, name: &str) -> Option<Self> {
        if self.map.get(name).is_none_or(Value::is_null) {
            self.map.remove(name);
            return None;
        }
        Some(self.object(name))
    }

    /// A list of objects; none when missing or null.
    pub fn objects(&mut self, name: &str) -> Option<Vec<Self>> {
        let items = self.optional(name, list)?;
        let mut objects = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let place = self.place(&format!("{name}[{at}]"));
            if let Value::Object(map) = item {
                objects.push(Self::at(place, map));
            } else {
                let error = FieldError::new(place, "invalid", "it must be an object");
                self.errors.push(error);
            }
        }
        Some(objects)
    }

    /// What is left of the fields, as pairs: for objects whose names are not fixed.
    pub fn rest(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.map).into_iter().collect()
    }

    /// Takes over the errors of an object inside.
    pub fn absorb(&mut self, inner: Self) {
        let errors = inner.into_errors();
        self.errors.extend(errors);
    }

    fn into_errors(mut self) -> Vec<FieldError> {
        for (name, _) in self.rest() {
            let name: String = name.chars().take(64).collect();
            self.refuse(&name, "unknown_field", "there is no such field");
        }
        self.errors
    }

    /// Ends reading: refuses when any rule was broken or a field is left.
    pub fn finish(self) -> Result<(), Problem> {
        let mut errors = self.into_errors();
        if errors.is_empty() {
            return Ok(());
        }
        errors.truncate(ERRORS_MAX);
        Err(Problem::fields(Code::ValidationFailed, errors))
    }
}

/// What cannot happen after a clean [`Fields::finish`]: a required value is missing.
pub fn incomplete() -> Problem {
    Problem::new(Code::ValidationFailed, "a required field is missing")
}

/// Any value that is written as a string.
pub fn parsed<T>(value: &Value) -> Result<T, String>
where
    T: FromStr<Err: Display>,
{
    let text = value.as_str().ok_or("it must be a string")?;
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A decimal as a string, or as a number that survives.
pub fn decimal<T: FromStr<Err = DecimalError>>(value: &Value) -> Result<T, String> {
    let text = number::text(value)?;
    text.parse()
        .map_err(|error: DecimalError| error.to_string())
}

/// Text that may not be empty.
pub fn required_text<const MAX: usize>(value: &Value) -> Result<Text<MAX>, String> {
    let text = value.as_str().ok_or("it must be a string")?;
    Text::required(text).map_err(|error| error.to_string())
}

/// Text that may be empty.
pub fn text<const MAX: usize>(value: &Value) -> Result<Text<MAX>, String> {
    let text = value.as_str().ok_or("it must be a string")?;
    Text::optional(text).map_err(|error| error.to_string())
}

/// True or false.
pub fn boolean(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "it must be true or false".to_owned())
}

/// A list of anything.
pub fn list(value: &Value) -> Result<Vec<Value>, String> {
    value
        .as_array()
        .cloned()
        .ok_or_else(|| "it must be a list".to_owned())
}

/// A list of strings.
pub fn strings(value: &Value) -> Result<Vec<String>, String> {
    let text = |item: &Value| item.as_str().map(ToOwned::to_owned);
    let items = value.as_array().ok_or("it must be a list of strings")?;
    let strings: Option<Vec<_>> = items.iter().map(text).collect();
    strings.ok_or_else(|| "it must be a list of strings".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_domain::values::{Amount, Asset, Span};

    #[test]
    fn every_broken_rule_is_told_with_its_place() {
        let body =
            br#"{"amount":"-x","extra":1,"inner":{"span":"1y","more":2},"list":[{"asset":" "},3]}"#;
        let mut fields = Fields::of(body).unwrap();
        assert_eq!(fields.required::<Amount>("amount", decimal), None);
        assert_eq!(fields.required::<Amount>("gone", decimal), None);
        let mut inner = fields.object("inner");
        assert_eq!(inner.optional::<Span>("span", parsed), None);
        fields.absorb(inner);
        for mut item in fields.objects("list").unwrap() {
            assert_eq!(item.required::<Asset>("asset", parsed), None);
            fields.absorb(item);
        }
        let problem = fields.finish().unwrap_err();
        let told: Vec<_> = problem
            .errors
            .iter()
            .map(|e| (e.field.as_str(), e.code))
            .collect();
        assert_eq!(
            told,
            [
                ("amount", "invalid"),
                ("gone", "required"),
                ("inner.span", "invalid"),
                ("inner.more", "unknown_field"),
                ("list[1]", "invalid"),
                ("list[0].asset", "invalid"),
                ("extra", "unknown_field"),
            ]
        );
    }

    #[test]
    fn null_is_told_from_missing_only_where_it_matters() {
        let mut fields = Fields::of(br#"{"a":null,"b":null}"#).unwrap();
        assert_eq!(fields.nullable::<Amount>("a", decimal), Some(None));
        assert_eq!(fields.nullable::<Amount>("c", decimal), None);
        assert_eq!(fields.optional::<Amount>("b", decimal), None);
        assert!(fields.finish().is_ok());
    }
}
