//! `upstream`: the members of a service as the server lines of the file's language.

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

/// One server line of checked words, with a name for the server.
type Line = fn(&ServiceRecord, &str, &str) -> Result<String, String>;

/// One line for each member that has a place. Nothing at all until the answer is known.
fn upstream(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let line: Line = match pass.escape {
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
    let lines = members.iter().map(|member| {
        check(pass.escape, &member.address, || format!("the address of {}", described(member)))?;
        // An id is unique on its node only.
        let is_unique = members.iter().filter(|other| other.id == member.id).count() == 1;
        let name = if is_unique { member.id.clone() } else { format!("{}:{}", member.node, member.id) };
        line(member, &name, &tail)
    });
    match lines.collect::<Result<Vec<_>, _>>()? {
        // A backend without servers is a good one there: it answers 503.
        none if none.is_empty() && pass.escape == Escape::Haproxy => Ok(Value::Null),
        lines => Ok(Value::String(lines.join("\n"))),
    }
}

fn nginx(member: &ServiceRecord, _: &str, tail: &str) -> Result<String, String> {
    // nginx knows no weight 0.
    Ok(format!("    server {} weight={}{tail};", place(member), weight(member).max(1)))
}

/// A server has a name there, of certain characters only.
fn haproxy(member: &ServiceRecord, name: &str, tail: &str) -> Result<String, String> {
    if let Some(offence) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
        return Err(format!("{}: {name:?} holds {offence:?}, so it cannot name a server", described(member)));
    }
    Ok(format!("    server {name} {} weight {}{tail}", place(member), weight(member).min(HEAVIEST)))
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
