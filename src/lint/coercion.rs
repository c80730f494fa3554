//! Predicts the text into which Compose converts an unquoted scalar. Pure.
//!
//! Compose reads the file as YAML and converts numbers, dates and booleans back into text. The rules are those of
//! go-yaml, which Compose uses.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

/// go-yaml's `yamlStyleFloat`.
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("a constant expression")
});

/// The YAML type of a scalar, and the text that a container gets instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoercedScalar {
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// The converted scalar; `None` if the text stays as it was written.
pub(super) fn coerced(text: &str) -> Option<CoercedScalar> {
    let (kind, converted) = coerced_boolean(text)
        .or_else(|| coerced_integer(text))
        .or_else(|| coerced_float(text))
        .or_else(|| coerced_date(text))?;
    (converted != text).then_some(CoercedScalar { kind, text: converted })
}

fn coerced_boolean(text: &str) -> Option<(&'static str, String)> {
    ["true", "True", "TRUE", "false", "False", "FALSE"].contains(&text).then(|| ("a boolean", text.to_lowercase()))
}

/// Go's `ParseInt` with base 0, underscores removed: `0x1F`, `0o17`, `017` and `0b11` are integers.
fn coerced_integer(text: &str) -> Option<(&'static str, String)> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix(['-', '+']) {
        Some(digits) => (if plain.starts_with('-') { "-" } else { "" }, digits),
        None => ("", plain.as_str()),
    };
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let parsed = [("0x", 16), ("0b", 2), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some(u64::from_str_radix(lower.strip_prefix(prefix)?, radix)));
    let number = match parsed {
        Some(number) => number.ok()?,
        None if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(&digits[1..], 8).ok()?,
        None => digits.parse().ok()?,
    };
    let sign = if number == 0 { "" } else { sign };
    Some(("a number", format!("{sign}{number}")))
}

/// Formats a float64 as Go's `%v` does.
fn coerced_float(text: &str) -> Option<(&'static str, String)> {
    let named = match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some("+Inf"),
        "-.inf" | "-.Inf" | "-.INF" => Some("-Inf"),
        ".nan" | ".NaN" | ".NAN" => Some("NaN"),
        _ => None,
    };
    if let Some(named) = named {
        return Some(("a number", named.to_owned()));
    }
    if text.starts_with('_') {
        return None;
    }
    let plain = text.replace('_', "");
    let number: f64 = FLOAT.is_match(&plain).then(|| plain.parse().ok())??;
    let exponent = if number == 0.0 { 0.0 } else { number.abs().log10().floor() };
    let text_of_number = if (-4.0..21.0).contains(&exponent) {
        number.to_string()
    } else {
        let text_of_number = format!("{number:e}");
        let (digits, exponent) = text_of_number.split_once('e')?;
        let exponent: i32 = exponent.parse().ok()?;
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
    Some(("a number", text_of_number))
}

/// Only dates without a time are converted here. A scalar with a time is unlikely to be meant as text.
fn coerced_date(text: &str) -> Option<(&'static str, String)> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits =
        |part: &str, lengths: &[usize]| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let shaped = digits(year, &[4]) && digits(month, &[1, 2]) && digits(day, &[1, 2]) && parts.next().is_none();
    let date = shaped.then(|| Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok())??;
    Some(("a date", format!("{date} 00:00:00 +0000 UTC")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_that_become_another_text() {
        let cases = [
            ("1.10", Some("1.1")),
            ("2.0", Some("2")),
            ("1e3", Some("1000")),
            ("1e21", Some("1e+21")),
            ("0.00001", Some("1e-05")),
            (".5", Some("0.5")),
            ("0123", Some("83")),
            ("1_000", Some("1000")),
            ("0x1F", Some("31")),
            ("0o17", Some("15")),
            ("+5", Some("5")),
            ("-0", Some("0")),
            ("2026-11-28", Some("2026-11-28 00:00:00 +0000 UTC")),
            ("2026-1-2", Some("2026-01-02 00:00:00 +0000 UTC")),
            ("TRUE", Some("true")),
            (".inf", Some("+Inf")),
            ("1.5", None),
            ("80", None),
            ("-7", None),
            ("089", Some("89")),
            ("true", None),
            ("yes", None),
            ("on", None),
            ("1.2.3", None),
            ("2026-13-01", None),
            ("10s", None),
            ("_1", None),
            ("0x", None),
            ("-", None),
            ("web", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(coerced(text).map(|changed| changed.text).as_deref(), expected, "{text}");
        }
    }
}
