//! One compiled file: a template or a partial.

use handlebars::template::Template;

use super::{TemplateError, ast::Position, call_text, compile};

/// A compiled file, with its name and source for error messages.
#[derive(Clone, Debug)]
pub(super) struct CompiledFile {
    name: String,
    source: String,
    template: Template,
}

impl PartialEq for CompiledFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.source) == (&other.name, &other.source)
    }
}

impl CompiledFile {
    /// Compiles a file. `name` is its name in errors.
    pub(super) fn compile(name: String, source: String) -> Result<Self, TemplateError> {
        let template = compile::compile_file(&name, &source)?;
        Ok(Self { name, source, template })
    }

    /// Compiles an expression, which renders to its value as JSON.
    pub(super) fn compile_expression(name: String, expression: &str) -> Result<Self, TemplateError> {
        let source = format!("{{{{{expression}}}}}");
        let template = compile::compile_expression(&name, &source)?;
        Ok(Self { name, source, template })
    }

    /// Its name in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The source text.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// An error at a position of this file.
    pub(super) fn error_at(&self, at: Position, reason: String) -> TemplateError {
        TemplateError::at(&self.name, &self.source, at, reason)
    }

    /// Converts the engine's render error to an error in this file.
    pub(super) fn render_error(&self, error: &handlebars::RenderError) -> TemplateError {
        let at = error.line_no.zip(error.column_no);
        let calls = |helper: &str| {
            let mut calls = at.map_or_else(Vec::new, |at| call_text::calls_at(&self.template, at, helper));
            calls.dedup();
            calls
        };
        let reason = TemplateError::render_error_reason(error.reason(), calls);
        match at {
            Some(at) => self.error_at(at, reason),
            None => TemplateError { template: self.name.clone(), location: None, reason },
        }
    }
}
