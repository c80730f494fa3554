//! One file of a target, between its template's renders.

use std::{path::Path, sync::Arc};

use super::{
    CompiledTemplate, RenderInputs, RenderOutcome,
    render_cache::RenderCache,
    unrendered::{self, Unrendered, UnrenderedReason},
};
use crate::{
    registry::Query,
    target::{DesiredFile, HashedContent},
};

/// One file, and what became of its template with the answers that it has seen.
#[derive(Clone, Debug)]
pub(super) struct OutputFile {
    cache: RenderCache,
    state: Result<Arc<DesiredFile>, UnrenderedReason>,
}

impl Default for OutputFile {
    fn default() -> Self {
        Self { cache: RenderCache::default(), state: Err(UnrenderedReason::UNTRIED) }
    }
}

impl OutputFile {
    /// Renders it, if something that concerns it has changed. `number`: the template's place among those of its target;
    /// `of`: which of the template's files it is, if there are several.
    pub(super) fn render(
        &mut self,
        template: &CompiledTemplate,
        number: usize,
        of: Option<&Path>,
        inputs: RenderInputs<'_>,
    ) {
        let Some(outcome) = self.cache.render(template, inputs) else { return };
        let state = match outcome {
            RenderOutcome::Text(text) => {
                let text = Arc::new(HashedContent::new(text));
                Ok(Arc::new(DesiredFile {
                    content: text,
                    template: number,
                    members: self.cache.healthy_instances(),
                    templates: template.version().cloned(),
                }))
            }
            RenderOutcome::Missing(missing) => Err(UnrenderedReason::Missing(missing)),
            RenderOutcome::Failed(mut error) => {
                if let Some(file) = of {
                    error.reason = format!("{} (for {})", error.reason, file.display());
                }
                Err(UnrenderedReason::Failed(error))
            }
        };
        unrendered::log_change(&display_name(template, of), self.state.as_ref().err(), state.as_ref().err());
        self.state = state;
    }

    /// The template is another one now.
    pub(super) fn invalidate(&mut self) {
        self.cache.invalidate();
    }

    /// The file, unless something keeps it.
    pub(super) fn desired_file(&self) -> Option<Arc<DesiredFile>> {
        self.state.as_ref().ok().cloned()
    }

    /// What keeps it.
    pub(super) fn unrendered(
        &self,
        target: &str,
        template: &CompiledTemplate,
        of: Option<&Path>,
    ) -> Option<Unrendered> {
        let why = self.state.as_ref().err()?.clone();
        Some(Unrendered { target: target.to_owned(), template: display_name(template, of), reason: why })
    }

    /// What its last render has left out, and why.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.cache.warnings()
    }

    /// The queries of its last render.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.cache.queries()
    }
}

fn display_name(template: &CompiledTemplate, of: Option<&Path>) -> String {
    match of {
        Some(file) => format!("{} for {}", template.name(), file.display()),
        None => template.name().to_owned(),
    }
}
