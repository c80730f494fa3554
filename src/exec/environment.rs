//! Which variables the child sees. Pure.

use std::{collections::BTreeMap, ffi::OsString};

use serde::Deserialize;

/// The table `[exec.env]`. First the inherited variables are chosen, then `custom` is added whatever that has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvRules {
    /// Nothing is inherited. Default false.
    pub pristine: bool,
    /// Variables of its own, as `NAME=VALUE`; they go before inherited ones.
    pub custom: Vec<EnvVariable>,
    /// Only what one of these patterns names is inherited, if there are any. `*` stands for any text.
    pub allow: Vec<String>,
    /// What one of these patterns names is not inherited, even if it is allowed.
    pub deny: Vec<String>,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EnvVariable {
    name: String,
    value: String,
}

/// Not a variable.
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
    /// The child's variables, made from ours.
    pub(super) fn apply(&self, ours: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
        let inherited = ours.into_iter().filter(|(name, _)| self.inherits(&name.to_string_lossy()));
        let custom = self.custom.iter().map(|variable| (variable.name.clone().into(), variable.value.clone().into()));
        inherited.chain(custom).collect()
    }

    fn inherits(&self, name: &str) -> bool {
        let named = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        !self.pristine && (self.allow.is_empty() || named(&self.allow)) && !named(&self.deny)
    }
}

/// Whether the pattern, in which each `*` stands for any text, is about all of `text`.
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

    const OURS: [(&str, &str); 4] = [("HOME", "/root"), ("PATH", "/bin"), ("CONSUL_TOKEN", "x"), ("CONSUL_ADDR", "y")];

    fn child(rules: &str) -> Vec<String> {
        let rules: EnvRules = toml::from_str(rules).expect("they are right");
        let applied = rules.apply(OURS.map(|(name, value)| (name.into(), value.into())));
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
