//! `key` and `keyOr`: the value of one key.

use serde_json::Value;

use crate::render::helpers::Call;
use crate::{
    registry::{Answer, Query, Scope},
    render::recorder::{Missing, Recorder},
};

/// A key that does not exist holds the template.
pub(super) fn key(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let Some(query) = query(call)? else { return Ok(Value::String(String::new())) };
    match look_up(&query, pass)? {
        Some(value) => Ok(Value::String(value.to_owned())),
        None => {
            pass.hold(query, Missing::Key);
            Ok(Value::String(String::new()))
        }
    }
}

/// A key that does not exist, or is empty, gives the second argument.
pub(super) fn key_or(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let default = call.text(1)?;
    let Some(query) = query(call)? else { return Ok(Value::String(default)) };
    let value = look_up(&query, pass)?.filter(|value| !value.is_empty());
    Ok(Value::String(value.map_or(default, str::to_owned)))
}

/// As in consul-template: no path, no question.
fn query(call: &Call<'_, '_>) -> Result<Option<Query>, String> {
    let (path, positional) = match (call.option("path")?, call.literal(0)) {
        (Some(_), _) if call.len() > 0 => return Err("the path is given twice".to_owned()),
        (Some(path), _) => (path, None),
        (None, Some(literal)) => match literal.split_once('@') {
            Some((_, "")) => return Err(format!("`@` in {literal:?} must be followed by a datacenter")),
            Some((path, dc)) => (path.to_owned(), Some(dc.to_owned())),
            None => (literal.to_owned(), None),
        },
        (None, None) => (call.text(0)?, None),
    };
    let path = path.strip_prefix('/').unwrap_or(&path).to_owned();
    let dc = call.option("dc")?.or(positional);
    Ok((!path.is_empty()).then_some(Query::Key { path, scope: Scope { dc, ..Scope::default() } }))
}

fn look_up<'a>(query: &Query, pass: &Recorder<'a>) -> Result<Option<&'a str>, String> {
    match pass.ask(query.clone()) {
        None => Ok(None),
        Some(Answer::Key(value)) => Ok(value.as_deref()),
        Some(_) => Err("the registry's answer is no value of a key".to_owned()),
    }
}
