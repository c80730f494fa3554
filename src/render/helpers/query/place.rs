//! Where something is asked: by options, or by a text that the author wrote.

use super::{
    given,
    grammar::{self, Marks, Spelled},
};
use crate::{registry::Scope, render::helpers::Call};

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

/// The first argument. What stands in the template is read as grammar, what has been computed is a subject as it is.
pub(super) fn spelled(call: &Call<'_, '_>, marks: Marks) -> Result<Spelled, String> {
    match call.literal(0) {
        Some(text) => local(text, grammar::parse(text, marks)?),
        None => Ok(Spelled { subject: call.text(0)?, ..Spelled::default() }),
    }
}

/// The same where a subject has no place, and the whole argument may be missing.
pub(super) fn spelled_without_subject(call: &Call<'_, '_>, marks: Marks) -> Result<Spelled, String> {
    if call.len() == 0 {
        return Ok(Spelled::default());
    }
    let Some(text) = call.literal(0) else { return Err("a datacenter is given as dc=".to_owned()) };
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
