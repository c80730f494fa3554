//! Selects from a list of records by their fields: `where`, `pluck`, `sort`, `unique`.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::{Map, Value};

use super::{
    ANY_OPTION, HelperCall, HelperDefinition, UNLIMITED,
    call::{describe, to_text},
    number::Number,
    pure_helper,
};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("where", 1..=UNLIMITED, ANY_OPTION, where_),
    pure_helper("pluck", 2..=2, &[], pluck),
    pure_helper("sort", 1..=2, &[&["numeric", "reverse"]], sort),
    pure_helper("unique", 1..=2, &[], unique),
];

/// Keeps the members in which every named field is truthy (not empty, not zero, not false, not missing), and every
/// field that is given as an option matches.
fn where_(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let fields = (1..call.len()).map(|index| call.text(index)).collect::<Result<Vec<_>, _>>()?;
    let wanted = call.options()?;
    let holds = |member: &Value, name: &str| {
        field(member, name).is_some_and(|value| handlebars::JsonTruthy::is_truthy(value, false))
    };
    let selected = |member: &&Value| fields.iter().all(|name| holds(member, name)) && has_fields(member, &wanted);
    Ok(call.list(0)?.iter().filter(selected).cloned().collect())
}

/// Whether each field of `wanted` matches.
fn has_fields(record: &Value, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(name, wanted)| record.get(name).is_some_and(|value| matches_value(value, wanted)))
}

/// A list matches if one of its members does; a record if each wanted field does.
fn matches_value(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Array(members), wanted) if !wanted.is_array() => {
            members.iter().any(|member| matches_value(member, wanted))
        }
        (value, Value::Object(wanted)) => has_fields(value, wanted),
        (value, wanted) => is_equal(value, wanted),
    }
}

/// A field of a record. `meta.host` is the key `host` of the field `meta`; further dots are part of the key.
pub(super) fn field<'a>(member: &'a Value, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((name, key)) => member.get(name)?.get(key),
        None => member.get(name),
    }
}

/// Whether two values print the same text: 80 and "80" are equal, because values from Meta and keys are texts.
pub(super) fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(_) | Value::Object(_) | Value::Null, _) | (_, Value::Array(_) | Value::Object(_)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        _ => {
            to_text(a) == to_text(b)
                || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a.to_bits() == b.to_bits())
        }
    }
}

fn pluck(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let name = call.text(1)?;
    Ok(call.list(0)?.iter().filter_map(|member| field(member, &name)).cloned().collect())
}

/// Sorts numbers by value, then texts byte by byte, then members without the field. The sort is stable.
fn sort(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (list, name) = (call.list(0)?, call.optional_text(1)?);
    let (numeric, reverse) = (call.flag("numeric")?, call.flag("reverse")?);
    let (mut sorted, mut without) = (Vec::new(), Vec::new());
    for (index, member) in list.iter().enumerate() {
        match name.as_ref().map_or(Some(member), |name| field(member, name)) {
            Some(value) => {
                let rank = SortKey::of(value, numeric).map_err(|reason| format!("member {}: {reason}", index + 1))?;
                sorted.push((rank, member));
            }
            None => without.push(member),
        }
    }
    sorted.sort_by(|(a, _), (b, _)| if reverse { b.compare(a) } else { a.compare(b) });
    Ok(sorted.into_iter().map(|(_, member)| member).chain(without).cloned().collect())
}

/// The sort key of a member.
enum SortKey<'a> {
    Number(Number),
    Text(Cow<'a, str>),
}

impl<'a> SortKey<'a> {
    fn of(value: &'a Value, numeric: bool) -> Result<Self, String> {
        match value {
            Value::Array(_) | Value::Object(_) => Err(format!("{} cannot be compared: name a field", describe(value))),
            _ if numeric || value.is_number() => {
                Number::from_json(value).map(Self::Number).ok_or_else(|| format!("{} is not a number", describe(value)))
            }
            Value::String(text) => Ok(Self::Text(text.into())),
            other => Ok(Self::Text(other.to_string().into())),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(*b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// Keeps the first of equal members, or of members with equal fields.
fn unique(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (list, name) = (call.list(0)?, call.optional_text(1)?);
    let mut selected: Vec<(Option<&Value>, &Value)> = Vec::new();
    for member in list {
        let value = name.as_ref().map_or(Some(member), |name| field(member, name));
        let is_known = selected.iter().any(|(known, _)| match (known, value) {
            (Some(known), Some(value)) => is_equal(known, value),
            (known, value) => known.is_none() && value.is_none(),
        });
        if !is_known {
            selected.push((value, member));
        }
    }
    Ok(selected.into_iter().map(|(_, member)| member).cloned().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn members_are_selected_by_their_fields() {
        let data = json!({"all": [
            {"id": "a", "port": 80, "tags": ["v1", "blue"], "meta": {"weight": "10", "a.b": "x"}},
            {"id": "b", "port": 443, "tags": [], "meta": {"weight": "9"}},
            {"id": "c", "port": 80, "tags": ["v1"], "meta": {}},
        ]});
        assert_values(
            &data,
            &[
                (r#"(pluck (where all "tags") "id")"#, r#"["a","c"]"#),
                (r#"(pluck (where all "meta.weight" "tags") "id")"#, r#"["a"]"#),
                (r#"(pluck (where all "meta.a.b") "id")"#, r#"["a"]"#),
                (r#"(pluck (where all port=80) "id")"#, r#"["a","c"]"#),
                (r#"(pluck (where all port="80" id="c") "id")"#, r#"["c"]"#),
                (r#"(pluck (where all tags="blue") "id")"#, r#"["a"]"#),
                (r#"(pluck (where all tags=["v1"]) "id")"#, r#"["c"]"#),
                (r#"(pluck (where all "tags" meta=(dict weight=10)) "id")"#, r#"["a"]"#),
                (r#"(where all colour="")"#, "[]"),
                (r#"(pluck all "meta.weight")"#, r#"["10","9"]"#),
                (r#"(pluck (sort all "port") "id")"#, r#"["a","c","b"]"#),
                (r#"(pluck (sort all "port" reverse=true) "id")"#, r#"["b","a","c"]"#),
                (r#"(pluck (sort all "meta.weight") "id")"#, r#"["a","b","c"]"#),
                (r#"(pluck (sort all "meta.weight" numeric=true) "id")"#, r#"["b","a","c"]"#),
                (r#"(pluck (sort all "meta.weight" numeric=true reverse=true) "id")"#, r#"["a","b","c"]"#),
                (r#"(sort ["b", 10, "a", 9, 9.5, true])"#, r#"[9,9.5,10,"a","b",true]"#),
                (r#"(pluck (unique all "port") "id")"#, r#"["a","b"]"#),
                (r#"(pluck (unique all "colour") "id")"#, r#"["a"]"#),
                (r#"(unique [1, "1", 1.0, 2, null, null])"#, "[1,2,null]"),
            ],
        );
        assert_errors(
            &data,
            &[
                ("(sort all)", "sort: member 1: a record cannot be compared: name a field"),
                (r#"(sort ["a"] numeric=true)"#, "sort: member 1: \"a\" is not a number"),
                (r#"(where all port=nothing)"#, "where: port: there is no value `nothing` here"),
                (r#"(pluck 1 "id")"#, "pluck: argument 1 must be a list, not 1"),
            ],
        );
    }
}
