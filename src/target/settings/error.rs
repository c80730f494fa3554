//! What is wrong with settings.

use std::path::PathBuf;

use super::CANDIDATE;

/// What is wrong with a table although each of its keys is well formed. Names the key.
#[derive(Debug, thiserror::Error)]
pub enum TargetSettingsError {
    /// The name would not do as a folder's.
    #[error("`name`: {0:?} has to be made of letters, digits, `-`, `_` and `.`, and not to begin with a dot")]
    Name(String),
    /// A target without files has no use.
    #[error("target {0}: `template`: there has to be at least one [[target.template]]")]
    NoTemplate(String),
    /// Two templates would overwrite each other.
    #[error("target {name}: `destination`: {} is written by two templates", destination.display())]
    DuplicateDestination {
        /// The target.
        name: String,
        /// The file.
        destination: PathBuf,
    },
    /// Several files with one name, or one file with a name that cannot be computed.
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
        /// Whether it is a template.
        computed: bool,
    },
    /// The key means nothing here.
    #[error("target {name}: `{key}` is not for kind = \"{kind}\"")]
    NotForKind {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// The target's kind.
        kind: &'static str,
    },
    /// Two ways of reloading, or half of one.
    #[error("target {name}: `{key}` {reason}")]
    Reload {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// What is the matter with it.
        reason: &'static str,
    },
    /// A probe that cannot be made.
    #[error("target {name}: `{key}`: {problem}")]
    Probe {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// What is the matter with it.
        problem: String,
    },
    /// A command without a program.
    #[error("target {name}: `{key}`: the first element has to be a program")]
    NoProgram {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// The check would not see what it is to check.
    #[error("target {0}: `check`: no argument has {CANDIDATE} in it, so the candidate would not be looked at")]
    CheckWithoutCandidate(String),
    /// A wait that nobody can mean.
    #[error("target {name}: `{key}` is longer than a day")]
    TooLong {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// There is no such signal.
    #[error("target {name}: `signal`: {signal:?} is not a signal's name such as \"SIGHUP\"")]
    Signal {
        /// The target.
        name: String,
        /// What was given.
        signal: String,
    },
}
