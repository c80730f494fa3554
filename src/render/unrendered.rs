//! What keeps a template from being rendered.

use std::{collections::BTreeMap, fmt};

use super::{MissingInput, TemplateError};
use crate::registry::Query;

/// A template that is not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrendered {
    /// The target.
    pub target: String,
    /// The template's file, and the file that it should become if there are several.
    pub template: String,
    /// What keeps it.
    pub reason: UnrenderedReason,
}

/// What keeps a template from being rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnrenderedReason {
    /// These queries must be answered, or answered otherwise.
    Missing(BTreeMap<Query, MissingInput>),
    /// It does not fit the answers.
    Failed(TemplateError),
}

impl Unrendered {
    /// Whether it does not fit the answers.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.reason, UnrenderedReason::Failed(_))
    }
}

impl UnrenderedReason {
    /// It has not been tried yet.
    pub(super) const UNTRIED: Self = Self::Missing(BTreeMap::new());

    /// Not just a matter of time.
    fn is_problem(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Missing(missing) => missing.values().any(|why| *why != MissingInput::Answer),
        }
    }
}

/// Whether a template of the target does not fit the answers, all of which it has: waiting cannot mend that.
pub(super) fn has_failure(open: &[Unrendered], target: &str) -> bool {
    open.iter().any(|open| open.target == target && open.is_failure())
}

/// Says each trouble of a template once, and that it is over.
pub(super) fn log_change(template: &str, before: Option<&UnrenderedReason>, now: Option<&UnrenderedReason>) {
    match (before, now) {
        (Some(UnrenderedReason::Failed(before)), Some(UnrenderedReason::Failed(error))) if before == error => {}
        (_, Some(UnrenderedReason::Failed(error))) => tracing::error!(file = template, reason = %error, "{error}"),
        (Some(before), None) if before.is_problem() => {
            tracing::info!(file = template, "{template}: renders again");
        }
        (before, Some(UnrenderedReason::Missing(missing))) => {
            let before = match before {
                Some(UnrenderedReason::Missing(before)) => Some(before),
                _ => None,
            };
            let held = missing.iter().filter(|(_, why)| **why != MissingInput::Answer);
            for (query, why) in held.filter(|(query, why)| before.and_then(|known| known.get(query)) != Some(why)) {
                tracing::warn!(file = template, reason = %why, "{template}: waits for {query}: {why}");
            }
        }
        _ => {}
    }
}

impl fmt::Display for Unrendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target {}: ", self.target)?;
        match &self.reason {
            UnrenderedReason::Failed(error) => write!(f, "{error}"),
            UnrenderedReason::Missing(missing) => {
                write!(f, "{}: waits for ", self.template)?;
                let list: Vec<_> = missing.iter().map(|(query, why)| format!("{query} ({why})")).collect();
                f.write_str(&list.join(", "))
            }
        }
    }
}
