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

/// The template is not rendered while the key does not exist.
pub(super) fn key(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let Some(query) = key_query(call, recorder)? else { return Ok(Value::String(String::new())) };
    let value = match look_up(&query, recorder)? {
        Some(None) => {
            recorder.add_missing(query, MissingInput::Key);
            None
        }
        known => known.flatten(),
    };
    Ok(Value::String(value.unwrap_or_default().to_owned()))
}

/// The second argument if the key does not exist or is empty.
pub(super) fn key_or(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let default = call.text(1)?;
    let Some(query) = key_query(call, recorder)? else { return Ok(Value::String(default)) };
    let value = look_up(&query, recorder)?.flatten().filter(|value| !value.is_empty());
    Ok(Value::String(value.map_or(default, str::to_owned)))
}

/// Whether the key exists, also if its value is empty.
pub(super) fn key_exists(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let Some(query) = key_query(call, recorder)? else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(look_up(&query, recorder)?.flatten().is_some()))
}

/// As in consul-template, an empty path makes no query.
fn key_query(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Option<Query>, String> {
    let ParsedArgument { subject, scope, .. } = key_argument(call, recorder)?;
    let path = subject.strip_prefix('/').unwrap_or(&subject).to_owned();
    let scope = argument::scope(call, scope)?;
    Ok((!path.is_empty()).then_some(Query::Key { path, scope }))
}

/// The path: the first argument, or `path=`, in which delimiters have no meaning.
pub(super) fn key_argument(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<ParsedArgument, String> {
    match call.option("path")? {
        Some(_) if call.len() > 0 => Err("the path is given both by position and by path=".to_owned()),
        Some(subject) => Ok(ParsedArgument { subject, ..ParsedArgument::default() }),
        None => argument::parse_argument(call, recorder, grammar::SCOPE),
    }
}

/// `None`: the query is not answered yet. `Some(None)`: the key does not exist.
fn look_up<'a>(query: &Query, recorder: &QueryRecorder<'a>) -> Result<Option<Option<&'a str>>, String> {
    Ok(ask!(recorder, query, Answer::Key)?.map(Option::as_deref))
}
