//! What keeps a template from being rendered.

use std::{collections::BTreeMap, fmt};

use super::{Missing, TemplateError};
use crate::registry::Query;

/// A template that is not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The target.
    pub target: String,
    /// The template's file, and the file that it should become if there are several.
    pub template: String,
    /// What keeps it.
    pub why: Why,
}

/// What keeps a template from being rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// These queries must be answered, or answered otherwise.
    Missing(BTreeMap<Query, Missing>),
    /// It does not fit the answers.
    Failed(TemplateError),
}

impl Open {
    /// Whether it does not fit the answers.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.why, Why::Failed(_))
    }
}

impl Why {
    /// It has not been tried yet.
    pub(super) const UNTRIED: Self = Self::Missing(BTreeMap::new());

    /// Not just a matter of time.
    fn is_trouble(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Missing(missing) => missing.values().any(|why| *why != Missing::Answer),
        }
    }
}

/// Whether a template of the target does not fit the answers, all of which it has: waiting cannot mend that.
pub(super) fn fails(open: &[Open], target: &str) -> bool {
    open.iter().any(|open| open.target == target && open.is_failure())
}

/// Says each trouble of a template once, and that it is over.
pub(super) fn say(template: &str, before: Option<&Why>, now: Option<&Why>) {
    match (before, now) {
        (Some(Why::Failed(before)), Some(Why::Failed(error))) if before == error => {}
        (_, Some(Why::Failed(error))) => tracing::error!(file = template, reason = %error, "{error}"),
        (Some(before), None) if before.is_trouble() => {
            tracing::info!(file = template, "{template}: renders again");
        }
        (before, Some(Why::Missing(missing))) => {
            let before = match before {
                Some(Why::Missing(before)) => Some(before),
                _ => None,
            };
            let held = missing.iter().filter(|(_, why)| **why != Missing::Answer);
            for (query, why) in held.filter(|(query, why)| before.and_then(|known| known.get(query)) != Some(why)) {
                tracing::warn!(file = template, reason = %why, "{template}: waits for {query}: {why}");
            }
        }
        _ => {}
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target {}: ", self.target)?;
        match &self.why {
            Why::Failed(error) => write!(f, "{error}"),
            Why::Missing(missing) => {
                write!(f, "{}: waits for ", self.template)?;
                let list: Vec<_> = missing.iter().map(|(query, why)| format!("{query} ({why})")).collect();
                f.write_str(&list.join(", "))
            }
        }
    }
}
