//! `service` and `connect`: the instances of one service.

use serde_json::Value;

use super::{
    given, grammar, hold_below_min, json, least, place,
    status::{ANY, statuses},
    unfit,
};
use crate::{
    registry::{Answer, Query, ServiceQuery, ServiceRecord, Status},
    render::{
        helpers::{Call, call::Origin},
        recorder::Recorder,
    },
};

/// The options that choose among instances.
pub(super) const MEMBERS: &[&str] = &[
    "any",
    "dc",
    "filter",
    "min",
    "name",
    "namespace",
    "near",
    "ns",
    "partition",
    "peer",
    "samenessGroup",
    "status",
    "tag",
];

/// The same, and what `upstream` adds.
pub(in crate::render::helpers) const UPSTREAM: &[&str] = &[
    "any",
    "dc",
    "extra",
    "filter",
    "min",
    "name",
    "names",
    "namespace",
    "near",
    "ns",
    "partition",
    "peer",
    "samenessGroup",
    "status",
    "tag",
];

pub(super) fn service(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    json(members(call, pass, false)?.unwrap_or_default())
}

pub(super) fn connect(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    json(members(call, pass, true)?.unwrap_or_default())
}

/// The instances that a call chooses. `None`: not known yet.
pub(in crate::render::helpers) fn members<'a>(
    call: &Call<'_, '_>,
    pass: &Recorder<'a>,
    connect: bool,
) -> Result<Option<Vec<&'a ServiceRecord>>, String> {
    let (query, statuses) = wanted(call)?;
    // As in consul-template: no name, no question.
    if query.name.is_empty() {
        return match least(call)? {
            None | Some(0) => Ok(Some(Vec::new())),
            Some(least) => Err(format!("the name is empty, and min={least} cannot be met")),
        };
    }
    let query = ServiceQuery { passing: statuses == [Status::Passing], connect, ..query };
    let other = other_reading(call, &query).map(Query::Service);
    let query = Query::Service(query);
    let answers: Vec<_> =
        [Some(&query), other.as_ref()].into_iter().flatten().map(|query| pass.ask(query.clone())).collect();
    let mut kept = Vec::new();
    remark(call, pass, &query, &answers);
    for answer in answers {
        match answer {
            None => return Ok(None),
            Some(Answer::Service(records)) => {
                kept.extend(records.iter().filter(|record| statuses.contains(&record.status)));
            }
            Some(_) => return Err(unfit(&query)),
        }
    }
    hold_below_min(call, pass, &query, kept.len())?;
    Ok(Some(kept))
}

/// A name from a field is never read as grammar. If it looks like that and nobody has it, the author may have meant more.
fn remark(call: &Call<'_, '_>, pass: &Recorder<'_>, query: &Query, answers: &[Option<&Answer>]) {
    let name = call.known(0).and_then(Value::as_str).filter(|_| call.origin(0) == Origin::Field).unwrap_or_default();
    let is_odd = grammar::SERVICE.occur_in(name) || matches!(grammar::tag_and_name(name), Some((Some(_), _)));
    let is_empty = matches!(answers, [Some(Answer::Service(records))] if records.is_empty());
    if is_odd && is_empty {
        pass.remark(format!(
            "{query} has no instance; a name from a field or a variable is taken as it is: tag=, dc=, near= and status= \
             say the rest"
        ));
    }
}

/// A text with dots and without marks may be a name, or consul-template's `tag.name`. Either way it has to work, and
/// hardly ever both exist: the members of both are taken.
fn other_reading(call: &Call<'_, '_>, query: &ServiceQuery) -> Option<ServiceQuery> {
    let is_text = call.len() > 0 && call.origin(0) != Origin::Field && query.tag.is_none();
    let text = call.known(0)?.as_str().filter(|text| is_text && *text == query.name)?;
    let (tag, name) = grammar::tag_and_name(text)?;
    Some(ServiceQuery { name: name.to_owned(), tag: Some(tag?.to_owned()), ..query.clone() })
}

/// What is asked for: a query, and the statuses that are kept of its answer.
fn wanted(call: &Call<'_, '_>) -> Result<(ServiceQuery, Vec<Status>), String> {
    let (spelled, kept) = match call.option("name")? {
        Some(_) if call.len() > 0 => return Err("the name is given twice".to_owned()),
        Some(name) => (ServiceQuery { name, ..ServiceQuery::default() }, None),
        None => spelled(call)?,
    };
    let query = ServiceQuery {
        tag: call.option("tag")?.or(spelled.tag),
        near: given(call, "near")?.or(spelled.near),
        filter: given(call, "filter")?,
        peer: given(call, "peer")?.or(spelled.peer),
        sameness_group: given(call, "samenessGroup")?.or(spelled.sameness_group),
        scope: place::scope(call, spelled.scope)?,
        ..spelled
    };
    if query.peer.is_some() && query.sameness_group.is_some() {
        return Err("a peer and a sameness group exclude each other".to_owned());
    }
    let kept = chosen(call)?.or(kept).unwrap_or_else(|| vec![Status::Passing]);
    Ok((query, kept))
}

/// The statuses that any= and status= choose.
pub(super) fn chosen(call: &Call<'_, '_>) -> Result<Option<Vec<Status>>, String> {
    match call.option("status")? {
        _ if call.flag("any")? => Ok(Some(ANY.to_vec())),
        list => list.map(|list| statuses(&list)).transpose(),
    }
}

/// The first argument: grammar or a name.
fn spelled(call: &Call<'_, '_>) -> Result<(ServiceQuery, Option<Vec<Status>>), String> {
    let text = call.text(0)?;
    let read = match call.origin(0) {
        _ if !grammar::SERVICE.occur_in(&text) => None,
        Origin::Literal => Some(read(&text)?),
        // A part of it may come from a registry, and must not be able to stop the template.
        Origin::Computed => read(&text).ok(),
        // What comes from a registry is a name, whatever it holds.
        Origin::Field => None,
    };
    Ok(read.unwrap_or_else(|| (ServiceQuery { name: text, ..ServiceQuery::default() }, None)))
}

/// Reads `tag.name?query@dc~near|statuses`.
fn read(text: &str) -> Result<(ServiceQuery, Option<Vec<Status>>), String> {
    let grammar::Spelled { subject, scope, peer, sameness_group, near, filter } =
        grammar::parse(text, grammar::SERVICE)?;
    let Some((tag, name)) = grammar::tag_and_name(&subject) else {
        return Err(format!("{text:?} must begin with `name` or `tag.name`"));
    };
    let (name, tag) = (name.to_owned(), tag.map(str::to_owned));
    let kept = filter.map(|list| statuses(&list)).transpose()?;
    Ok((ServiceQuery { name, tag, near, peer, sameness_group, scope, ..ServiceQuery::default() }, kept))
}
