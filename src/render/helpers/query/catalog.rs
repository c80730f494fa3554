//! `services`, `nodes`, `node` and `datacenters`: the content of the catalog.

use serde_json::{Value, json as literal};

use super::{
    argument,
    grammar::{self, ParsedArgument},
    json, list, non_empty_option,
};
use crate::{
    registry::{Answer, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

/// The names of all services, with their tags.
pub(super) fn services(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let parsed = argument::parse_scope_argument(call, grammar::SCOPE)?;
    let query =
        Query::Services { filter: non_empty_option(call, "filter")?, scope: argument::scope(call, parsed.scope)? };
    let services = ask!(recorder, query, Answer::Services)?.into_iter().flatten();
    Ok(services.map(|(name, tags)| literal!({ "name": name, "tags": tags })).collect())
}

pub(super) fn nodes(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let ParsedArgument { scope, near, .. } = argument::parse_scope_argument(call, grammar::NODES)?;
    let query = Query::Nodes {
        near: non_empty_option(call, "near")?.or(near),
        filter: non_empty_option(call, "filter")?,
        scope: argument::scope(call, scope)?,
    };
    list(ask!(recorder, query, Answer::Nodes)?)
}

/// A node that does not exist gives `null`, which is falsy for `with` and `if`.
pub(super) fn node(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let ParsedArgument { subject, scope, .. } = match call.len() {
        0 => ParsedArgument::default(),
        _ => argument::parse_argument(call, recorder, grammar::SCOPE)?,
    };
    let query =
        Query::Node { name: Some(subject).filter(|name| !name.is_empty()), scope: argument::scope(call, scope)? };
    json(ask!(recorder, query, Answer::Node)?)
}

pub(super) fn datacenters(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let query = Query::Datacenters { reachable: call.flag("reachable")? };
    list(ask!(recorder, query, Answer::Datacenters)?)
}
