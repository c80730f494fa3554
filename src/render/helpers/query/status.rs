//! The statuses of `status=` and of the grammar.

use crate::registry::Status;

pub(super) const ANY_STATUS: [Status; 4] = [Status::Passing, Status::Warning, Status::Critical, Status::Maintenance];

/// Parses a list such as `passing,warning`. The result is sorted and has no duplicates, so that lists with the same
/// statuses are equal.
pub(super) fn parse_statuses(list: &str) -> Result<Vec<Status>, String> {
    let mut statuses = Vec::new();
    for word in list.split(',') {
        match word.trim() {
            "any" => statuses.extend(ANY_STATUS),
            "passing" => statuses.push(Status::Passing),
            "warning" => statuses.push(Status::Warning),
            "critical" => statuses.push(Status::Critical),
            "maintenance" => statuses.push(Status::Maintenance),
            other => {
                return Err(format!("{other:?} is not a status: use any, passing, warning, critical or maintenance"));
            }
        }
    }
    statuses.sort();
    statuses.dedup();
    Ok(statuses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parsed_in_any_order() {
        let both = Ok(vec![Status::Passing, Status::Warning]);
        assert_eq!(
            (parse_statuses("passing,warning"), parse_statuses("warning, passing,warning")),
            (both.clone(), both)
        );
        assert_eq!(parse_statuses("critical,any"), Ok(ANY_STATUS.to_vec()));
        for wrong in ["", "healthy", "passing,", "Passing"] {
            assert!(parse_statuses(wrong).is_err(), "{wrong:?}");
        }
    }
}
