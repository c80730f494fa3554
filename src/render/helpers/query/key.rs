//! `key`, `keyOr` and `keyExists`: one key. All three share one watch.

use serde_json::Value;

use super::{
    argument,
    grammar::{self, ParsedArgument},
};
use crate::{
    registry::{Answer, Query},
    render::{
        helpers::HelperCall,
        recorder::{MissingInput, QueryRecorder},
    },
};

/// A key that does not exist holds the template.
pub(super) fn key(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let Some(query) = key_query(call, pass)? else { return Ok(Value::String(String::new())) };
    let value = match look_up(&query, pass)? {
        Some(None) => {
            pass.add_missing(query, MissingInput::Key);
            None
        }
        known => known.flatten(),
    };
    Ok(Value::String(value.unwrap_or_default().to_owned()))
}

/// A key that does not exist, or is empty, gives the second argument.
pub(super) fn key_or(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let default = call.text(1)?;
    let Some(query) = key_query(call, pass)? else { return Ok(Value::String(default)) };
    let value = look_up(&query, pass)?.flatten().filter(|value| !value.is_empty());
    Ok(Value::String(value.map_or(default, str::to_owned)))
}

/// Also for a key whose value is empty.
pub(super) fn key_exists(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let Some(query) = key_query(call, pass)? else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(look_up(&query, pass)?.flatten().is_some()))
}

/// As in consul-template: no path, no question.
fn key_query(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Option<Query>, String> {
    let ParsedArgument { subject, scope, .. } = key_argument(call, pass)?;
    let path = subject.strip_prefix('/').unwrap_or(&subject).to_owned();
    let scope = argument::scope(call, scope)?;
    Ok((!path.is_empty()).then_some(Query::Key { path, scope }))
}

/// The path by position, or as path=, where no mark has a meaning.
pub(super) fn key_argument(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<ParsedArgument, String> {
    match call.option("path")? {
        Some(_) if call.len() > 0 => Err("the path is given twice".to_owned()),
        Some(subject) => Ok(ParsedArgument { subject, ..ParsedArgument::default() }),
        None => argument::parse_argument(call, pass, grammar::SCOPE),
    }
}

/// `None`: not known yet. `Some(None)`: there is no such key.
fn look_up<'a>(query: &Query, pass: &QueryRecorder<'a>) -> Result<Option<Option<&'a str>>, String> {
    Ok(ask!(pass, query, Answer::Key)?.map(Option::as_deref))
}
