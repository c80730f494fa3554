//! What was found, and how it is shown. Pure.

use std::fmt;

use serde::Serialize;

use crate::ui::colour::{Colours, TextRole};

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SourcePosition {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What was written has no effect, or costs a registration.
    Error,
    /// It works, but hardly as it was meant.
    Warning,
    /// What was not looked into. Never decides about the exit code.
    Note,
}

impl Severity {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    #[serde(flatten)]
    pub position: SourcePosition,
    /// How bad.
    pub severity: Severity,
    /// The name of the rule, for those who look it up.
    pub rule: &'static str,
    /// The service of the Compose file.
    pub service: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// A finding of a file, on one line or two.
#[derive(Clone, Copy, Debug)]
pub struct FindingLine<'a> {
    /// The file, as it was given.
    pub file: &'a str,
    /// What was found there.
    pub finding: &'a Finding,
    /// Whether severities have colours.
    pub colours: Colours,
}

impl fmt::Display for FindingLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { position: place, severity, rule, service, message, help } = self.finding;
        let meaning = match severity {
            Severity::Error => TextRole::Error,
            Severity::Warning => TextRole::Warning,
            Severity::Note => TextRole::Note,
        };
        let severity = self.colours.paint(meaning, severity.as_str());
        write!(f, "{}:{place}: {severity}[{rule}]: {service}: {message}", self.file)?;
        help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_what_and_what_to_do() {
        let finding = Finding {
            position: SourcePosition { line: 3, column: 7 },
            severity: Severity::Error,
            rule: "unknown-key",
            service: "web".into(),
            message: "SERVICE_CHECK_HTP has no effect".into(),
            help: Some("did you mean SERVICE_CHECK_HTTP?".into()),
        };
        let line = |colours| FindingLine { file: "c.yml", finding: &finding, colours }.to_string();
        assert_eq!(
            line(Colours::Off),
            "c.yml:3:7: error[unknown-key]: web: SERVICE_CHECK_HTP has no effect\n  help: did you mean SERVICE_CHECK_HTTP?"
        );
        assert!(line(Colours::On).contains("\x1b[1m\x1b[31merror\x1b[0m"));
    }
}
