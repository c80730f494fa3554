//! Reports what was not examined.

use super::RuleFinding;
use crate::lint::evaluated_service::EvaluatedService;

/// Reports files and variables whose content is unknown.
pub(super) fn not_examined(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let elsewhere = subject.service.not_examined.iter();
        let elsewhere =
            elsewhere.map(|(position, what)| RuleFinding::note(subject, *position, format!("not examined: {what}")));
        let variables =
            subject.declared_keys().filter(|declared| !declared.variable.value.is_known()).map(|declared| {
                let message = format!("not examined: the value of {} depends on a variable", declared.variable.name);
                RuleFinding::note(subject, declared.variable.position, message)
            });
        elsewhere.chain(variables).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
