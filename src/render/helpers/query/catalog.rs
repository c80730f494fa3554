//! `services`, `nodes`, `node`, `datacenters`: what there is.

use serde_json::{Value, json as literal};

use super::{
    given,
    grammar::{self, Spelled},
    json, place, unfit,
};
use crate::{
    registry::{Answer, Query},
    render::{helpers::Call, recorder::Recorder},
};

/// The names of all services, with their tags.
pub(super) fn services(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let spelled = place::spelled_without_subject(call, grammar::PLACE)?;
    let query = Query::Services { filter: given(call, "filter")?, scope: place::scope(call, spelled.scope)? };
    match pass.ask(query.clone()) {
        None => json([(); 0]),
        Some(Answer::Services(services)) => {
            Ok(services.iter().map(|(name, tags)| literal!({ "name": name, "tags": tags })).collect())
        }
        Some(_) => Err(unfit(&query)),
    }
}

pub(super) fn nodes(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let Spelled { scope, near, .. } = place::spelled_without_subject(call, grammar::NODES)?;
    let query = Query::Nodes {
        near: given(call, "near")?.or(near),
        filter: given(call, "filter")?,
        scope: place::scope(call, scope)?,
    };
    match pass.ask(query.clone()) {
        None => json([(); 0]),
        Some(Answer::Nodes(nodes)) => json(nodes),
        Some(_) => Err(unfit(&query)),
    }
}

/// A node that does not exist is nothing, which `with` and `if` take for no.
pub(super) fn node(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let Spelled { subject, scope, .. } = match call.len() {
        0 => Spelled::default(),
        _ => place::spelled(call, pass, grammar::PLACE)?,
    };
    let query = Query::Node { name: Some(subject).filter(|name| !name.is_empty()), scope: place::scope(call, scope)? };
    match pass.ask(query.clone()) {
        None => Ok(Value::Null),
        Some(Answer::Node(node)) => json(node),
        Some(_) => Err(unfit(&query)),
    }
}

pub(super) fn datacenters(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let query = Query::Datacenters { reachable: call.flag("reachable")? };
    match pass.ask(query.clone()) {
        None => json([(); 0]),
        Some(Answer::Datacenters(names)) => json(names),
        Some(_) => Err(unfit(&query)),
    }
}
