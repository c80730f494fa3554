//! A compiled template. Rendering is a pure function of its [`RenderInputs`]: it uses no clock, no file and no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use handlebars::{Context, Handlebars, RenderContext, RenderError, Renderable, StringOutput};

use super::{
    Escape, Partials, TemplateError, UnrenderedReason,
    compile::engine_name,
    compiled_file::CompiledFile,
    helpers, inclusions,
    recorder::{MissingInput, QueryRecorder, RenderInputs, RenderRecord},
};
use crate::{
    registry::Query,
    target::{HashedContent, Upstream},
};

/// A template, compiled once and rendered many times. Equal templates render to the same output.
#[derive(Clone, PartialEq)]
pub struct CompiledTemplate {
    file: CompiledFile,
    /// The files that it includes, by name.
    partials: BTreeMap<String, Arc<CompiledFile>>,
    escape: Escape,
    /// The serialized sources of all templates of the target.
    version: Option<Arc<HashedContent>>,
}

/// The result of one render, and what the render depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderReport {
    /// The queries that it made. An error may hide more of them.
    pub queries: BTreeSet<Query>,
    /// Whether the render reached the end of the template.
    pub is_whole: bool,
    /// What was left out, and what is probably a mistake in the template.
    pub warnings: BTreeSet<String>,
    /// What its calls of `upstream` have printed.
    pub upstreams: Vec<Upstream>,
    /// The text, or why there is none.
    pub outcome: RenderOutcome,
}

/// The text of a render, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderOutcome {
    /// The content of the file.
    Text(String),
    /// These queries are not answered, or their answers are not sufficient.
    Missing(BTreeMap<Query, MissingInput>),
    /// The template fails with these answers.
    Failed(TemplateError),
}

impl RenderOutcome {
    /// The text, or why there is none.
    pub(super) fn into_text(self) -> Result<String, UnrenderedReason> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Missing(missing) => Err(UnrenderedReason::Missing(missing)),
            Self::Failed(error) => Err(UnrenderedReason::Failed(error)),
        }
    }
}

impl CompiledTemplate {
    /// Compiles `source`. `name` is its name in errors, usually its path.
    ///
    /// # Errors
    /// The syntax is wrong, a helper does not exist or is called wrongly, or partials include each other in a cycle.
    pub fn compile(name: impl Into<String>, source: impl Into<String>, escape: Escape) -> Result<Self, TemplateError> {
        Self::compile_with_partials(name, source, escape, &Partials::default())
    }

    /// Compiles a template that may include `partials`.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_with_partials(
        name: impl Into<String>,
        source: impl Into<String>,
        escape: Escape,
        partials: &Partials,
    ) -> Result<Self, TemplateError> {
        let file = CompiledFile::compile(name.into(), source.into())?;
        let partials = inclusions::resolve(&file, partials)?;
        Ok(Self { file, partials, escape, version: None })
    }

    /// Compiles an expression such as `(services)`. It renders to its value as JSON.
    pub(super) fn compile_expression(name: impl Into<String>, expression: &str) -> Result<Self, TemplateError> {
        let file = CompiledFile::compile_expression(name.into(), expression)?;
        Ok(Self { file, partials: BTreeMap::new(), escape: Escape::None, version: None })
    }

    /// Its name in errors.
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// The source text.
    pub(super) fn source(&self) -> &str {
        self.file.source()
    }

    /// The expression that was given to [`compile_expression`](Self::compile_expression).
    pub(super) fn expression_text(&self) -> &str {
        self.source().trim_start_matches("{{").trim_end_matches("}}")
    }

    /// The partials that it includes, each as name, file and text.
    pub(super) fn partials(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.partials.iter().map(|(name, file)| (name.as_str(), file.name(), file.source()))
    }

    /// The language of its output.
    pub(super) fn escape(&self) -> Escape {
        self.escape
    }

    /// The serialized sources of all templates of the target.
    pub(super) fn version(&self) -> Option<&Arc<HashedContent>> {
        self.version.as_ref()
    }

    pub(super) fn set_version(&mut self, version: Option<Arc<HashedContent>>) {
        self.version = version;
    }

    /// Renders with the given answers.
    ///
    /// While an answer is missing, errors are ignored: the missing answer may be the cause.
    pub fn render(&self, inputs: RenderInputs<'_>) -> RenderReport {
        let recorder = QueryRecorder::new(inputs, self.escape);
        let text = self.render_text(&recorder);
        let RenderRecord { queries, missing, warnings, upstreams, .. } = recorder.into_record();
        let is_whole = text.is_ok();
        let outcome = match text {
            _ if !missing.is_empty() => RenderOutcome::Missing(missing),
            Ok(text) => RenderOutcome::Text(text),
            Err(error) => RenderOutcome::Failed(error),
        };
        RenderReport { queries, is_whole, warnings, upstreams, outcome }
    }

    fn render_text(&self, recorder: &QueryRecorder<'_>) -> Result<String, TemplateError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        // `helpers::print` escapes for the language of the file; this function would escape for HTML.
        registry.register_escape_fn(handlebars::no_escape);
        helpers::register(&mut registry, recorder);
        let context = Context::wraps(recorder.item()).expect("a JSON value serializes to itself");
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

    /// The template or partial that contains the error.
    fn file_of(&self, error: &RenderError) -> &CompiledFile {
        let is_named = |file: &&CompiledFile| error.template_name.as_ref() == Some(&engine_name(file.name()));
        self.partials.values().map(Arc::as_ref).find(is_named).unwrap_or(&self.file)
    }
}

impl fmt::Debug for CompiledTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name()).finish_non_exhaustive()
    }
}
