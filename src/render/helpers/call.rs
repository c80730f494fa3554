//! The arguments of one call.

use handlebars::{Helper, PathAndJson};
use serde_json::Value;

/// A helper's arguments, by position and by name. Number and names were checked when the template was compiled.
pub(in crate::render) struct Call<'h, 'rc>(pub(super) &'h Helper<'rc>);

impl<'rc> Call<'_, 'rc> {
    /// The argument at `index`; an error if it names something that has no value.
    pub(super) fn value(&self, index: usize) -> Result<&Value, String> {
        present(self.0.param(index).ok_or_else(|| format!("argument {} is missing", index + 1))?)
    }

    /// The argument at `index` as a text; numbers and `true`, `false` are taken as they are written.
    pub(super) fn text(&self, index: usize) -> Result<String, String> {
        text(self.value(index)?)
    }

    /// How many arguments there are by position.
    pub(super) fn len(&self) -> usize {
        self.0.params().len()
    }

    /// The list at `index`.
    pub(super) fn list(&self, index: usize) -> Result<&Vec<Value>, String> {
        self.value(index)?.as_array().ok_or_else(|| format!("argument {} must be a list", index + 1))
    }

    /// The argument at `index`, if it stands in the template as a text.
    pub(super) fn literal(&self, index: usize) -> Option<&'rc str> {
        self.0.param(index)?.try_get_constant_value()?.as_str()
    }

    /// The argument `name=…` as a text; nothing if it is not given.
    pub(super) fn option(&self, name: &str) -> Result<Option<String>, String> {
        self.0
            .hash_get(name)
            .map(|given| text(present(given)?))
            .transpose()
            .map_err(|reason| format!("{name}: {reason}"))
    }

    /// The argument `name=…` as true or false; false if it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.0.hash_get(name).map(present).transpose()? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("{name} must be true or false, not {other}")),
        }
    }
}

fn present<'a>(given: &'a PathAndJson<'_>) -> Result<&'a Value, String> {
    if given.is_value_missing() {
        let path = given.relative_path().map(String::as_str).unwrap_or_default();
        return Err(format!("there is no value `{path}` here"));
    }
    Ok(given.value())
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err("a text is needed, not a list or a record".to_owned()),
    }
}
