//! One template of a target, and its files, between renders.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    CompiledTemplate, RenderInputs,
    output_file::OutputFile,
    output_files::OutputFiles,
    template_set::{EachSpec, OutputSpec, TemplateSpec},
    unrendered::Unrendered,
};
use crate::{
    registry::Query,
    target::{self, DesiredFile},
};

/// One template, and what became of it with the answers that it has seen.
#[derive(Clone, Debug)]
pub(super) struct TemplateState {
    /// Its place among the templates of its target.
    number: usize,
    template: CompiledTemplate,
    output: TemplateOutput,
}

#[derive(Clone, Debug)]
enum TemplateOutput {
    Single(PathBuf, Box<OutputFile>),
    Each(Box<EachSpec>, Box<OutputFiles>),
}

impl TemplateState {
    pub(super) fn new(number: usize, page: TemplateSpec) -> Self {
        let files = match page.output {
            OutputSpec::File(path) => TemplateOutput::Single(path, Box::default()),
            OutputSpec::Each(each) => TemplateOutput::Each(each, Box::default()),
        };
        Self { number, template: page.template, output: files }
    }

    /// Whether `page` can take the place of the one that this was made from: its files go to the same place.
    pub(super) fn has_same_output(&self, page: &TemplateSpec) -> bool {
        match (&self.output, &page.output) {
            (TemplateOutput::Single(path, _), OutputSpec::File(new)) => path == new,
            (TemplateOutput::Each(each, _), OutputSpec::Each(new)) => each == new,
            _ => false,
        }
    }

    /// Whether `page` has the template that this one renders.
    pub(super) fn has_same_template(&self, page: &TemplateSpec) -> bool {
        self.template == page.template
    }

    /// Takes a page that [`fits`](Self::fits). What it has rendered stays until the next render.
    pub(super) fn replace_template(&mut self, page: TemplateSpec) {
        if self.has_same_template(&page) {
            return;
        }
        self.template = page.template;
        match &mut self.output {
            TemplateOutput::Single(_, leaf) => leaf.invalidate(),
            TemplateOutput::Each(_, fan) => fan.invalidate(),
        }
    }

    /// Renders what an answer concerns that has changed.
    pub(super) fn render(&mut self, inputs: RenderInputs<'_>) {
        match &mut self.output {
            TemplateOutput::Single(_, leaf) => leaf.render(&self.template, self.number, None, inputs),
            TemplateOutput::Each(each, fan) => fan.render(each, &self.template, self.number, inputs),
        }
    }

    /// The file that the settings name.
    pub(super) fn fixed_destination(&self) -> Option<(PathBuf, String)> {
        match &self.output {
            TemplateOutput::Single(path, _) => Some((path.clone(), self.template.name().to_owned())),
            TemplateOutput::Each(..) => None,
        }
    }

    /// Notes the files that the settings do not name in `taken`, each with the template's name; one that is there
    /// already is left out.
    pub(super) fn claim_paths(&mut self, taken: &mut BTreeMap<PathBuf, String>) {
        if let TemplateOutput::Each(_, fan) = &mut self.output {
            fan.claim_paths(&self.template, taken);
        }
    }

    /// All files, unless something keeps one of them.
    pub(super) fn desired_files(&self) -> Option<Vec<(PathBuf, Arc<DesiredFile>)>> {
        match &self.output {
            TemplateOutput::Single(path, leaf) => Some(vec![(path.clone(), leaf.desired_file()?)]),
            TemplateOutput::Each(_, fan) => fan.desired_files(),
        }
    }

    /// What keeps them. `target`: whose they are.
    pub(super) fn unrendered(&self, target: &str) -> Vec<Unrendered> {
        match &self.output {
            TemplateOutput::Single(_, leaf) => leaf.unrendered(target, &self.template, None).into_iter().collect(),
            TemplateOutput::Each(_, fan) => fan.unrendered(target, &self.template),
        }
    }

    /// What the last renders have left out and why, with the template's name.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let remarks: Box<dyn Iterator<Item = String>> = match &self.output {
            TemplateOutput::Single(_, leaf) => Box::new(leaf.warnings().cloned()),
            TemplateOutput::Each(_, fan) => Box::new(fan.warnings()),
        };
        remarks.map(|remark| format!("{}: {remark}", self.template.name()))
    }

    /// The queries of the last renders.
    pub(super) fn queries(&self) -> Box<dyn Iterator<Item = &Query> + '_> {
        match &self.output {
            TemplateOutput::Single(_, leaf) => Box::new(leaf.queries()),
            TemplateOutput::Each(_, fan) => Box::new(fan.queries()),
        }
    }
}

/// The files of all templates, unless something keeps one of them.
pub(super) fn all_desired_files(sheets: &[TemplateState]) -> Option<target::DesiredFiles> {
    let files: Option<Vec<_>> = sheets.iter().map(TemplateState::desired_files).collect();
    Some(files?.into_iter().flatten().collect())
}
