//! One file of a target, between its template's renders.

use std::{path::Path, sync::Arc};

use super::{
    Inputs, Outcome, Template,
    draft::Draft,
    open::{self, Open, Why},
};
use crate::{
    registry::Query,
    target::{Product, Rendered},
};

/// One file, and what became of its template with the answers that it has seen.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    draft: Draft,
    state: Result<Arc<Product>, Why>,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { draft: Draft::default(), state: Err(Why::UNTRIED) }
    }
}

impl Leaf {
    /// Renders it, if something that concerns it has changed. `number`: the template's place among those of its target;
    /// `of`: which of the template's files it is, if there are several.
    pub(super) fn render(&mut self, template: &Template, number: usize, of: Option<&Path>, inputs: Inputs<'_>) {
        let Some(outcome) = self.draft.render(template, inputs) else { return };
        let state = match outcome {
            Outcome::Text(text) => {
                let text = Arc::new(Rendered::new(text));
                Ok(Arc::new(Product {
                    text,
                    template: number,
                    members: self.draft.members(),
                    version: template.version().cloned(),
                }))
            }
            Outcome::Missing(missing) => Err(Why::Missing(missing)),
            Outcome::Failed(mut error) => {
                if let Some(file) = of {
                    error.reason = format!("{} (for {})", error.reason, file.display());
                }
                Err(Why::Failed(error))
            }
        };
        open::say(&name(template, of), self.state.as_ref().err(), state.as_ref().err());
        self.state = state;
    }

    /// The template is another one now.
    pub(super) fn outdate(&mut self) {
        self.draft.outdate();
    }

    /// The file, unless something keeps it.
    pub(super) fn product(&self) -> Option<Arc<Product>> {
        self.state.as_ref().ok().cloned()
    }

    /// What keeps it.
    pub(super) fn open(&self, target: &str, template: &Template, of: Option<&Path>) -> Option<Open> {
        let why = self.state.as_ref().err()?.clone();
        Some(Open { target: target.to_owned(), template: name(template, of), why })
    }

    /// What its last render has left out, and why.
    pub(super) fn remarks(&self) -> impl Iterator<Item = &String> {
        self.draft.remarks()
    }

    /// The queries of its last render.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Query> {
        self.draft.asked()
    }
}

fn name(template: &Template, of: Option<&Path>) -> String {
    match of {
        Some(file) => format!("{} for {}", template.name(), file.display()),
        None => template.name().to_owned(),
    }
}
