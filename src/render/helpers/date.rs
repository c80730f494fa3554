//! Converts dates. There is no current time, because equal data must render equal files.

use std::time::Duration;

use jiff::{
    SignedDuration, Timestamp,
    fmt::{strtime, temporal::DateTimeParser},
    tz::TimeZone,
};
use serde_json::Value;

use super::{HelperCall, HelperDefinition, call::describe, number::Number, print::excerpt, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("dateFormat", 2..=2, &[&["zone"]], format),
    pure_helper("dateAdd", 2..=2, &[], add),
    pure_helper("toUnix", 1..=1, &[], |call| Ok(date(call, 0)?.as_second().into())),
    pure_helper("fromUnix", 1..=1, &[], from_unix),
    pure_helper("parseDuration", 1..=1, &[], parse_duration),
];

/// A date in RFC 3339, or in seconds since 1970.
fn date(call: &HelperCall<'_, '_>, index: usize) -> Result<Timestamp, String> {
    let value = call.value(index)?;
    let date = match (Number::from_json(value), value) {
        (Some(Number::Integer(seconds)), _) => Timestamp::from_second(seconds).ok(),
        (None, Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    date.ok_or_else(|| call.type_error(index, "a date like 2026-01-31T12:00:00Z, or seconds since 1970"))
}

fn from_unix(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    call.integer(0)?;
    Ok(date(call, 0)?.to_string().into())
}

fn format(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (date, form) = (date(call, 0)?, call.text(1)?);
    let zone = call.option("zone")?.map_or(Ok(TimeZone::UTC), |name| zone(&name))?;
    let text = strtime::format(&form, &date.to_zoned(zone));
    Ok(text.map_err(|error| format!("argument 2, {}: {error}", excerpt(&form)))?.into())
}

/// A time zone given by its offset or rule. Names are not accepted: their database differs from host to host.
fn zone(name: &str) -> Result<TimeZone, String> {
    let zone = match name {
        "UTC" | "Z" => Ok(TimeZone::UTC),
        _ if name.starts_with(['+', '-']) => DateTimeParser::new().parse_time_zone(name),
        _ => TimeZone::posix(name),
    };
    zone.map_err(|_| {
        format!(
            "zone must be UTC, an offset like +02:00, or a rule like CET-1CEST,M3.5.0,M10.5.0/3, not {}",
            excerpt(name)
        )
    })
}

/// Adds a duration, which may be negative, to a date.
fn add(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (from, (length, is_negative)) = (date(call, 0)?, duration(call, 1)?);
    let length = SignedDuration::try_from(length).map_err(|error| error.to_string())?;
    let date = if is_negative { from.checked_sub(length) } else { from.checked_add(length) };
    Ok(date.map_err(|_| "there is no such date: years go from -9999 to 9999".to_owned())?.to_string().into())
}

/// A duration in seconds, as an integer if it is whole.
fn parse_duration(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (length, is_negative) = duration(call, 0)?;
    if length.subsec_nanos() == 0 {
        let seconds = i64::try_from(length.as_secs()).map_err(|_| "it is too long".to_owned())?;
        return Ok(if is_negative { -seconds } else { seconds }.into());
    }
    let seconds = length.as_secs_f64();
    Number::Float(if is_negative { -seconds } else { seconds }).to_json()
}

/// Parses a duration in the syntax of the configuration file, with an optional sign.
fn duration(call: &HelperCall<'_, '_>, index: usize) -> Result<(Duration, bool), String> {
    let text = call.text(index)?;
    let (is_negative, length) = text.strip_prefix('-').map_or((false, &*text), |rest| (true, rest));
    let length = humantime::parse_duration(length);
    let value = call.value(index)?;
    let length = length.map_err(|error| {
        format!("argument {} must be a time like 1h30m, not {}: {error}", index + 1, describe(value))
    })?;
    Ok((length, is_negative))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn dates_are_parsed_added_and_formatted() {
        assert_values(
            &json!({"d": "2026-01-31T23:30:00Z", "berlin": "CET-1CEST,M3.5.0,M10.5.0/3"}),
            &[
                (r#"(dateFormat d "%Y-%m-%d %H:%M")"#, "\"2026-01-31 23:30\""),
                (r#"(dateFormat d "%d.%m.%Y %H:%M %z" zone="+02:00")"#, "\"01.02.2026 01:30 +0200\""),
                (r#"(dateFormat d "%H:%M" zone=berlin)"#, "\"00:30\""),
                (r#"(dateFormat "2026-07-01T00:00:00Z" "%H:%M %Z" zone=berlin)"#, "\"02:00 CEST\""),
                (r#"(dateFormat 0 "%A, %-d %B %Y" zone="UTC")"#, "\"Thursday, 1 January 1970\""),
                (r#"(dateFormat "1700000000" "%F")"#, "\"2023-11-14\""),
                ("(toUnix d)", "1769902200"),
                (r#"(toUnix "2026-02-01T01:30:00+02:00")"#, "1769902200"),
                ("(fromUnix 1769902200)", "\"2026-01-31T23:30:00Z\""),
                ("(fromUnix \"-1\")", "\"1969-12-31T23:59:59Z\""),
                (r#"(dateAdd d "1h30m")"#, "\"2026-02-01T01:00:00Z\""),
                (r#"(dateAdd 0 "-1day")"#, "\"1969-12-31T00:00:00Z\""),
                (r#"(parseDuration "1h30m")"#, "5400"),
                (r#"(parseDuration "250ms")"#, "0.25"),
                (r#"(parseDuration "1.5h")"#, "5400"),
                (r#"(parseDuration "-2 days 1s")"#, "-172801"),
            ],
        );
    }

    #[test]
    fn invalid_date_is_an_error() {
        assert_errors(
            &Value::Null,
            &[
                (r#"(toUnix "yesterday")"#, "toUnix: argument 1 must be a date like 2026-01-31T12:00:00Z"),
                (r#"(toUnix "2026-01-31")"#, "not \"2026-01-31\""),
                ("(toUnix 1.5)", "not 1.5"),
                ("(fromUnix 9223372036854775807)", "fromUnix: argument 1 must be a date"),
                (r#"(fromUnix "2026-01-31T00:00:00Z")"#, "fromUnix: argument 1 must be a number"),
                (r#"(dateFormat 0 "%!")"#, "dateFormat: argument 2, \"%!\": "),
                (r#"(dateFormat 0 "%F" zone="Europe/Berlin")"#, "zone must be UTC, an offset like +02:00"),
                (r#"(dateFormat 0 "%F" zone="+99:00")"#, "zone must be UTC"),
                (r#"(dateAdd 0 "soon")"#, "dateAdd: argument 2 must be a time like 1h30m, not \"soon\""),
                (r#"(dateAdd 0 "20000years")"#, "dateAdd: there is no such date"),
                (r#"(parseDuration "5")"#, "parseDuration: argument 1 must be a time like 1h30m, not \"5\""),
            ],
        );
    }
}
