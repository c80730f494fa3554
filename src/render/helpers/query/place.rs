//! Where something is asked: by options, or by a text that the author wrote.

use super::{
    given,
    grammar::{self, Marks, Spelled},
};
use crate::{
    registry::Scope,
    render::{
        helpers::{Call, call::Origin},
        recorder::Recorder,
    },
};

/// The options dc=, namespace= (or ns=) and partition=, which go before what `spelled` says.
pub(super) fn scope(call: &Call<'_, '_>, spelled: Scope) -> Result<Scope, String> {
    let namespace = match (given(call, "namespace")?, given(call, "ns")?) {
        (Some(_), Some(_)) => return Err("namespace= and ns= are the same: give one of them".to_owned()),
        (long, short) => long.or(short),
    };
    Ok(Scope {
        dc: given(call, "dc")?.or(spelled.dc),
        namespace: namespace.or(spelled.namespace),
        partition: given(call, "partition")?.or(spelled.partition),
    })
}

/// The first argument. What stands in the template is read as grammar, and so is what a helper gives; what comes from a
/// field is a subject as it is.
pub(super) fn spelled(call: &Call<'_, '_>, pass: &Recorder<'_>, marks: Marks) -> Result<Spelled, String> {
    let subject = call.text(0)?;
    let read = || grammar::parse(&subject, marks).and_then(|spelled| local(&subject, spelled));
    let spelled = match call.origin(0) {
        Origin::Literal => Some(read()?),
        // A part of it may come from a registry, and must not be able to stop the template.
        Origin::Computed => read().ok(),
        Origin::Field => {
            if read().is_ok_and(|spelled| spelled.scope != Scope::default()) {
                pass.remark(format!(
                    "{subject:?} comes from a field or a variable, so it is taken as it is: dc=, ns= and partition= say \
                     where to ask"
                ));
            }
            None
        }
    };
    Ok(spelled.unwrap_or_else(|| Spelled { subject, ..Spelled::default() }))
}

/// The same where a subject has no place, and the whole argument may be missing.
pub(super) fn spelled_without_subject(call: &Call<'_, '_>, marks: Marks) -> Result<Spelled, String> {
    if call.len() == 0 {
        return Ok(Spelled::default());
    }
    if call.origin(0) == Origin::Field {
        return Err("what comes from a field or a variable is not read: a datacenter is given as dc=".to_owned());
    }
    let text = &call.text(0)?;
    match grammar::parse(text, marks)? {
        spelled if spelled.subject.is_empty() => local(text, spelled),
        _ => Err(format!("{text:?} must be `@` and a datacenter")),
    }
}

/// Only instances of services come from peers.
fn local(text: &str, spelled: Spelled) -> Result<Spelled, String> {
    match spelled {
        Spelled { peer: None, sameness_group: None, .. } => Ok(spelled),
        _ => Err(format!("{text:?}: only `service` and `connect` ask a peer or a sameness group")),
    }
}
