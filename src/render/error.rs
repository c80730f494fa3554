//! Template errors: file, line, column, reason, and the source line with a caret.

use std::fmt;

use handlebars::{RenderErrorReason, TemplateErrorReason};

use super::{call_text::CallText, helpers, syntax};

/// An error of a template that does not compile, or that fails with certain answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The template's file.
    pub template: String,
    /// The position, if it is known.
    pub location: Option<TemplateLocation>,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A position in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateLocation {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
}

impl TemplateError {
    /// An error at a line and column, which count from 1.
    pub(super) fn at(template: &str, source: &str, (line, column): (usize, usize), reason: String) -> Self {
        let text = source.lines().nth(line - 1).unwrap_or_default().to_owned();
        Self { template: template.to_owned(), location: Some(TemplateLocation { line, column, text }), reason }
    }

    /// Converts the engine's syntax error.
    pub(super) fn from_syntax_error(template: &str, source: &str, error: &handlebars::TemplateError) -> Self {
        let Some(position) = error.pos() else {
            return Self { template: template.to_owned(), location: None, reason: error.reason().to_string() };
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

    /// The message for the engine's render error. `calls` returns the calls of a helper at the position of the error.
    pub(super) fn render_error_reason(error: &RenderErrorReason, calls: impl Fn(&str) -> Vec<CallText>) -> String {
        match error {
            RenderErrorReason::MissingVariable(Some(path)) => helpers::missing_value_message(path),
            // Only `lookup` reports no name.
            RenderErrorReason::MissingVariable(None) => {
                let calls: Vec<_> = calls("lookup").into_iter().map(|call| format!("`{}`", call.text)).collect();
                if calls.is_empty() {
                    "there is no such value here".to_owned()
                } else {
                    format!("there is no such value here: {} finds nothing", calls.join(" or "))
                }
            }
            RenderErrorReason::ParamNotFoundForIndex(helper, index) => {
                let mut names: Vec<_> =
                    calls(helper).iter().filter_map(|call| call.arguments.get(*index).cloned()).collect();
                // A literal is never missing.
                names.retain(|name| !name.starts_with(|c: char| c == '"' || c.is_ascii_digit()));
                if names.is_empty() {
                    format!("argument {} of `{helper}` has no value here", index + 1)
                } else {
                    let names = names.join("` or `");
                    format!("there is no value `{names}` here, argument {} of `{helper}`", index + 1)
                }
            }
            RenderErrorReason::InvalidJsonIndex(index) => {
                format!("a list has no member `{index}`: use `lookup` or `each`")
            }
            RenderErrorReason::PartialNotFound(name) => {
                format!("there is no partial `{name}` at this place: it is made in another block")
            }
            RenderErrorReason::PartialBlockNotFound => "there is no content to insert: include this partial with \
                {{#> name}} … {{/name}}, or give it a default, {{#> @partial-block}} … {{/@partial-block}}"
                .to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(TemplateLocation { line, column, text }) = &self.location else {
            return write!(f, "{}: {}", self.template, self.reason);
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        // Tabs are kept, so that the caret is below its column.
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
    fn an_error_shows_the_line_with_a_caret() {
        let error = TemplateError::at("web.hbs", "a\n\tb {{c}}\n", (2, 4), "there is no value `c` here".into());
        assert_eq!(error.to_string(), "web.hbs:2:4: there is no value `c` here\n   |\n 2 | \tb {{c}}\n   | \t  ^");
    }
}
