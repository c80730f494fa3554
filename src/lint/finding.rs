//! The findings of `lint`. Pure.

use std::fmt;

use serde::Serialize;

use crate::ui::colour::{Colours, TextRole};

/// A position in a file.
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

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A key or value has no effect, or prevents a registration.
    Error,
    /// A key or value works, but probably not as intended.
    Warning,
    /// Something was not examined. It never affects the exit code.
    Note,
}

impl Severity {
    /// The printed name.
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
    /// The position.
    #[serde(flatten)]
    pub position: SourcePosition,
    /// The severity.
    pub severity: Severity,
    /// The name of the rule, as in the documentation.
    pub rule: &'static str,
    /// The service of the Compose file.
    pub service: String,
    /// What is wrong.
    pub message: String,
    /// How to correct it.
    pub help: Option<String>,
}

/// A finding as one or two lines of text.
#[derive(Clone, Copy, Debug)]
pub struct FindingLine<'a> {
    /// The path of the file, as it was given.
    pub file: &'a str,
    /// The finding.
    pub finding: &'a Finding,
    /// Whether severities have colours.
    pub colours: Colours,
}

impl fmt::Display for FindingLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { position, severity, rule, service, message, help } = self.finding;
        let meaning = match severity {
            Severity::Error => TextRole::Error,
            Severity::Warning => TextRole::Warning,
            Severity::Note => TextRole::Note,
        };
        let severity = self.colours.paint(meaning, severity.as_str());
        write!(f, "{}:{position}: {severity}[{rule}]: {service}: {message}", self.file)?;
        help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_position_problem_and_help() {
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
