//! The environment of the child. Pure.

use std::{collections::BTreeMap, ffi::OsString};

use serde::Deserialize;

/// The table `[exec.env]`. The other keys choose the inherited variables; `custom` is always added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvRules {
    /// Whether no variable is inherited. Default false.
    pub pristine: bool,
    /// Additional variables, as `NAME=VALUE`. They override inherited ones.
    pub custom: Vec<EnvVariable>,
    /// If not empty, only variables that match one of these patterns are inherited. `*` stands for any text.
    pub allow: Vec<String>,
    /// Variables that match one of these patterns are not inherited, even if they are allowed.
    pub deny: Vec<String>,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EnvVariable {
    name: String,
    value: String,
}

/// A value is not `NAME=VALUE`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not NAME=VALUE")]
pub struct EnvVariableError(String);

impl TryFrom<String> for EnvVariable {
    type Error = EnvVariableError;

    fn try_from(text: String) -> Result<Self, EnvVariableError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(EnvVariableError(text)),
        }
    }
}

impl EnvRules {
    /// The variables of the child. `own`: those of this process.
    pub(super) fn apply(&self, own: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
        let inherited = own.into_iter().filter(|(name, _)| self.inherits(&name.to_string_lossy()));
        let custom = self.custom.iter().map(|variable| (variable.name.clone().into(), variable.value.clone().into()));
        inherited.chain(custom).collect()
    }

    fn inherits(&self, name: &str) -> bool {
        let matches_any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        !self.pristine && (self.allow.is_empty() || matches_any(&self.allow)) && !matches_any(&self.deny)
    }
}

/// Whether the pattern matches the whole text. Each `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, rest)) => text
            .strip_prefix(begin)
            .is_some_and(|text| (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [(&str, &str); 4] = [("HOME", "/root"), ("PATH", "/bin"), ("CONSUL_TOKEN", "x"), ("CONSUL_ADDR", "y")];

    fn child(rules: &str) -> Vec<String> {
        let rules: EnvRules = toml::from_str(rules).expect("they are right");
        let applied = rules.apply(OWN.map(|(name, value)| (name.into(), value.into())));
        applied.into_iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    #[test]
    fn the_rules() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &["CONSUL_ADDR=y", "CONSUL_TOKEN=x", "HOME=/root", "PATH=/bin"]),
            ("deny = ['CONSUL_*']", &["HOME=/root", "PATH=/bin"]),
            ("allow = ['PATH', 'C*_A*']", &["CONSUL_ADDR=y", "PATH=/bin"]),
            ("allow = ['CONSUL_*']\ndeny = ['*TOKEN']", &["CONSUL_ADDR=y"]),
            ("pristine = true", &[]),
            ("pristine = true\nallow = ['*']\ncustom = ['A=b=c', 'B=']", &["A=b=c", "B="]),
            ("deny = ['*']\ncustom = ['HOME=/new']", &["HOME=/new"]),
        ];
        for (rules, expected) in cases {
            assert_eq!(child(rules), expected, "{rules}");
        }
    }

    #[test]
    fn patterns() {
        let cases =
            [("*", "", true), ("a*c", "abc", true), ("a*c", "ac", true), ("a*c", "acd", false), ("*é*", "xéy", true)];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
