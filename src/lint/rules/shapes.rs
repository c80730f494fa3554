//! Values whose kind Compose does not accept.

use super::RuleFinding;
use crate::lint::evaluated_service::EvaluatedService;

/// Reports what Compose refuses.
pub(super) fn wrong_shapes(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let found = subject.service.shape_problems.iter().map(|misshapen| {
            let found = RuleFinding::error(subject, misshapen.position, misshapen.message.clone());
            RuleFinding { help: misshapen.help.clone(), ..found }
        });
        found.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
