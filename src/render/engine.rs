//! A compiled template, and what becomes of it with given answers. A pure function: no clock, no file, no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use handlebars::{Context, Handlebars, RenderContext, Renderable, StringOutput};

use super::{
    Escape, TemplateError, compile, helpers,
    recorder::{Inputs, Missing, Notes, Recorder},
};
use crate::registry::Query;

/// A template, compiled once.
pub struct Template {
    name: String,
    source: String,
    escape: Escape,
    compiled: handlebars::Template,
}

/// What one render came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The queries that it asked. If it was broken off by an error, there may be more behind that.
    pub used: BTreeSet<Query>,
    /// Whether the template was read to its end.
    pub whole: bool,
    /// The text, or why there is none.
    pub outcome: Outcome,
}

/// The text of a render, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What belongs into the file.
    Text(String),
    /// These queries must be answered first, or otherwise.
    Missing(BTreeMap<Query, Missing>),
    /// The template does not fit the answers.
    Failed(TemplateError),
}

impl Template {
    /// Compiles `source`; `name` is what errors call it, usually its path.
    ///
    /// # Errors
    /// What is wrong, with its place: syntax, a helper that does not exist or is called wrongly, partials that include
    /// each other.
    pub fn compile(name: impl Into<String>, source: impl Into<String>, escape: Escape) -> Result<Self, TemplateError> {
        let (name, source) = (name.into(), source.into());
        let compiled = compile::compile(&name, &source)?;
        Ok(Self { name, source, escape, compiled })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renders with what is known now.
    ///
    /// While an answer is missing, an error is no error: the template has not seen yet what it will be rendered with.
    pub fn render(&self, inputs: Inputs<'_>) -> Pass {
        let pass = Recorder::new(inputs, self.escape);
        let text = self.text(&pass);
        let Notes { used, missing } = pass.into_notes();
        let whole = text.is_ok();
        let outcome = match text {
            _ if !missing.is_empty() => Outcome::Missing(missing),
            Ok(text) => Outcome::Text(text),
            Err(error) => Outcome::Failed(error),
        };
        Pass { used, whole, outcome }
    }

    fn text(&self, pass: &Recorder<'_>) -> Result<String, TemplateError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        // Printing has its own rule, in `helpers::print`; HTML's would spoil every file that is not HTML.
        registry.register_escape_fn(handlebars::no_escape);
        helpers::register(&mut registry, pass);
        let context = Context::wraps(pass.item()).expect("a JSON value is one already");
        let mut output = StringOutput::new();
        self.compiled
            .render(&registry, &context, &mut RenderContext::new(None), &mut output)
            .map_err(|error| TemplateError::render(&self.name, &self.source, &error))?;
        output.into_string().map_err(|error| TemplateError {
            template: self.name.clone(),
            place: None,
            reason: error.to_string(),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name).finish_non_exhaustive()
    }
}
