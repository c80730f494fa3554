//! Templates that have no output at the moment, and why.

use std::{collections::BTreeMap, fmt};

use super::{MissingInput, TemplateError};
use crate::registry::Query;

/// A template without output, or one file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrendered {
    /// The target.
    pub target: String,
    /// The template's file; with `each`, also the destination: `site.hbs for /etc/nginx/conf.d/web.conf`.
    pub template: String,
    /// Why it has no output.
    pub reason: UnrenderedReason,
}

/// Why a template has no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnrenderedReason {
    /// These queries are not answered, or their answers are not sufficient.
    Missing(BTreeMap<Query, MissingInput>),
    /// It fails with the present answers.
    Failed(TemplateError),
}

impl Unrendered {
    /// Whether it fails with the present answers.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.reason, UnrenderedReason::Failed(_))
    }
}

impl UnrenderedReason {
    /// It has not been rendered yet.
    pub(super) const UNTRIED: Self = Self::Missing(BTreeMap::new());

    /// Whether this is more than an answer that has not arrived yet.
    fn is_problem(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Missing(missing) => missing.values().any(|reason| *reason != MissingInput::Answer),
        }
    }
}

/// Whether a template of the target fails although all its queries are answered, so that waiting does not help.
pub(super) fn has_failure(unrendered: &[Unrendered], target: &str) -> bool {
    unrendered.iter().any(|template| template.target == target && template.is_failure())
}

/// Logs each problem of a template once, and that the template renders again.
pub(super) fn log_change(template: &str, before: Option<&UnrenderedReason>, now: Option<&UnrenderedReason>) {
    match (before, now) {
        (Some(UnrenderedReason::Failed(before)), Some(UnrenderedReason::Failed(error))) if before == error => {}
        (_, Some(UnrenderedReason::Failed(error))) => tracing::error!(file = template, reason = %error, "{error}"),
        (Some(before), None) if before.is_problem() => {
            tracing::info!(file = template, "{template}: renders again");
        }
        (before, Some(UnrenderedReason::Missing(missing))) => {
            let logged = |query| match before {
                Some(UnrenderedReason::Missing(before)) => before.get(query),
                _ => None,
            };
            let problems = missing.iter().filter(|(_, reason)| **reason != MissingInput::Answer);
            for (query, reason) in problems.filter(|(query, reason)| logged(*query) != Some(*reason)) {
                tracing::warn!(file = template, %reason, "{template}: waits for {query}: {reason}");
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
                let list: Vec<_> = missing.iter().map(|(query, reason)| format!("{query} ({reason})")).collect();
                f.write_str(&list.join(", "))
            }
        }
    }
}
