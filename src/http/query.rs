//! Query parameters, each read once; one that nobody reads is a mistake and is named.

use std::fmt::Display;
use std::str::FromStr;

use url::form_urlencoded;

use super::problem::{Code, FieldError, Problem};

/// Items of a page unless the client says otherwise.
pub const LIMIT_DEFAULT: usize = 50;
/// Most items of a page.
pub const LIMIT_MAX: usize = 500;

/// The query of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Splits a query string.
    pub fn parse(raw: &str) -> Self {
        Self(
            form_urlencoded::parse(raw.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The text of a parameter; an empty one counts as missing.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        while let Some(at) = self.0.iter().position(|(known, _)| known == name) {
            let (_, value) = self.0.remove(at);
            if found.replace(value).is_some() {
                return Err(refused(name, "repeated", "it stands more than once"));
            }
        }
        Ok(found.filter(|value| !value.is_empty()))
    }

    /// A parameter of any type that is written as text.
    pub fn parsed<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let parsed = text.parse();
        parsed
            .map(Some)
            .map_err(|error: T::Err| refused(name, "invalid", &error.to_string()))
    }

    /// A switch: `true`, `1` or `false`, `0`.
    pub fn switch(&mut self, name: &str) -> Result<bool, Problem> {
        match self.text(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(refused(name, "invalid", "it must be true or false")),
        }
    }

    /// How many items a page shall have.
    pub fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.parsed("limit")?.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            let detail = format!("it must be from 1 to {LIMIT_MAX}");
            Err(refused("limit", "out_of_range", &detail))
        }
    }

    /// A wish for a page whose cursor is of any type that is written as text.
    pub fn page<T>(&mut self) -> Result<(Option<T>, usize), Problem>
    where
        T: FromStr<Err: Display>,
    {
        Ok((self.parsed("cursor")?, self.limit()?))
    }

    /// Ends reading: refuses when a parameter is left.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(refused(
                    &name,
                    "unknown_parameter",
                    "there is no such parameter here",
                ))
            }
        }
    }
}

/// A parameter that cannot be used.
pub fn refused(name: &str, code: &'static str, detail: &str) -> Problem {
    let errors = vec![FieldError::new(name, code, detail)];
    Problem::fields(Code::MalformedRequest, errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_domain::values::IndexId;

    #[test]
    fn pages_are_asked_for_by_limit_and_cursor() {
        let id = "idx_0190a6bc7f2e7c5e8d3a1b2c3d4e5f60";
        for (raw, expected) in [
            (String::new(), Some((None, LIMIT_DEFAULT))),
            ("limit=1".to_owned(), Some((None, 1))),
            (format!("cursor={id}&limit=500"), Some((Some(id), 500))),
            ("cursor=".to_owned(), Some((None, LIMIT_DEFAULT))),
            ("limit=0".to_owned(), None),
            ("limit=501".to_owned(), None),
            ("limit=ten".to_owned(), None),
            ("limit=1&limit=2".to_owned(), None),
            ("cursor=whk_1".to_owned(), None),
        ] {
            let page = Query::parse(&raw).page::<IndexId>();
            let told = page
                .ok()
                .map(|(cursor, limit)| (cursor.map(|c| c.to_string()), limit));
            let expected = expected.map(|(c, limit)| (c.map(ToOwned::to_owned), limit));
            assert_eq!(told, expected, "{raw}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_named() {
        let mut query = Query::parse("limit=5&limt=6");
        assert_eq!(query.limit(), Ok(5));
        let problem = query.finish().unwrap_err();
        assert_eq!(problem.errors[0].field, "limt");
        assert_eq!(problem.code, Code::MalformedRequest);
    }
}
