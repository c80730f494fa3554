//! Values of another kind than Compose takes.

use super::Found;
use crate::lint::subject::Subject;

/// What Compose refuses, and so nobody registers.
pub(super) fn misshapen(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let found = subject.service.misshapen.iter().map(|misshapen| {
            let found = Found::error(subject, misshapen.place, misshapen.message.clone());
            Found { help: misshapen.help.clone(), ..found }
        });
        found.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
