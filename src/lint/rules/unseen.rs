//! What was not looked into.

use super::Found;
use crate::lint::subject::Subject;

/// Files and variables that may say more.
pub(super) fn notes(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let elsewhere = subject.service.unseen.iter();
        let elsewhere = elsewhere.map(|(place, what)| Found::note(subject, *place, format!("not looked into: {what}")));
        let variables = subject.said().filter(|said| !said.entry.value.is_known()).map(|said| {
            let message = format!("not looked into: the value of {} depends on a variable", said.entry.name);
            Found::note(subject, said.entry.place, message)
        });
        elsewhere.chain(variables).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
