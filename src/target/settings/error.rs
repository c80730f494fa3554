//! Errors of the settings of a target.

use std::path::PathBuf;

use super::CANDIDATE;

/// A table is invalid although each of its keys is well formed. The message names the key.
#[derive(Debug, thiserror::Error)]
pub enum TargetSettingsError {
    /// The name is not valid as the name of a directory.
    #[error("`name`: {0:?} has to be made of letters, digits, `-`, `_` and `.`, and not to begin with a dot")]
    Name(String),
    /// The target has no template.
    #[error("target {0}: `template`: there has to be at least one [[target.template]]")]
    NoTemplate(String),
    /// Two templates have the same destination.
    #[error("target {name}: `destination`: {} is written by two templates", destination.display())]
    DuplicateDestination {
        /// The target.
        name: String,
        /// The file.
        destination: PathBuf,
    },
    /// `each` with a fixed destination, or a templated destination without `each`.
    #[error(
        "target {name}: `destination`: {} {}",
        destination.display(),
        if *computed {
            "holds `{{`: `each` has to say what it is made for, such as each = \"(services)\""
        } else {
            "is one file, and `each` asks for several: let it name them by the member, such as …/{{name}}.conf"
        }
    )]
    EachMismatch {
        /// The target.
        name: String,
        /// The destination.
        destination: PathBuf,
        /// Whether the destination is a template.
        computed: bool,
    },
    /// The key has no meaning for this kind.
    #[error("target {name}: `{key}` is not for kind = \"{kind}\"")]
    NotForKind {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// The target's kind.
        kind: &'static str,
    },
    /// The keys of the reload contradict each other, or one is missing.
    #[error("target {name}: `{key}` {reason}")]
    Reload {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The probe is invalid.
    #[error("target {name}: `{key}`: {problem}")]
    Probe {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A command has no program.
    #[error("target {name}: `{key}`: the first element has to be a program")]
    NoProgram {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// No argument of the check names the candidate.
    #[error("target {0}: `check`: no argument has {CANDIDATE} in it, so the candidate would not be checked")]
    CheckWithoutCandidate(String),
    /// A duration is longer than a day.
    #[error("target {name}: `{key}` is longer than a day")]
    TooLong {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// The signal does not exist.
    #[error("target {name}: `signal`: {signal:?} is not a signal's name such as \"SIGHUP\"")]
    Signal {
        /// The target.
        name: String,
        /// The value in the settings.
        signal: String,
    },
}
