//! `service` and `connect`: the instances of one service.

use serde_json::Value;

use super::{
    argument, grammar, json, min_option, non_empty_option, require_min,
    status::{ANY_STATUS, parse_statuses},
};
use crate::{
    registry::{Answer, Query, ServiceQuery, ServiceRecord, Status},
    render::{
        helpers::{HelperCall, call::ArgumentOrigin},
        recorder::QueryRecorder,
    },
};

pub(super) fn service(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    json(records(call, recorder, false)?)
}

pub(super) fn connect(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    json(records(call, recorder, true)?)
}

fn records<'a>(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'a>,
    connect: bool,
) -> Result<Vec<&'a ServiceRecord>, String> {
    Ok(service_instances(call, recorder, connect)?.map(|known| known.records).unwrap_or_default())
}

/// The instances that a call selects.
pub(in crate::render::helpers) struct ServiceInstances<'a> {
    /// The name in the query.
    pub(in crate::render::helpers) service: String,
    pub(in crate::render::helpers) records: Vec<&'a ServiceRecord>,
}

/// The instances that a call selects. `None`: the query is not answered yet.
pub(in crate::render::helpers) fn service_instances<'a>(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'a>,
    connect: bool,
) -> Result<Option<ServiceInstances<'a>>, String> {
    let (query, statuses) = parse_query(call)?;
    // As in consul-template, an empty name makes no query.
    if query.name.is_empty() {
        return match min_option(call)? {
            None | Some(0) => Ok(Some(ServiceInstances { service: String::new(), records: Vec::new() })),
            Some(least) => Err(format!("the name is empty, and min={least} cannot be met")),
        };
    }
    let query = ServiceQuery { passing: statuses == [Status::Passing], connect, ..query };
    let other = other_reading(call, &query).map(Query::Service);
    let service = query.name.clone();
    let query = Query::Service(query);
    // All queries are asked before the first answer is used, so that all of them are watched after the first render.
    let queries = [Some(&query), other.as_ref()].into_iter().flatten();
    let answers: Vec<_> = queries.map(|query| ask!(recorder, query, Answer::Service)).collect::<Result<_, _>>()?;
    let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    if answers.iter().all(|records| records.is_empty()) {
        warn_about_grammar(call, recorder, &query);
    }
    let records = answers.into_iter().flatten().filter(|record| statuses.contains(&record.status));
    let selected: Vec<_> = records.collect();
    require_min(call, recorder, &query, selected.len())?;
    Ok(Some(ServiceInstances { service, records: selected }))
}

/// Warns if a name from a field looks like grammar and no service has that name: it is taken literally, and the author
/// may expect otherwise.
fn warn_about_grammar(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>, query: &Query) {
    let name =
        call.get(0).and_then(Value::as_str).filter(|_| call.origin(0) == ArgumentOrigin::Field).unwrap_or_default();
    if grammar::SERVICE.occur_in(name) || matches!(grammar::tag_and_name(name), Some((Some(_), _))) {
        recorder.warn(format!(
            "{query} has no instance; a name from a field or a variable is taken literally: use tag=, dc=, near= and \
             status= for the rest"
        ));
    }
}

/// A text with dots and without other delimiters may be a name or consul-template's `tag.name`. Both are queried, and
/// the instances of both are returned; both rarely exist.
fn other_reading(call: &HelperCall<'_, '_>, query: &ServiceQuery) -> Option<ServiceQuery> {
    let is_text = call.len() > 0 && call.origin(0) != ArgumentOrigin::Field && query.tag.is_none();
    let text = call.get(0)?.as_str().filter(|text| is_text && *text == query.name)?;
    let (tag, name) = grammar::tag_and_name(text)?;
    Some(ServiceQuery { name: name.to_owned(), tag: Some(tag?.to_owned()), ..query.clone() })
}

/// The query, and the statuses of its answer that are selected.
fn parse_query(call: &HelperCall<'_, '_>) -> Result<(ServiceQuery, Vec<Status>), String> {
    let (parsed, selected) = match call.option("name")? {
        Some(_) if call.len() > 0 => return Err("the name is given both by position and by name=".to_owned()),
        Some(name) => (ServiceQuery { name, ..ServiceQuery::default() }, None),
        None => parse_service_argument(call)?,
    };
    let query = ServiceQuery {
        tag: call.option("tag")?.or(parsed.tag),
        near: non_empty_option(call, "near")?.or(parsed.near),
        filter: non_empty_option(call, "filter")?,
        peer: non_empty_option(call, "peer")?.or(parsed.peer),
        sameness_group: non_empty_option(call, "samenessGroup")?.or(parsed.sameness_group),
        scope: argument::scope(call, parsed.scope)?,
        ..parsed
    };
    if query.peer.is_some() && query.sameness_group.is_some() {
        return Err("a peer and a sameness group exclude each other".to_owned());
    }
    let selected = selected_statuses(call)?.or(selected).unwrap_or_else(|| vec![Status::Passing]);
    Ok((query, selected))
}

/// The statuses that any= and status= select.
pub(super) fn selected_statuses(call: &HelperCall<'_, '_>) -> Result<Option<Vec<Status>>, String> {
    match call.option("status")? {
        _ if call.flag("any")? => Ok(Some(ANY_STATUS.to_vec())),
        list => list.map(|list| parse_statuses(&list)).transpose(),
    }
}

/// The first argument: consul-template's grammar, or a name.
fn parse_service_argument(call: &HelperCall<'_, '_>) -> Result<(ServiceQuery, Option<Vec<Status>>), String> {
    let text = call.text(0)?;
    let read = match call.origin(0) {
        _ if !grammar::SERVICE.occur_in(&text) => None,
        ArgumentOrigin::Literal => Some(parse_service_text(&text)?),
        // A part of it may come from a registry, whose content must not make the template fail.
        ArgumentOrigin::Computed => parse_service_text(&text).ok(),
        // The value of a field may come from a registry: it is a name, whatever it contains.
        ArgumentOrigin::Field => None,
    };
    Ok(read.unwrap_or_else(|| (ServiceQuery { name: text, ..ServiceQuery::default() }, None)))
}

/// Parses `tag.name?query@dc~near|statuses`.
fn parse_service_text(text: &str) -> Result<(ServiceQuery, Option<Vec<Status>>), String> {
    let grammar::ParsedArgument { subject, scope, peer, sameness_group, near, filter } =
        grammar::parse(text, grammar::SERVICE)?;
    let Some((tag, name)) = grammar::tag_and_name(&subject) else {
        return Err(format!("{text:?} must begin with `name` or `tag.name`"));
    };
    let (name, tag) = (name.to_owned(), tag.map(str::to_owned));
    let selected = filter.map(|list| parse_statuses(&list)).transpose()?;
    Ok((ServiceQuery { name, tag, near, peer, sameness_group, scope, ..ServiceQuery::default() }, selected))
}
