//! `services`: the names of all services, with their tags.

use serde_json::{Value, json};

use crate::render::helpers::Call;
use crate::{
    registry::{Answer, Query, Scope},
    render::recorder::Recorder,
};

pub(super) fn services(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let positional = match call.literal(0) {
        Some(literal) => match literal.strip_prefix('@') {
            Some(dc) if !dc.is_empty() => Some(dc.to_owned()),
            _ => return Err(format!("{literal:?} must be `@` and a datacenter")),
        },
        None if call.len() > 0 => return Err("a datacenter is given as dc=".to_owned()),
        None => None,
    };
    let dc = call.option("dc")?.or(positional);
    match pass.ask(Query::Services { filter: None, scope: Scope { dc, ..Scope::default() } }) {
        None => Ok(Value::Array(Vec::new())),
        Some(Answer::Services(services)) => {
            Ok(services.iter().map(|(name, tags)| json!({ "name": name, "tags": tags })).collect())
        }
        Some(_) => Err("the registry's answer is no list of services".to_owned()),
    }
}
