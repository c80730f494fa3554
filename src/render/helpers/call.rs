//! The arguments of one call.

use handlebars::{Helper, PathAndJson};
use serde_json::{Map, Value};

use super::{missing_argument_message, missing_value_message, number::Number, print::excerpt};

/// A helper's arguments, by position and by name. Their number and names were checked when the template was compiled.
pub(in crate::render) struct HelperCall<'h, 'rc>(pub(super) &'h Helper<'rc>);

impl<'rc> HelperCall<'_, 'rc> {
    /// The argument at `index`; an error if it names something that has no value.
    pub(super) fn value(&self, index: usize) -> Result<&Value, String> {
        require_value(self.0.param(index).ok_or_else(|| format!("argument {} is missing", index + 1))?)
    }

    /// The argument at `index` as a text; numbers and booleans are converted.
    pub(super) fn text(&self, index: usize) -> Result<String, String> {
        let missing =
            self.0.param(index).filter(|given| given.is_value_missing()).and_then(|given| given.relative_path());
        if let Some(name) = missing {
            return Err(missing_argument_message(name));
        }
        to_text(self.value(index)?).map_err(|other| format!("argument {} must be a text, not {other}", index + 1))
    }

    /// The argument at `index` as a text, if it is given.
    pub(super) fn optional_text(&self, index: usize) -> Result<Option<String>, String> {
        (index < self.len()).then(|| self.text(index)).transpose()
    }

    /// The argument at `index`; `None` if it names something that has no value.
    pub(super) fn get(&self, index: usize) -> Option<&Value> {
        self.0.param(index).and_then(|given| require_value(given).ok())
    }

    /// All arguments from `from` on.
    pub(super) fn values(&self, from: usize) -> Result<Vec<&Value>, String> {
        (from..self.len()).map(|index| self.value(index)).collect()
    }

    /// All arguments from `from` on, or the members of the list if the only one is a list.
    pub(super) fn spread_values(&self, from: usize) -> Result<Vec<&Value>, String> {
        match self.values(from)?[..] {
            [Value::Array(members)] => Ok(members.iter().collect()),
            ref values => Ok(values.to_vec()),
        }
    }

    /// The number of positional arguments.
    pub(super) fn len(&self) -> usize {
        self.0.params().len()
    }

    /// The list at `index`.
    pub(super) fn list(&self, index: usize) -> Result<&Vec<Value>, String> {
        self.value(index)?.as_array().ok_or_else(|| self.type_error(index, "a list"))
    }

    /// The record at `index`.
    pub(super) fn record(&self, index: usize) -> Result<&Map<String, Value>, String> {
        self.value(index)?.as_object().ok_or_else(|| self.type_error(index, "a record"))
    }

    /// The number at `index`, also if it is a text, because values from keys and Meta are texts.
    pub(super) fn number(&self, index: usize) -> Result<Number, String> {
        let value = self.value(index)?;
        Number::from_json(value).ok_or_else(|| self.type_error(index, "a number"))
    }

    /// The whole number at `index`.
    pub(super) fn integer(&self, index: usize) -> Result<i64, String> {
        match self.number(index)? {
            Number::Integer(number) => Ok(number),
            Number::Float(_) => Err(self.type_error(index, "a whole number")),
        }
    }

    /// The whole number at `index`, 0 or more.
    pub(super) fn count(&self, index: usize) -> Result<usize, String> {
        usize::try_from(self.integer(index)?).map_err(|_| self.type_error(index, "0 or more"))
    }

    /// The error that the argument at `index` has the wrong type.
    pub(super) fn type_error(&self, index: usize, wanted: &str) -> String {
        let given = self.get(index).map(describe).unwrap_or_default();
        format!("argument {} must be {wanted}, not {given}", index + 1)
    }

    /// The argument at `index` if it is a literal text in the template.
    pub(super) fn literal(&self, index: usize) -> Option<&'rc str> {
        self.0.param(index)?.try_get_constant_value()?.as_str()
    }

    /// Where the argument at `index` comes from.
    pub(super) fn origin(&self, index: usize) -> ArgumentOrigin {
        match self.0.param(index) {
            Some(given) if given.try_get_constant_value().is_some() => ArgumentOrigin::Literal,
            Some(given) if given.relative_path().is_none() => ArgumentOrigin::Computed,
            _ => ArgumentOrigin::Field,
        }
    }

    /// The argument `name=…` as a text; `None` if it is not given.
    pub(super) fn option(&self, name: &str) -> Result<Option<String>, String> {
        self.0
            .hash_get(name)
            .map(|given| to_text(require_value(given)?).map_err(|other| format!("it must be a text, not {other}")))
            .transpose()
            .map_err(|reason| format!("{name}: {reason}"))
    }

    /// All arguments `name=…`, by name.
    pub(super) fn options(&self) -> Result<Map<String, Value>, String> {
        let named = |name, value: Result<&Value, _>| match value {
            Ok(value) => Ok((name, value.clone())),
            Err(reason) => Err(format!("{name}: {reason}")),
        };
        self.0.hash().iter().map(|(name, given)| named((*name).to_owned(), require_value(given))).collect()
    }

    /// The argument `name=…`; `None` if it is not given.
    pub(super) fn option_value(&self, name: &str) -> Result<Option<&Value>, String> {
        self.0.hash_get(name).map(require_value).transpose()
    }

    /// The argument `name=…` as a boolean; false if it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.0.hash_get(name).map(require_value).transpose()? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("{name} must be true or false, not {other}")),
        }
    }
}

/// Where an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentOrigin {
    /// A literal in the template.
    Literal,
    /// The result of a helper in parentheses.
    Computed,
    /// A field, or a block parameter.
    Field,
}

fn require_value<'a>(given: &'a PathAndJson<'_>) -> Result<&'a Value, String> {
    if given.is_value_missing() {
        let path = given.relative_path().map(String::as_str).unwrap_or_default();
        return Err(missing_value_message(path));
    }
    Ok(given.value())
}

/// The value as a text; `Err` names the type that cannot be converted.
pub(super) fn to_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(format_number(number)),
        Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) => Err("a list"),
        Value::Object(_) => Err("a record"),
    }
}

/// A number as it is printed: with all digits, and with a decimal point only if it is needed. The result 40.0 is printed
/// as 40, because the language of the file may allow integers only.
pub(super) fn format_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(real) if number.is_f64() => real.to_string(),
        _ => number.to_string(),
    }
}

/// A value as an error shows it.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => excerpt(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a record".to_owned(),
        other => other.to_string(),
    }
}
