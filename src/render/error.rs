//! What is wrong with a template, and where: file, line, column, the line itself with a caret, and the reason.

use std::fmt;

use handlebars::{RenderError, RenderErrorReason, TemplateErrorReason};

use super::syntax;

/// A template that cannot be compiled, or cannot be rendered with certain answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The template's file.
    pub template: String,
    /// Where, if it is known.
    pub place: Option<Place>,
    /// What is wrong there, and what to do.
    pub reason: String,
}

/// A place in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
}

impl TemplateError {
    /// An error at a known position, line and column counting from 1.
    pub(super) fn at(template: &str, source: &str, (line, column): (usize, usize), reason: String) -> Self {
        let text = source.lines().nth(line - 1).unwrap_or_default().to_owned();
        Self { template: template.to_owned(), place: Some(Place { line, column, text }), reason }
    }

    /// The engine's error on a template that is no Handlebars.
    pub(super) fn syntax(template: &str, source: &str, error: &handlebars::TemplateError) -> Self {
        let Some(position) = error.pos() else {
            return Self { template: template.to_owned(), place: None, reason: error.reason().to_string() };
        };
        let (position, reason) = match error.reason() {
            TemplateErrorReason::MismatchingClosedHelper(open, close)
            | TemplateErrorReason::MismatchingClosedDecorator(open, close) => {
                (position, format!("`{{{{/{close}}}}}` closes a block that was opened as `{open}`"))
            }
            TemplateErrorReason::InvalidSyntax(expected) => syntax::explain(source, position, expected),
            other => (position, other.to_string()),
        };
        Self::at(template, source, position, reason)
    }

    /// The engine's error on a template that does not fit the answers.
    pub(super) fn render(template: &str, source: &str, error: &RenderError) -> Self {
        let reason = match error.reason() {
            RenderErrorReason::MissingVariable(Some(path)) => format!("there is no value `{path}` here"),
            RenderErrorReason::MissingVariable(None) => "there is no such value here".to_owned(),
            RenderErrorReason::ParamNotFoundForIndex(helper, index) => {
                format!("argument {} of `{helper}` has no value here", index + 1)
            }
            RenderErrorReason::InvalidJsonIndex(index) => {
                format!("a list has no member `{index}`: use `lookup` or `each`")
            }
            other => other.to_string(),
        };
        match (error.line_no, error.column_no) {
            (Some(line), Some(column)) => Self::at(template, source, (line, column), reason),
            _ => Self { template: template.to_owned(), place: None, reason },
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { line, column, text }) = &self.place else {
            return write!(f, "{}: {}", self.template, self.reason);
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        // Tabs stay tabs, so that the caret stands where the eye expects it.
        let indent: String = text.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(
            f,
            "{}:{line}:{column}: {}\n {gutter} |\n {number} | {text}\n {gutter} | {indent}^",
            self.template, self.reason
        )
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_with_a_caret() {
        let error = TemplateError::at("web.hbs", "a\n\tb {{c}}\n", (2, 4), "there is no value `c` here".into());
        assert_eq!(error.to_string(), "web.hbs:2:4: there is no value `c` here\n   |\n 2 | \tb {{c}}\n   | \t  ^");
    }
}
