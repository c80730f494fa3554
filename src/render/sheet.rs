//! One template of a target, and its files, between renders.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    Inputs, Template,
    book::{Each, Page, Place},
    fan::Fan,
    leaf::Leaf,
    open::Open,
};
use crate::{
    registry::Query,
    target::{self, Product},
};

/// One template, and what became of it with the answers that it has seen.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    /// Its place among the templates of its target.
    number: usize,
    body: Template,
    files: Files,
}

#[derive(Clone, Debug)]
enum Files {
    One(PathBuf, Box<Leaf>),
    Many(Box<Each>, Box<Fan>),
}

impl Sheet {
    pub(super) fn new(number: usize, page: Page) -> Self {
        let files = match page.place {
            Place::File(path) => Files::One(path, Box::default()),
            Place::Each(each) => Files::Many(each, Box::default()),
        };
        Self { number, body: page.body, files }
    }

    /// Whether `page` can take the place of the one that this was made from: its files go to the same place.
    pub(super) fn fits(&self, page: &Page) -> bool {
        match (&self.files, &page.place) {
            (Files::One(path, _), Place::File(new)) => path == new,
            (Files::Many(each, _), Place::Each(new)) => each == new,
            _ => false,
        }
    }

    /// Whether `page` has the template that this one renders.
    pub(super) fn is(&self, page: &Page) -> bool {
        self.body == page.body
    }

    /// Takes a page that [`fits`](Self::fits). What it has rendered stays until the next render.
    pub(super) fn turn(&mut self, page: Page) {
        if self.is(&page) {
            return;
        }
        self.body = page.body;
        match &mut self.files {
            Files::One(_, leaf) => leaf.outdate(),
            Files::Many(_, fan) => fan.outdate(),
        }
    }

    /// Renders what an answer concerns that has changed.
    pub(super) fn render(&mut self, inputs: Inputs<'_>) {
        match &mut self.files {
            Files::One(_, leaf) => leaf.render(&self.body, self.number, None, inputs),
            Files::Many(each, fan) => fan.render(each, &self.body, self.number, inputs),
        }
    }

    /// The file that the settings name.
    pub(super) fn fixed(&self) -> Option<(PathBuf, String)> {
        match &self.files {
            Files::One(path, _) => Some((path.clone(), self.body.name().to_owned())),
            Files::Many(..) => None,
        }
    }

    /// Notes the files that the settings do not name in `taken`, each with the template's name; one that is there
    /// already is left out.
    pub(super) fn claim(&mut self, taken: &mut BTreeMap<PathBuf, String>) {
        if let Files::Many(_, fan) = &mut self.files {
            fan.claim(&self.body, taken);
        }
    }

    /// All files, unless something keeps one of them.
    pub(super) fn products(&self) -> Option<Vec<(PathBuf, Arc<Product>)>> {
        match &self.files {
            Files::One(path, leaf) => Some(vec![(path.clone(), leaf.product()?)]),
            Files::Many(_, fan) => fan.products(),
        }
    }

    /// What keeps them. `target`: whose they are.
    pub(super) fn open(&self, target: &str) -> Vec<Open> {
        match &self.files {
            Files::One(_, leaf) => leaf.open(target, &self.body, None).into_iter().collect(),
            Files::Many(_, fan) => fan.open(target, &self.body),
        }
    }

    /// What the last renders have left out and why, with the template's name.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        let remarks: Box<dyn Iterator<Item = String>> = match &self.files {
            Files::One(_, leaf) => Box::new(leaf.remarks().cloned()),
            Files::Many(_, fan) => Box::new(fan.remarks()),
        };
        remarks.map(|remark| format!("{}: {remark}", self.body.name()))
    }

    /// The queries of the last renders.
    pub(super) fn asked(&self) -> Box<dyn Iterator<Item = &Query> + '_> {
        match &self.files {
            Files::One(_, leaf) => Box::new(leaf.asked()),
            Files::Many(_, fan) => Box::new(fan.asked()),
        }
    }
}

/// The files of all templates, unless something keeps one of them.
pub(super) fn products(sheets: &[Sheet]) -> Option<target::Files> {
    let files: Option<Vec<_>> = sheets.iter().map(Sheet::products).collect();
    Some(files?.into_iter().flatten().collect())
}
