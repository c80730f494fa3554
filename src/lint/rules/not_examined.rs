//! What was not looked into.

use super::RuleFinding;
use crate::lint::evaluated_service::EvaluatedService;

/// Files and variables that may say more.
pub(super) fn not_examined(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let elsewhere = subject.service.not_examined.iter();
        let elsewhere =
            elsewhere.map(|(place, what)| RuleFinding::note(subject, *place, format!("not looked into: {what}")));
        let variables = subject.declared_keys().filter(|said| !said.variable.value.is_known()).map(|said| {
            let message = format!("not looked into: the value of {} depends on a variable", said.variable.name);
            RuleFinding::note(subject, said.variable.position, message)
        });
        elsewhere.chain(variables).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
