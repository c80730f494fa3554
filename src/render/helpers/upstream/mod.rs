//! `upstream`: prints the instances of a service as server lines in the language of the file.
//!
//! ```text
//! instances --without those that no balancer can use--> Upstream --recorded--> the target: debouncing, log lines
//!                                                           '-----printed----> server lines: nginx, haproxy
//! ```

mod haproxy;
mod nginx;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    HelperCall, HelperDefinition,
    address::{is_ip_address, is_resolvable_name},
    print::excerpt,
    query::{ServiceInstances, UPSTREAM_OPTIONS, service_instances},
    query_helper,
};
use crate::{
    registry::{ServiceRecord, Status},
    render::{Escape, recorder::QueryRecorder},
    target::{Member, Server, Upstream},
};

pub(super) const ALL: &[HelperDefinition] = &[query_helper("upstream", 0..=1, UPSTREAM_OPTIONS, upstream)];

/// One language of server lines.
struct ServerSyntax {
    line: fn(&Server) -> String,
    /// Why the language has no line for a server.
    rejection_reason: fn(&Server) -> Option<String>,
    ending: &'static str,
    /// Whether a block without servers is valid.
    may_be_empty: bool,
}

/// One line for each instance that can have one; `null` until the instances are known.
fn upstream(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let printer = match recorder.escape {
        Escape::Nginx => &nginx::PRINTER,
        Escape::Haproxy => &haproxy::PRINTER,
        Escape::Json | Escape::None | Escape::Path => {
            return Err("it prints server lines of nginx or HAProxy: set escape = \"nginx\" or \"haproxy\" in \
                        [[target.template]]"
                .to_owned());
        }
    };
    let extra = call.option("extra")?.unwrap_or_default();
    let options: Vec<_> = extra.split_whitespace().map(str::to_owned).collect();
    for word in &options {
        check_extra_word(recorder.escape, word)?;
    }
    let allow_names = call.flag("names")?;
    let Some((service, mut instances)) = selected_instances(call, recorder)? else { return Ok(Value::Null) };
    let names: BTreeSet<_> = instances.iter().map(|instance| instance.name.as_str()).collect();
    let services = service.into_iter().chain(names.into_iter().map(str::to_owned)).collect();
    let keep = |instance: &ServiceRecord, reason: Option<String>| match reason {
        None => true,
        Some(reason) => {
            let ServiceRecord { name, id, node, .. } = instance;
            recorder.warn(format!("service {name:?}, instance {id:?} on node {node:?}, is left out: {reason}"));
            false
        }
    };
    instances.retain(|instance| keep(instance, unusable_reason(instance, allow_names)));
    let named = servers(&instances).into_iter().zip(&instances);
    let servers = named.filter(|(server, instance)| keep(instance, (printer.rejection_reason)(server)));
    let upstream = Upstream { services, options, servers: servers.map(|(server, _)| server).collect() };
    let lines = print(printer, &upstream);
    recorder.record_upstream(upstream);
    Ok(if lines.is_empty() && printer.may_be_empty { Value::Null } else { Value::String(lines) })
}

fn print(printer: &ServerSyntax, upstream: &Upstream) -> String {
    let options: String = upstream.options.iter().map(|word| format!(" {word}")).collect();
    let line = |server| format!("    server {}{options}{}", (printer.line)(server), printer.ending);
    upstream.servers.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The name of the service and its instances. The name is `None` if the instances are given as a list.
type SelectedInstances<'a> = (Option<String>, Vec<Cow<'a, ServiceRecord>>);

/// The instances of the named service, or those given as a list. `None`: the query is not answered yet.
fn selected_instances<'a>(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'a>,
) -> Result<Option<SelectedInstances<'a>>, String> {
    if !matches!(call.get(0), Some(Value::Array(_))) {
        let known = service_instances(call, recorder, false)?;
        return Ok(known.map(|ServiceInstances { service, records }| {
            (Some(service), records.into_iter().map(Cow::Borrowed).collect())
        }));
    }
    let record = |value| {
        ServiceRecord::deserialize(value)
            .map(Cow::Owned)
            .map_err(|_| "the list must contain instances, as returned by `service`".to_owned())
    };
    let records: Result<_, _> = call.list(0)?.iter().map(record).collect();
    Ok(Some((None, records?)))
}

/// Why no balancer can use the instance. One invalid line would make the balancer reject the whole file.
fn unusable_reason(instance: &ServiceRecord, allow_names: bool) -> Option<String> {
    let ServiceRecord { address, port, .. } = instance;
    if *port == 0 {
        return Some("it has no port between 1 and 65535".to_owned());
    }
    if is_ip_address(address) || allow_names && is_resolvable_name(address) {
        return None;
    }
    let hint = if is_resolvable_name(address) { "; names=true takes names, which must resolve" } else { "" };
    Some(format!("{} is not an IP address{hint}", excerpt(address)))
}

/// One server for each instance.
fn servers(instances: &[Cow<'_, ServiceRecord>]) -> Vec<Server> {
    let mut count_by_id = BTreeMap::<_, usize>::new();
    instances.iter().for_each(|instance| *count_by_id.entry(&instance.id).or_default() += 1);
    let server = |instance: &Cow<'_, ServiceRecord>| {
        let ServiceRecord { node, id, .. } = &**instance;
        let name = if count_by_id[id] == 1 { id.clone() } else { format!("{node}:{id}") };
        let is_warning = instance.status == Status::Warning;
        let weight = if is_warning { instance.weights.warning } else { instance.weight };
        Server { name, instance: Member::from(&**instance), weight }
    };
    instances.iter().map(server).collect()
}

/// Each word of `extra=` must be one word of the language.
fn check_extra_word(escape: Escape, word: &str) -> Result<(), String> {
    match escape.special_char(word) {
        None => Ok(()),
        Some(offence) => {
            Err(format!("extra: {} holds {offence:?}, which has a meaning of its own in this file", excerpt(word)))
        }
    }
}
