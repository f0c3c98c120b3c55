//! A personal text as the log holds it: sealed with a key of its owner, so that it can be forgotten.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Text;

/// Longest sealed text in bytes: a name's 400, what pads and seals it.
pub const SEALED_MAX_BYTES: usize = 512;

/// Name of an owner or of a token.
type Name = Text<100>;

/// Bytes that mean something only with the key of their owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Box<[u8]>);

/// Bytes that are no sealed text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// Longer than allowed.
    #[error("it has {0} bytes, at most {SEALED_MAX_BYTES} are allowed")]
    TooLong(usize),
    /// Not base64.
    #[error("it is not base64")]
    Encoding,
}

/// As base64 where somebody reads it.
impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&STANDARD.encode(&self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// As with [`Text`], what comes as text is held to the bound, and what the log stored is not.
impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Box::deserialize(deserializer).map(Self);
        }
        let refused = |error: SealedError| serde::de::Error::custom(error);
        let bytes = STANDARD.decode(String::deserialize(deserializer)?);
        let bytes = bytes.map_err(|_| refused(SealedError::Encoding))?;
        Self::new(bytes).map_err(refused)
    }
}

impl Sealed {
    /// Takes sealed bytes in.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SealedError> {
        if bytes.len() > SEALED_MAX_BYTES {
            return Err(SealedError::TooLong(bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A personal text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Personal {
    /// As it was given: not sealed yet, or from the log of an evenkeel that did not seal.
    Plain(Name),
    /// Sealed with the key of its owner.
    Sealed(Sealed),
}

/// As it was given.
impl From<Name> for Personal {
    fn from(name: Name) -> Self {
        Self::Plain(name)
    }
}

/// Personal text as it is stored.
#[derive(Serialize, Deserialize)]
enum Stored {
    Plain(Name),
    Sealed(Sealed),
}

/// Personal text as it is shown: `"Ada"`, or `{"sealed":"…"}`, which nobody takes for a name.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Shown {
    Plain(Name),
    Sealed { sealed: Sealed },
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, serializer.is_human_readable()) {
            (Self::Plain(name), true) => Shown::Plain(name.clone()).serialize(serializer),
            (Self::Sealed(sealed), true) => {
                let sealed = sealed.clone();
                Shown::Sealed { sealed }.serialize(serializer)
            }
            (Self::Plain(name), false) => Stored::Plain(name.clone()).serialize(serializer),
            (Self::Sealed(sealed), false) => Stored::Sealed(sealed.clone()).serialize(serializer),
        }
    }
}

/// As with [`Text`], what comes as text is held to the bound, and what the log stored is not.
impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Ok(match Stored::deserialize(deserializer)? {
                Stored::Plain(name) => Self::Plain(name),
                Stored::Sealed(sealed) => Self::Sealed(sealed),
            });
        }
        Ok(match Shown::deserialize(deserializer)? {
            Shown::Plain(name) => Self::Plain(name),
            Shown::Sealed { sealed } => Self::Sealed(sealed),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

    use super::*;

    #[test]
    fn sealed_text_is_never_shown_as_a_name() {
        let sealed = Personal::Sealed(Sealed::new(vec![0, 255, 7]).unwrap());
        let shown = serde_json::to_string(&sealed).unwrap();
        assert_eq!(shown, r#"{"sealed":"AP8H"}"#);
        assert_eq!(serde_json::from_str::<Personal>(&shown).unwrap(), sealed);
        let plain = Personal::Plain(Name::required("Ada").unwrap());
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#""Ada""#);
    }

    #[test]
    fn sealed_text_is_bounded() {
        assert!(Sealed::new(vec![1; SEALED_MAX_BYTES]).is_ok());
        let refused = Sealed::new(vec![1; SEALED_MAX_BYTES + 1]).unwrap_err();
        assert_eq!(refused, SealedError::TooLong(SEALED_MAX_BYTES + 1));
        for wrong in [r#"{"sealed":"?"}"#, r#"{"sealed":1}"#, "7"] {
            assert!(serde_json::from_str::<Personal>(wrong).is_err(), "{wrong}");
        }
    }
}
