//! Names that DNS cannot serve.

use super::RuleFinding;
use crate::{
    consul::limits,
    lint::{evaluated_service::EvaluatedService, finding::SourcePosition, text::ComposeText},
};

/// Checks the names under which the ports would be registered.
pub(super) fn invalid_dns_names(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let named = subject.port_outcomes.iter().filter_map(|outcome| {
            let instance = outcome.instance.as_ref().ok()?;
            let (position, what) = name_position(subject, outcome.port)?;
            let problem = limits::dns_name_problem(&instance.name)
                .filter(|_| !instance.name.contains(ComposeText::UNKNOWN_VALUE))?;
            let found = RuleFinding::warning(subject, position, format!("{what}: {problem}"));
            Some(found.help("DNS carries up to 63 letters, digits and -; SERVICE_NAME sets another name"))
        });
        named.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// The position of the name of a port; `None` if it is not in the file.
fn name_position(subject: &EvaluatedService<'_>, port: crate::docker::Port) -> Option<(SourcePosition, String)> {
    match subject.winning_variable(port, "name") {
        Some(entry) => Some((entry.position, entry.name.clone())),
        None => subject.service.image.as_ref().map(|image| (image.position, "the name of the image".to_owned())),
    }
}
