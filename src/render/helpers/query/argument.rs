//! Where something is asked: by options, or by a text that the author wrote.

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

/// The options dc=, namespace= (or ns=) and partition=, which go before what `spelled` says.
pub(super) fn scope(call: &HelperCall<'_, '_>, spelled: Scope) -> Result<Scope, String> {
    let namespace = match (non_empty_option(call, "namespace")?, non_empty_option(call, "ns")?) {
        (Some(_), Some(_)) => return Err("namespace= and ns= are the same: give one of them".to_owned()),
        (long, short) => long.or(short),
    };
    Ok(Scope {
        dc: non_empty_option(call, "dc")?.or(spelled.dc),
        namespace: namespace.or(spelled.namespace),
        partition: non_empty_option(call, "partition")?.or(spelled.partition),
    })
}

/// The first argument. What stands in the template is read as grammar, and so is what a helper gives; what comes from a
/// field is a subject as it is.
pub(super) fn parse_argument(
    call: &HelperCall<'_, '_>,
    pass: &QueryRecorder<'_>,
    marks: Delimiters,
) -> Result<ParsedArgument, String> {
    let subject = call.text(0)?;
    let read = || grammar::parse(&subject, marks).and_then(|spelled| reject_peer(&subject, spelled));
    let spelled = match call.origin(0) {
        ArgumentOrigin::Literal => Some(read()?),
        // A part of it may come from a registry, and must not be able to stop the template.
        ArgumentOrigin::Computed => read().ok(),
        ArgumentOrigin::Field => {
            if read().is_ok_and(|spelled| spelled.scope != Scope::default()) {
                pass.warn(format!(
                    "{subject:?} comes from a field or a variable, so it is taken as it is: dc=, ns= and partition= say \
                     where to ask"
                ));
            }
            None
        }
    };
    Ok(spelled.unwrap_or_else(|| ParsedArgument { subject, ..ParsedArgument::default() }))
}

/// The same where a subject has no place, and the whole argument may be missing.
pub(super) fn parse_scope_argument(call: &HelperCall<'_, '_>, marks: Delimiters) -> Result<ParsedArgument, String> {
    if call.len() == 0 {
        return Ok(ParsedArgument::default());
    }
    if call.origin(0) == ArgumentOrigin::Field {
        return Err("what comes from a field or a variable is not read: a datacenter is given as dc=".to_owned());
    }
    let text = &call.text(0)?;
    match grammar::parse(text, marks)? {
        spelled if spelled.subject.is_empty() => reject_peer(text, spelled),
        _ => Err(format!("{text:?} must be `@` and a datacenter")),
    }
}

/// Only instances of services come from peers.
fn reject_peer(text: &str, spelled: ParsedArgument) -> Result<ParsedArgument, String> {
    match spelled {
        ParsedArgument { peer: None, sameness_group: None, .. } => Ok(spelled),
        _ => Err(format!("{text:?}: only `service` and `connect` ask a peer or a sameness group")),
    }
}
