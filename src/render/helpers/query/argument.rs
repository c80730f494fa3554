//! The arguments of a query: its scope by options, and consul-template's grammar in the first argument.

use super::{
    grammar::{self, Delimiters, ParsedArgument},
    non_empty_option,
};
use crate::{
    registry::Scope,
    render::{
        helpers::{HelperCall, call::ArgumentOrigin},
        recorder::QueryRecorder,
    },
};

/// The options dc=, namespace= (or ns=) and partition=. An option overrides the grammar.
pub(super) fn scope(call: &HelperCall<'_, '_>, parsed: Scope) -> Result<Scope, String> {
    let namespace = match (non_empty_option(call, "namespace")?, non_empty_option(call, "ns")?) {
        (Some(_), Some(_)) => return Err("namespace= and ns= are the same: give one of them".to_owned()),
        (long, short) => long.or(short),
    };
    Ok(Scope {
        dc: non_empty_option(call, "dc")?.or(parsed.dc),
        namespace: namespace.or(parsed.namespace),
        partition: non_empty_option(call, "partition")?.or(parsed.partition),
    })
}

/// The first argument. A literal and the result of a helper are parsed as grammar; the value of a field is taken
/// literally.
pub(super) fn parse_argument(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'_>,
    delimiters: Delimiters,
) -> Result<ParsedArgument, String> {
    let subject = call.text(0)?;
    let read = || grammar::parse(&subject, delimiters).and_then(|parsed| reject_peer(&subject, parsed));
    let parsed = match call.origin(0) {
        ArgumentOrigin::Literal => Some(read()?),
        // A part of it may come from a registry, whose content must not make the template fail.
        ArgumentOrigin::Computed => read().ok(),
        ArgumentOrigin::Field => {
            if read().is_ok_and(|parsed| parsed.scope != Scope::default()) {
                recorder.warn(format!(
                    "{subject:?} comes from a field or a variable, so it is taken literally: use dc=, ns= and \
                     partition= for the scope"
                ));
            }
            None
        }
    };
    Ok(parsed.unwrap_or_else(|| ParsedArgument { subject, ..ParsedArgument::default() }))
}

/// As [`parse_argument`], for helpers without a subject, whose argument is optional.
pub(super) fn parse_scope_argument(
    call: &HelperCall<'_, '_>,
    delimiters: Delimiters,
) -> Result<ParsedArgument, String> {
    if call.len() == 0 {
        return Ok(ParsedArgument::default());
    }
    if call.origin(0) == ArgumentOrigin::Field {
        return Err("the value of a field or a variable is not parsed: use dc= for a datacenter".to_owned());
    }
    let text = &call.text(0)?;
    match grammar::parse(text, delimiters)? {
        parsed if parsed.subject.is_empty() => reject_peer(text, parsed),
        _ => Err(format!("{text:?} must be `@` and a datacenter")),
    }
}

/// Only queries for instances can name a peer or a sameness group.
fn reject_peer(text: &str, parsed: ParsedArgument) -> Result<ParsedArgument, String> {
    match parsed {
        ParsedArgument { peer: None, sameness_group: None, .. } => Ok(parsed),
        _ => Err(format!("{text:?}: only `service` and `connect` ask a peer or a sameness group")),
    }
}
