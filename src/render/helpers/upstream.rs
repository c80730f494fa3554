//! `upstream`: the members of a service as the server lines of the file's language.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Call, Definition,
    address::with_port,
    print::shown,
    query::{UPSTREAM, members},
    value,
};
use crate::{
    registry::{ServiceRecord, Status},
    render::{Escape, recorder::Recorder},
};

pub(super) const ALL: &[Definition] = &[value("upstream", 0..=1, UPSTREAM, upstream)];

/// HAProxy's heaviest server.
const HEAVIEST: u32 = 256;

/// One line for each member that has a place. Nothing at all until the answer is known.
fn upstream(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
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
        check(pass.escape, word, || "extra".to_owned())?;
    }
    let tail: String = extra.iter().map(|word| format!(" {word}")).collect();
    let Some(members) = members(call, pass, false)? else { return Ok(Value::Null) };
    let members: Vec<_> = members.into_iter().filter(|member| member.port != 0 && !member.address.is_empty()).collect();
    for member in &members {
        check(pass.escape, &member.address, || format!("the address of {}", described(member)))?;
    }
    match lines(&members, &tail)? {
        // A backend without servers is a good one there: it answers 503.
        none if none.is_empty() && pass.escape == Escape::Haproxy => Ok(Value::Null),
        lines => Ok(Value::String(lines.join("\n"))),
    }
}

fn nginx(members: &[&ServiceRecord], tail: &str) -> Result<Vec<String>, String> {
    // nginx knows no weight 0.
    let line =
        |member: &&ServiceRecord| format!("    server {} weight={}{tail};", place(member), weight(member).max(1));
    Ok(members.iter().map(line).collect())
}

/// A server has a name there, of certain characters only.
fn haproxy(members: &[&ServiceRecord], tail: &str) -> Result<Vec<String>, String> {
    let mut ids = BTreeMap::<_, usize>::new();
    members.iter().for_each(|member| *ids.entry(&member.id).or_default() += 1);
    let line = |member: &&ServiceRecord| {
        // An id is unique on its node only.
        let name = if ids[&member.id] == 1 { member.id.clone() } else { format!("{}:{}", member.node, member.id) };
        if let Some(offence) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
            return Err(format!("{}: {name:?} holds {offence:?}, so it cannot name a server", described(member)));
        }
        Ok(format!("    server {name} {} weight {}{tail}", place(member), weight(member).min(HEAVIEST)))
    };
    members.iter().map(line).collect()
}

/// Which instance it is, for an error.
fn described(member: &ServiceRecord) -> String {
    let ServiceRecord { name, id, node, .. } = member;
    format!("{name:?}, instance {id:?} on node {node:?}")
}

fn place(member: &ServiceRecord) -> String {
    with_port(&member.address, &member.port.to_string())
}

fn weight(member: &ServiceRecord) -> u32 {
    if member.status == Status::Warning { member.weights.warning } else { member.weight }
}

/// What goes into a line must be one word of the language.
fn check(escape: Escape, word: &str, what: impl Fn() -> String) -> Result<(), String> {
    match escape.offence(word) {
        None => Ok(()),
        Some(offence) => {
            Err(format!("{}: {} holds {offence:?}, which has a meaning of its own in this file", what(), shown(word)))
        }
    }
}
