//! Lenient reading of the engine's JSON. Pure.
//!
//! Engines of other versions and vendors encode fields in other ways. An invalid value must affect only its own field,
//! not the whole answer. So each function accepts any value, and treats `null`, a missing field and a wrong type alike.

use std::str::FromStr;

use serde_json::Value;

/// A text. Numbers and booleans are converted to text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A number, or a text that contains one.
pub(super) fn number<T: FromStr>(value: &Value) -> Option<T> {
    text(value)?.parse().ok()
}

/// A boolean, or a text that contains one.
pub(super) fn flag(value: &Value) -> Option<bool> {
    number(value)
}

/// The items of an array; none if it is not an array.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The members of an object; none if it is not an object.
pub(super) fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The expected type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Text,
    Flag,
    Number,
    List,
    Map,
}

impl FieldType {
    fn matches(self, value: &Value) -> bool {
        match self {
            Self::Text => text(value).is_some(),
            Self::Flag => flag(value).is_some(),
            Self::Number => number::<i64>(value).is_some(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        }
    }
}

/// The fields (JSON pointers) whose values have another type than expected. A missing field and `null` are valid.
pub(super) fn unreadable(value: &Value, fields: &[(&'static str, FieldType)]) -> Vec<&'static str> {
    let unreadable = |(pointer, kind): &&(&'static str, FieldType)| {
        value.pointer(pointer).is_some_and(|value| !value.is_null() && !kind.matches(value))
    };
    fields.iter().filter(unreadable).map(|(pointer, _)| *pointer).collect()
}
