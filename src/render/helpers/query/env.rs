//! `env`, `envOr` and `mustEnv`: our own environment.

use serde_json::Value;

use crate::render::helpers::HelperCall;
use crate::render::recorder::QueryRecorder;

/// A variable that is not set gives an empty text.
pub(super) fn env(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    Ok(Value::String(pass.env_var(&call.text(0)?).unwrap_or_default().to_owned()))
}

/// A variable that is not set gives the second argument; one that is set to nothing gives an empty text.
pub(super) fn env_or(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let default = call.text(1)?;
    Ok(Value::String(pass.env_var(&call.text(0)?).map_or(default, str::to_owned)))
}

/// A variable that is not set, or is set to nothing, is an error.
pub(super) fn must_env(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let name = call.text(0)?;
    match pass.env_var(&name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(Value::String(value.to_owned())),
        None => Err(format!("the environment has no {name:?}, or it is empty")),
    }
}
