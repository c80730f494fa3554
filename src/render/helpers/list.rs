//! `where`: the members of a list that fit.

use serde_json::Value;

use super::{Call, Definition, MANY, value};
use crate::render::recorder::Recorder;

pub(super) const ALL: &[Definition] = &[value("where", 2..=MANY, &[], where_)];

/// Keeps the members in which every named field holds something: not empty, not zero, not false, not missing.
///
/// `meta.host` is the key `host` of the field `meta`; all further dots belong to the key.
fn where_(call: &Call<'_, '_>, _: &Recorder<'_>) -> Result<Value, String> {
    let fields = (1..call.len()).map(|index| call.text(index)).collect::<Result<Vec<_>, _>>()?;
    let fits = |member: &&Value| fields.iter().all(|field| holds(member, field));
    Ok(call.list(0)?.iter().filter(fits).cloned().collect())
}

fn holds(member: &Value, field: &str) -> bool {
    let value = match field.split_once('.') {
        Some((field, key)) => member.get(field).and_then(|value| value.get(key)),
        None => member.get(field),
    };
    value.is_some_and(|value| handlebars::JsonTruthy::is_truthy(value, false))
}
