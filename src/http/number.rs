//! Decimals from JSON: strings, and numbers where they survive the way through binary floats.
//!
//! A decimal of up to 15 significant digits comes back from a 64-bit float exactly as it went
//! in; a longer one may not. Money is never guessed: such numbers must be sent as strings.

use serde_json::Value;

/// Most significant digits that every 64-bit float gives back.
const EXACT_DIGITS_MAX: usize = 15;

const SEND_A_STRING: &str = "send it as a string, such as \"12.5\"";

/// The text of a decimal, which is parsed further by its unit.
pub fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => exact(&number.to_string()),
        _ => Err(format!("it must be a decimal; {SEND_A_STRING}")),
    }
}

fn exact(text: &str) -> Result<String, String> {
    if text.contains(['e', 'E']) {
        return Err(format!(
            "the number {text} has an exponent; {SEND_A_STRING}"
        ));
    }
    if significant_digits(text) > EXACT_DIGITS_MAX {
        return Err(format!(
            "the number {text} has more than {EXACT_DIGITS_MAX} significant digits; {SEND_A_STRING}"
        ));
    }
    Ok(text.strip_suffix(".0").unwrap_or(text).to_owned())
}

/// Digits without leading and trailing zeros; an exponent's digits do not count.
fn significant_digits(token: &str) -> usize {
    let mantissa = token.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}

/// Finds a number in a JSON text that reads as a shorter one: its digits would be lost without
/// a trace, so the text itself has to be looked at.
pub fn lossy_in(body: &[u8]) -> Option<String> {
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'"' => at = after_string(body, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = after_number(body, at);
                if let Some(detail) = lossy(&body[at..end]) {
                    return Some(format!("{detail} (byte {at} of the body)"));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn lossy(token: &[u8]) -> Option<String> {
    let token = std::str::from_utf8(token).ok()?;
    let written = significant_digits(token);
    if written <= EXACT_DIGITS_MAX {
        return None;
    }
    let read: f64 = token.parse().ok()?;
    let kept = significant_digits(&format!("{read:e}"));
    (kept < written).then(|| {
        format!("the number {token} has more digits than JSON numbers carry; {SEND_A_STRING}")
    })
}

fn after_string(body: &[u8], mut at: usize) -> usize {
    while at < body.len() {
        match body[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn after_number(body: &[u8], start: usize) -> usize {
    let is_part = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    start + body[start..].iter().take_while(|b| is_part(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_taken_as_strings_and_as_numbers_that_survive() {
        for (json, expected) in [
            (r#""12.5""#, Some("12.5")),
            (r#""-0.000000000001""#, Some("-0.000000000001")),
            ("12.5", Some("12.5")),
            ("10000", Some("10000")),
            ("100.0", Some("100")),
            ("0.1", Some("0.1")),
            ("1e3", Some("1000")),
            ("123456789012345", Some("123456789012345")),
            ("1234567890.12345", Some("1234567890.12345")),
            ("1234567890.123456", None),
            ("1234567890123456", None),
            ("1e300", None),
            ("1e-9", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(text(&value).ok().as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn digits_that_would_vanish_are_seen_in_the_text() {
        for (json, lost) in [
            (r#"{"a":0.1}"#, false),
            (r#"{"a":"0.10000000000000000555"}"#, false),
            (r#"{"a\"1":0.10000000000000000555}"#, true),
            (r#"{"a":[1,2,33.30000000000000001]}"#, true),
            (r#"{"a":100000000000000000000}"#, false),
            (r#"{"a":1.500000000000000000}"#, false),
            (r#"{"a":9007199254740993.5}"#, true),
        ] {
            assert_eq!(lossy_in(json.as_bytes()).is_some(), lost, "{json}");
        }
    }
}
