//! What asks: each call is recorded by the pass, and what is asked is watched.

mod catalog;
mod env;
mod file;
mod folder;
mod grammar;
mod instances;
mod key;
mod mesh;
mod place;
mod prepared;
mod service;
mod status;

use serde::Serialize;
use serde_json::Value;

pub(super) use self::service::{UPSTREAM, members};
use super::{Call, Definition, value};
use crate::{
    registry::Query,
    render::recorder::{Missing, Recorder},
};

pub(super) const ALL: &[Definition] = &[
    value("service", 0..=1, service::MEMBERS, service::service),
    value("connect", 0..=1, service::MEMBERS, service::connect),
    value("prepared", 1..=1, &["dc", "min", "namespace", "near", "ns", "partition"], prepared::prepared),
    value("services", 0..=1, &["dc", "filter", "namespace", "ns", "partition"], catalog::services),
    value("instances", 0..=0, instances::OPTIONS, instances::instances),
    value("nodes", 0..=1, &["dc", "filter", "namespace", "near", "ns", "partition"], catalog::nodes),
    value("node", 0..=1, PLACE, catalog::node),
    value("datacenters", 0..=0, &["reachable"], catalog::datacenters),
    value("key", 0..=1, PATH, key::key),
    value("keyOr", 2..=2, PLACE, key::key_or),
    value("keyExists", 0..=1, PATH, key::key_exists),
    value("ls", 0..=1, FOLDER, folder::ls),
    value("tree", 0..=1, FOLDER, folder::tree),
    value("caRoots", 0..=0, &[], mesh::roots),
    value("caLeaf", 1..=1, &[], mesh::leaf),
    value("file", 1..=1, &[], file::file),
    value("env", 1..=1, &[], env::env),
    value("envOr", 2..=2, &[], env::env_or),
    value("mustEnv", 1..=1, &[], env::must_env),
];

const PLACE: &[&str] = &["dc", "namespace", "ns", "partition"];
const PATH: &[&str] = &["dc", "namespace", "ns", "partition", "path"];
const FOLDER: &[&str] = &["dc", "min", "namespace", "ns", "partition", "path"];

/// The option `name=…`; an empty text is as good as none.
fn given(call: &Call<'_, '_>, name: &str) -> Result<Option<String>, String> {
    Ok(call.option(name)?.filter(|text| !text.is_empty()))
}

/// Holds the template if `query` found fewer than the option `min=` asks for.
fn hold_below_min(call: &Call<'_, '_>, pass: &Recorder<'_>, query: &Query, found: usize) -> Result<(), String> {
    let Some(wanted) = least(call)?.filter(|wanted| found < *wanted) else { return Ok(()) };
    pass.hold(query.clone(), Missing::TooFew { found, wanted });
    Ok(())
}

/// The option `min=…`.
fn least(call: &Call<'_, '_>) -> Result<Option<usize>, String> {
    let read = |text: String| text.parse().map_err(|_| format!("min must be a whole number, not {text:?}"));
    call.option("min")?.map(read).transpose()
}

/// As a template sees it.
fn json(value: impl Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// Says that the registry does not keep to its own rules.
fn unfit(query: &Query) -> String {
    format!("the registry's answer to {query} is none")
}
