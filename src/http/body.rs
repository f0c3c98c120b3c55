//! The body of a request: read with a cap and a deadline, and taken as JSON without surprises.

use std::fmt;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::number;
use super::problem::{Code, FieldError, Problem};

/// Largest body: an index of 200 constituents is 10 KB, 10,000 pushed prices are 300 KB.
pub const BODY_MAX_BYTES: usize = 1 << 20;
/// A body must have arrived within this time: a slow one holds a connection and its memory.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body, in whatever way it is sent.
pub async fn read<S, B, E>(headers: &HeaderMap, body: S) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
    E: fmt::Display,
{
    if !has_body(headers) {
        return Ok(Bytes::new());
    }
    if !is_json(headers) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "send the body as JSON with Content-Type: application/json",
        ));
    }
    if announced(headers).is_some_and(|length| length > BODY_MAX_BYTES as u64) {
        return Err(too_large());
    }
    tokio::time::timeout(BODY_READ_TIMEOUT, collect(body))
        .await
        .unwrap_or_else(|_| {
            let secs = BODY_READ_TIMEOUT.as_secs();
            let detail = format!("the body did not arrive within {secs} s");
            Err(closing(Problem::new(Code::RequestTimeout, detail)))
        })
}

async fn collect<S, B, E>(body: S) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
    E: fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut read = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|error| {
            Problem::new(
                Code::MalformedRequest,
                format!("the body broke off: {error}"),
            )
        })?;
        if read.len() + chunk.remaining() > BODY_MAX_BYTES {
            return Err(too_large());
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            let length = part.len();
            read.extend_from_slice(part);
            chunk.advance(length);
        }
    }
    Ok(read.freeze())
}

fn too_large() -> Problem {
    closing(Problem::new(
        Code::BodyTooLarge,
        format!("a body has at most {BODY_MAX_BYTES} bytes"),
    ))
}

/// What is left of the body is not read: the connection cannot be used again.
fn closing(problem: Problem) -> Problem {
    problem.with_header(CONNECTION, HeaderValue::from_static("close"))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || announced(headers).is_some_and(|length| length > 0)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
}

/// The object that a body holds; an empty body is an empty object.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let malformed = |detail: String| Problem::new(Code::MalformedJson, detail);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| malformed(format!("the body is not usable JSON: {error}")))?;
    if let Some(detail) = number::lossy_in(body) {
        let errors = vec![FieldError::new("", "inexact_number", detail)];
        return Err(Problem::fields(Code::ValidationFailed, errors));
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(malformed("the body must be a JSON object".to_owned())),
    }
}

/// Reads any JSON, but no object that names a field twice: which of two amounts counts is not
/// ours to guess.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is too large"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Self)?;
            if map.contains_key(&name) {
                let message = format!("the field {name:?} stands more than once");
                return Err(de::Error::custom(message));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&str, &str)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    async fn code_of(pairs: &[(&str, &str)], chunks: Vec<Bytes>) -> Result<usize, Code> {
        let body = stream::iter(chunks.into_iter().map(Ok::<_, String>));
        let read = read(&headers(pairs), body).await;
        read.map(|bytes| bytes.len())
            .map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_cap_however_it_is_sent() {
        let json = ("content-type", "application/json");
        let full = Bytes::from(vec![b' '; BODY_MAX_BYTES]);
        let chunked = [json, ("transfer-encoding", "chunked")];
        assert_eq!(
            code_of(&chunked, vec![full.clone()]).await,
            Ok(BODY_MAX_BYTES)
        );
        let over = vec![full, Bytes::from_static(b"x")];
        assert_eq!(code_of(&chunked, over).await, Err(Code::BodyTooLarge));
        let announced = [json, ("content-length", "1048577")];
        assert_eq!(code_of(&announced, vec![]).await, Err(Code::BodyTooLarge));
        let plain = [("content-type", "text/plain"), ("content-length", "2")];
        assert_eq!(
            code_of(&plain, vec![]).await,
            Err(Code::UnsupportedMediaType)
        );
        assert_eq!(
            code_of(&[("content-length", "2")], vec![]).await,
            Err(Code::UnsupportedMediaType)
        );
        assert_eq!(code_of(&[], vec![]).await, Ok(0));
        let suffixed = [
            ("content-type", "application/x+json; charset=utf-8"),
            ("content-length", "2"),
        ];
        assert_eq!(
            code_of(&suffixed, vec![Bytes::from_static(b"{}")]).await,
            Ok(2)
        );
    }

    #[test]
    fn bodies_that_are_no_plain_object_are_refused() {
        for body in [
            "[]",
            "1",
            "{",
            "{}x",
            "\u{1}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            &"[".repeat(100_000),
        ] {
            let code = object(body.as_bytes()).unwrap_err().code;
            assert_eq!(code, Code::MalformedJson, "{}", &body[..body.len().min(40)]);
        }
        assert_eq!(object(b"\xff\xfe").unwrap_err().code, Code::MalformedJson);
        assert!(object(b"").unwrap().is_empty());
        assert_eq!(
            object(br#"{"a":[1,"b",null,true,2.5]}"#).unwrap()["a"][4],
            2.5
        );
    }

    #[test]
    fn a_number_that_would_lose_digits_is_refused() {
        let problem = object(br#"{"amount":0.1000000000000000055}"#).unwrap_err();
        assert_eq!(problem.code, Code::ValidationFailed);
        assert!(problem.detail.contains("string"), "{}", problem.detail);
    }
}
