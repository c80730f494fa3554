//! Notes about variables and labels that look like our keys but are not read, are unknown, or apply to no port. Pure.

use crate::{
    docker::{Container, Port},
    register::{
        key_problems::{self, KeyProblem},
        metadata::{Metadata, MetadataSource},
    },
};

/// A note for each variable or label that has a problem or applies to none of `ports`, worded as by `lint`.
pub(super) fn key_notes(container: &Container, metadata: &Metadata, ports: &[Port]) -> Vec<String> {
    let problems = metadata.declarations().filter_map(|(scope, key, setting)| {
        let name = setting.name;
        let problem = key_problems::invalid_port(name, scope, key).or_else(|| key_problems::unknown_key(name, key));
        let applies = ports.is_empty() || ports.iter().any(|port| scope.applies_to(*port));
        problem.map(problem_text).or_else(|| (!applies).then(|| matches_no_port(name, ports)))
    });
    let is_read = |name: &str, label: bool| {
        metadata
            .declarations()
            .any(|(_, _, setting)| setting.name == name && label == (setting.source != MetadataSource::Variable))
    };
    let names = container.env.iter().map(|(name, _)| (name, false));
    let names = names.chain(container.labels.keys().map(|name| (name, true)));
    let unread = names.filter(|(name, label)| !is_read(name, *label));
    let mut notes: Vec<_> = problems
        .chain(unread.filter_map(|(name, label)| key_problems::unread_key(name, label).map(problem_text)))
        .collect();
    notes.sort();
    notes.dedup();
    notes
}

fn matches_no_port(name: &str, ports: &[Port]) -> String {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    format!("{name} applies to no port of the container, which has {}; the key names the port inside", ports.join(", "))
}

fn problem_text(KeyProblem { message, help, .. }: KeyProblem) -> String {
    help.map_or_else(|| message.clone(), |help| format!("{message}; {help}"))
}
