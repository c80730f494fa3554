//! Helpers that query the registry, files and the environment.
//!
//! ```text
//! call --arguments, grammar--> Query --> QueryRecorder --answered--> value for the template
//!                                              '--recorded--> the render loop watches it
//! ```

/// The answer to a query; `None` until it is answered. An answer of another kind than `$kind` is an error.
macro_rules! ask {
    ($recorder:expr, $query:expr, $kind:path) => {
        match $recorder.ask($query.clone()) {
            None => Ok(None),
            Some($kind(answer)) => Ok(Some(answer)),
            Some(_) => Err(format!("the registry's answer to {} is of another kind", $query)),
        }
    };
}

mod argument;
mod catalog;
mod env;
mod file;
mod folder;
mod grammar;
mod instances;
mod key;
mod mesh;
mod prepared;
mod service;
mod status;

use serde::Serialize;
use serde_json::Value;

pub(super) use self::service::{ServiceInstances, service_instances};
use super::{HelperCall, HelperDefinition, OptionNames, query_helper};
use crate::{
    registry::Query,
    render::recorder::{MissingInput, QueryRecorder},
};

pub(super) const ALL: &[HelperDefinition] = &[
    query_helper("service", 0..=1, &[SCOPE, INSTANCES], service::service),
    query_helper("connect", 0..=1, &[SCOPE, INSTANCES], service::connect),
    query_helper("prepared", 1..=1, &[SCOPE, &["min", "near"]], prepared::prepared),
    query_helper("services", 0..=1, &[SCOPE, &["filter"]], catalog::services),
    query_helper("instances", 0..=0, &[SCOPE, &["any", "status", "tag"]], instances::instances),
    query_helper("nodes", 0..=1, &[SCOPE, &["filter", "near"]], catalog::nodes),
    query_helper("node", 0..=1, &[SCOPE], catalog::node),
    query_helper("datacenters", 0..=0, &[&["reachable"]], catalog::datacenters),
    query_helper("key", 0..=1, KEY, key::key),
    query_helper("keyOr", 2..=2, &[SCOPE], key::key_or),
    query_helper("keyExists", 0..=1, KEY, key::key_exists),
    query_helper("ls", 0..=1, FOLDER, folder::ls),
    query_helper("tree", 0..=1, FOLDER, folder::tree),
    query_helper("caRoots", 0..=0, &[], mesh::ca_roots),
    query_helper("caLeaf", 1..=1, &[], mesh::ca_leaf),
    query_helper("file", 1..=1, &[], file::file),
    query_helper("env", 1..=1, &[], env::env),
    query_helper("envOr", 2..=2, &[], env::env_or),
    query_helper("mustEnv", 1..=1, &[], env::must_env),
];

/// The options for the scope of a query.
const SCOPE: &[&str] = &["dc", "namespace", "ns", "partition"];
/// The options that select instances.
const INSTANCES: &[&str] = &["any", "filter", "min", "name", "near", "peer", "samenessGroup", "status", "tag"];
const KEY: OptionNames = &[SCOPE, &["path"]];
const FOLDER: OptionNames = &[SCOPE, &["min", "path"]];
/// The options of `upstream`.
pub(super) const UPSTREAM_OPTIONS: OptionNames = &[SCOPE, INSTANCES, &["extra", "names"]];

/// The option `name=…`; `None` if it is missing or empty.
fn non_empty_option(call: &HelperCall<'_, '_>, name: &str) -> Result<Option<String>, String> {
    Ok(call.option(name)?.filter(|text| !text.is_empty()))
}

/// Keeps the template from being rendered if `query` found fewer results than `min=` requires.
fn require_min(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'_>,
    query: &Query,
    found: usize,
) -> Result<(), String> {
    let Some(wanted) = min_option(call)?.filter(|wanted| found < *wanted) else { return Ok(()) };
    recorder.add_missing(query.clone(), MissingInput::TooFew { found, wanted });
    Ok(())
}

/// The option `min=…`.
fn min_option(call: &HelperCall<'_, '_>) -> Result<Option<usize>, String> {
    let read = |text: String| text.parse().map_err(|_| format!("min must be a whole number, not {text:?}"));
    call.option("min")?.map(read).transpose()
}

/// The answer as a template value; an empty list until it is known.
fn list(known: Option<impl Serialize>) -> Result<Value, String> {
    known.map_or_else(|| Ok(Value::Array(Vec::new())), json)
}

/// Converts to a template value.
fn json(value: impl Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}
