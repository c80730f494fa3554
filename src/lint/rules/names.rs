//! Names that DNS cannot carry.

use super::Found;
use crate::{
    lint::{finding::Place, subject::Subject, text::Text},
    register::limits,
};

/// The names under which the ports would be registered.
pub(super) fn carried(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let named = subject.verdicts.iter().filter_map(|verdict| {
            let instance = verdict.outcome.as_ref().ok()?;
            let (place, what) = name_place(subject, verdict.port)?;
            let problem = limits::name(&instance.name).filter(|_| !instance.name.contains(Text::HOLE))?;
            let found = Found::warning(subject, place, format!("{what}: {problem}"));
            Some(found.help("DNS carries up to 63 letters, digits and -; SERVICE_NAME sets another name"))
        });
        named.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// What gives a port its name; nothing if that is not in the file.
fn name_place(subject: &Subject<'_>, port: crate::docker::Port) -> Option<(Place, String)> {
    match subject.winner(port, "name") {
        Some(entry) => Some((entry.place, entry.name.clone())),
        None => subject.service.image.as_ref().map(|image| (image.place, "the name of the image".to_owned())),
    }
}
