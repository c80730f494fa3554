//! `env`, `envOr` and `mustEnv`: variables of Portreeve's own environment.

use serde_json::Value;

use crate::render::helpers::HelperCall;
use crate::render::recorder::QueryRecorder;

/// An unset variable gives an empty text.
pub(super) fn env(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    Ok(Value::String(recorder.env_var(&call.text(0)?).unwrap_or_default().to_owned()))
}

/// An unset variable gives the second argument; an empty one gives an empty text.
pub(super) fn env_or(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let default = call.text(1)?;
    Ok(Value::String(recorder.env_var(&call.text(0)?).map_or(default, str::to_owned)))
}

/// An unset or empty variable is an error.
pub(super) fn must_env(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let name = call.text(0)?;
    match recorder.env_var(&name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(Value::String(value.to_owned())),
        None => Err(format!("the environment variable {name:?} is unset or empty")),
    }
}
