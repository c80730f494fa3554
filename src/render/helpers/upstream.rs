//! `upstream`: the members of a service as the server lines of the file's language.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

use super::{
    HelperCall, HelperDefinition,
    address::{is_ip_address, is_resolvable_name, with_port},
    print::excerpt,
    query::{UPSTREAM_OPTIONS, service_instances},
    query_helper,
};
use crate::{
    registry::{ServiceRecord, Status},
    render::{Escape, recorder::QueryRecorder},
};

pub(super) const ALL: &[HelperDefinition] = &[query_helper("upstream", 0..=1, UPSTREAM_OPTIONS, upstream)];

/// HAProxy's heaviest server.
const MAX_WEIGHT_HAPROXY: u32 = 256;

/// nginx's heaviest server where its numbers have 32 bits.
const MAX_WEIGHT_NGINX: u32 = i32::MAX.unsigned_abs();

/// One line for each member that can have one. Nothing at all until the answer is known.
fn upstream(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let lines = match pass.escape {
        Escape::Nginx => nginx,
        Escape::Haproxy => haproxy,
        Escape::Json | Escape::None | Escape::Path => {
            return Err("it writes the server lines of nginx and HAProxy: say escape = \"nginx\" or \"haproxy\" in \
                        [[target.template]]"
                .to_owned());
        }
    };
    let extra = call.option("extra")?.unwrap_or_default();
    let extra: Vec<_> = extra.split_whitespace().collect();
    for word in &extra {
        check_extra_word(pass.escape, word)?;
    }
    let tail: String = extra.iter().map(|word| format!(" {word}")).collect();
    let names = call.flag("names")?;
    let Some(mut members) = selected_members(call, pass)? else { return Ok(Value::Null) };
    members.retain(|member| match unusable_reason(member, names) {
        None => true,
        Some(why) => {
            pass.warn(format!("{} is left out: {why}", describe_instance(member)));
            false
        }
    });
    match lines(&members, &tail, pass) {
        // A backend without servers is a good one there: it answers 503.
        none if none.is_empty() && pass.escape == Escape::Haproxy => Ok(Value::Null),
        lines => Ok(Value::String(lines.join("\n"))),
    }
}

/// The members of a service that is named, or those that are given as a list.
fn selected_members<'a>(
    call: &HelperCall<'_, '_>,
    pass: &QueryRecorder<'a>,
) -> Result<Option<Vec<Cow<'a, ServiceRecord>>>, String> {
    if !matches!(call.get(0), Some(Value::Array(_))) {
        return Ok(
            service_instances(call, pass, false)?.map(|members| members.into_iter().map(Cow::Borrowed).collect())
        );
    }
    let record = |value| {
        ServiceRecord::deserialize(value)
            .map(Cow::Owned)
            .map_err(|_| "the list must be one of instances, as `service` gives it".to_owned())
    };
    call.list(0)?.iter().map(record).collect::<Result<_, _>>().map(Some)
}

/// Why no program can send requests to the member. One line that is refused would cost the whole file.
fn unusable_reason(member: &ServiceRecord, names: bool) -> Option<String> {
    let ServiceRecord { address, port, .. } = member;
    if *port == 0 {
        return Some("it has no port between 1 and 65535".to_owned());
    }
    if is_ip_address(address) || names && is_resolvable_name(address) {
        return None;
    }
    let hint = if is_resolvable_name(address) { "; names=true takes names, which must resolve" } else { "" };
    Some(format!("{} is no IP address{hint}", excerpt(address)))
}

fn nginx(members: &[Cow<'_, ServiceRecord>], tail: &str, _: &QueryRecorder<'_>) -> Vec<String> {
    // nginx knows no weight 0.
    let weight = |member| weight(member).clamp(1, MAX_WEIGHT_NGINX);
    members
        .iter()
        .map(|member| format!("    server {} weight={}{tail};", address_with_port(member), weight(member)))
        .collect()
}

/// A server has a name there, of certain characters only.
fn haproxy(members: &[Cow<'_, ServiceRecord>], tail: &str, pass: &QueryRecorder<'_>) -> Vec<String> {
    let mut ids = BTreeMap::<_, usize>::new();
    members.iter().for_each(|member| *ids.entry(&member.id).or_default() += 1);
    let line = |member: &Cow<'_, ServiceRecord>| {
        // An id is unique on its node only.
        let name = if ids[&member.id] == 1 { member.id.clone() } else { format!("{}:{}", member.node, member.id) };
        let offence = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c));
        if offence.is_some() || name.is_empty() {
            let why = offence.map_or_else(|| "is empty".to_owned(), |offence| format!("holds {offence:?}"));
            pass.warn(format!("{} is left out: {name:?} {why}, so it cannot name a server", describe_instance(member)));
            return None;
        }
        Some(format!(
            "    server {name} {} weight {}{tail}",
            address_with_port(member),
            weight(member).min(MAX_WEIGHT_HAPROXY)
        ))
    };
    members.iter().filter_map(line).collect()
}

/// Which instance it is, for the log.
fn describe_instance(member: &ServiceRecord) -> String {
    let ServiceRecord { name, id, node, .. } = member;
    format!("service {name:?}, instance {id:?} on node {node:?},")
}

fn address_with_port(member: &ServiceRecord) -> String {
    with_port(&member.address, &member.port.to_string())
}

fn weight(member: &ServiceRecord) -> u32 {
    if member.status == Status::Warning { member.weights.warning } else { member.weight }
}

/// What goes into a line must be one word of the language.
fn check_extra_word(escape: Escape, word: &str) -> Result<(), String> {
    match escape.special_char(word) {
        None => Ok(()),
        Some(offence) => {
            Err(format!("extra: {} holds {offence:?}, which has a meaning of its own in this file", excerpt(word)))
        }
    }
}
