//! A compiled template, and what becomes of it with given answers. A pure function: no clock, no file, no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use handlebars::{Context, Handlebars, RenderContext, RenderError, Renderable, StringOutput};

use super::{
    Escape, Partials, TemplateError,
    compile::engine_name,
    compiled_file::CompiledFile,
    helpers, inclusions,
    recorder::{MissingInput, QueryRecorder, RenderInputs, RenderRecord},
};
use crate::{registry::Query, target::HashedContent};

/// A template, compiled once. Equal ones render alike.
#[derive(Clone, PartialEq)]
pub struct CompiledTemplate {
    file: CompiledFile,
    /// The files that it includes, by name.
    partials: BTreeMap<String, Arc<CompiledFile>>,
    escape: Escape,
    /// See [`Product::version`](crate::target::Product::version).
    version: Option<Arc<HashedContent>>,
}

/// What one render came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderReport {
    /// The queries that it asked. If it was broken off by an error, there may be more behind that.
    pub queries: BTreeSet<Query>,
    /// Whether the template was read to its end.
    pub is_whole: bool,
    /// What it has left out, and what its author may have meant otherwise.
    pub warnings: BTreeSet<String>,
    /// The text, or why there is none.
    pub outcome: RenderOutcome,
}

/// The text of a render, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderOutcome {
    /// What belongs into the file.
    Text(String),
    /// These queries must be answered first, or otherwise.
    Missing(BTreeMap<Query, MissingInput>),
    /// The template does not fit the answers.
    Failed(TemplateError),
}

impl CompiledTemplate {
    /// Compiles `source`; `name` is what errors call it, usually its path.
    ///
    /// # Errors
    /// What is wrong, with its place: syntax, a helper that does not exist or is called wrongly, partials that include
    /// each other.
    pub fn compile(name: impl Into<String>, source: impl Into<String>, escape: Escape) -> Result<Self, TemplateError> {
        Self::compile_with_partials(name, source, escape, &Partials::default())
    }

    /// The same for a template that may include the partials of a directory.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_with_partials(
        name: impl Into<String>,
        source: impl Into<String>,
        escape: Escape,
        partials: &Partials,
    ) -> Result<Self, TemplateError> {
        let unit = CompiledFile::compile(name.into(), source.into())?;
        let partials = inclusions::resolve(&unit, partials)?;
        Ok(Self { file: unit, partials, escape, version: None })
    }

    /// Compiles an expression such as `(services)`. Its text is its value, as JSON.
    pub(super) fn compile_expression(name: impl Into<String>, expression: &str) -> Result<Self, TemplateError> {
        let unit = CompiledFile::compile_expression(name.into(), expression)?;
        Ok(Self { file: unit, partials: BTreeMap::new(), escape: Escape::None, version: None })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// What was compiled.
    pub(super) fn source(&self) -> &str {
        self.file.source()
    }

    /// The expression that was given to [`expression`](Self::expression).
    pub(super) fn expression_text(&self) -> &str {
        self.source().trim_start_matches("{{").trim_end_matches("}}")
    }

    /// The partials that it includes: name, file and text.
    pub(super) fn partials(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.partials.iter().map(|(name, unit)| (name.as_str(), unit.name(), unit.source()))
    }

    /// The language of its output.
    pub(super) fn escape(&self) -> Escape {
        self.escape
    }

    /// The texts of all templates of its target.
    pub(super) fn version(&self) -> Option<&Arc<HashedContent>> {
        self.version.as_ref()
    }

    pub(super) fn set_version(&mut self, version: Option<Arc<HashedContent>>) {
        self.version = version;
    }

    /// Renders with what is known now.
    ///
    /// While an answer is missing, an error is no error: the template has not seen yet what it will be rendered with.
    pub fn render(&self, inputs: RenderInputs<'_>) -> RenderReport {
        let pass = QueryRecorder::new(inputs, self.escape);
        let text = self.render_text(&pass);
        let RenderRecord { queries: used, missing, warnings: remarks, .. } = pass.into_record();
        let whole = text.is_ok();
        let outcome = match text {
            _ if !missing.is_empty() => RenderOutcome::Missing(missing),
            Ok(text) => RenderOutcome::Text(text),
            Err(error) => RenderOutcome::Failed(error),
        };
        RenderReport { queries: used, is_whole: whole, warnings: remarks, outcome }
    }

    fn render_text(&self, pass: &QueryRecorder<'_>) -> Result<String, TemplateError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        // Printing has its own rule, in `helpers::print`; HTML's would spoil every file that is not HTML.
        registry.register_escape_fn(handlebars::no_escape);
        helpers::register(&mut registry, pass);
        let context = Context::wraps(pass.item()).expect("a JSON value is one already");
        let mut render = RenderContext::new(None);
        if let Some(block) = render.block_mut() {
            for (name, partial) in &self.partials {
                block.set_local_partial(name.clone(), partial.template());
            }
        }
        let mut output = StringOutput::new();
        let rendered = self.file.template().render(&registry, &context, &mut render, &mut output);
        rendered.map_err(|error| self.file_of(&error).render_error(&error))?;
        output.into_string().map_err(|error| TemplateError {
            template: self.name().to_owned(),
            location: None,
            reason: error.to_string(),
        })
    }

    /// The file that an error is about.
    fn file_of(&self, error: &RenderError) -> &CompiledFile {
        let named = |unit: &&CompiledFile| error.template_name.as_ref() == Some(&engine_name(unit.name()));
        self.partials.values().map(Arc::as_ref).find(named).unwrap_or(&self.file)
    }
}

impl fmt::Debug for CompiledTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name()).finish_non_exhaustive()
    }
}
