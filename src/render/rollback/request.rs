//! The requests of `portreeve render rollback` and their responses, as the control socket transfers them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::target::{Generation, InEffect, RollbackPin};

/// A request to a running Portreeve. The target may be omitted if there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ControlRequest {
    /// List the versions and generations that a rollback can choose from.
    List {
        /// The target; `None`: all targets.
        target: Option<String>,
    },
    /// Bring an earlier version of the templates and the configuration into effect, and pin the target to it.
    Rollback {
        /// The target.
        target: Option<String>,
        /// The number of the version; `None`: the one before the version in effect.
        to: Option<u64>,
        /// Choose an earlier generation of the files instead, byte for byte.
        data: bool,
    },
    /// Show what a rollback would change.
    Diff {
        /// The target.
        target: Option<String>,
        /// As in `Rollback`.
        to: Option<u64>,
        /// As in `Rollback`.
        data: bool,
    },
    /// Unpin the target, so that it follows its templates again.
    Release {
        /// The target.
        target: Option<String>,
    },
}

/// A target, and the versions and generations that a rollback can choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHistory {
    /// The target's name.
    pub target: String,
    /// The state directory that holds the history.
    pub state_dir: PathBuf,
    /// What the target is pinned to.
    #[serde(rename = "held")]
    pub pinned: Option<RollbackPin>,
    /// What is in effect.
    pub in_effect: InEffect,
    /// The kept versions of the templates, oldest first.
    pub versions: Vec<TemplateVersion>,
    /// The kept generations of the files, oldest first.
    pub generations: Vec<Generation>,
    /// What a rollback would change, if the request was `Diff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A version of a target's templates and configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateVersion {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect for the first time, RFC 3339.
    pub since: String,
    /// What differs from the version before.
    pub cause: String,
}
