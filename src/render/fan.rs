//! A template with `each`: one file for each member of a list.
//!
//! ```text
//! `each` --members--> `destination` for each --paths--> the template for each
//! ```
//!
//! Each step is a render, so all its queries are watched. While a step has no result, the files of its last result and
//! their queries stay.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    path::PathBuf,
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    Inputs, Outcome, Template, TemplateError,
    book::Each,
    draft::Draft,
    leaf::Leaf,
    open::{self, Open, Why},
};
use crate::{registry::Query, target::Product};

/// The files of one template, between its renders.
#[derive(Clone, Debug)]
pub(super) struct Fan {
    list: Draft,
    members: Result<Vec<Value>, Why>,
    /// The path of each member's file.
    paths: Vec<(Draft, Result<PathBuf, Why>)>,
    leaves: BTreeMap<PathBuf, Leaf>,
    /// Why it is not known which files there are.
    trouble: Option<Why>,
    /// The files that another template makes too, with its name; they are left out.
    taken: BTreeMap<PathBuf, String>,
}

impl Default for Fan {
    fn default() -> Self {
        Self {
            list: Draft::default(),
            members: Err(Why::UNTRIED),
            paths: Vec::new(),
            leaves: BTreeMap::new(),
            trouble: Some(Why::UNTRIED),
            taken: BTreeMap::new(),
        }
    }
}

impl Fan {
    /// Renders the files whose answers have changed.
    pub(super) fn render(&mut self, each: &Each, body: &Template, number: usize, inputs: Inputs<'_>) {
        let trouble = match self.files(each, inputs) {
            Err(why) => Some(why),
            Ok(files) => {
                // Both are sorted by path, so one walk finds the pairs: there may be thousands of files.
                let mut former = mem::take(&mut self.leaves).into_iter().peekable();
                let mut leaf = |path: PathBuf, item: &Value| {
                    while former.next_if(|(before, _)| *before < path).is_some() {}
                    let known = former.next_if(|(before, _)| *before == path);
                    let mut leaf = known.map(|(_, leaf)| leaf).unwrap_or_default();
                    leaf.render(body, number, Some(&path), Inputs { item, ..inputs });
                    (path, leaf)
                };
                let members = self.members.as_deref().unwrap_or_default();
                self.leaves = files.into_iter().map(|(path, member)| leaf(path, &members[member])).collect();
                None
            }
        };
        open::say(body.name(), self.trouble.as_ref(), trouble.as_ref());
        self.trouble = trouble;
    }

    /// The files sorted by path, each with the index of its member.
    fn files(&mut self, each: &Each, inputs: Inputs<'_>) -> Result<Vec<(PathBuf, usize)>, Why> {
        if let Some(outcome) = self.list.render(&each.list, inputs) {
            self.members = text(outcome).and_then(|list| members(&list).map_err(|reason| failed(&each.list, reason)));
        }
        let members = self.members.as_ref().map_err(Why::clone)?;
        self.paths.resize_with(members.len(), || (Draft::default(), Err(Why::UNTRIED)));
        for (item, (draft, path)) in members.iter().zip(&mut self.paths) {
            if let Some(outcome) = draft.render(&each.path, Inputs { item, ..inputs }) {
                *path = text(outcome).map(PathBuf::from);
            }
        }
        let files = self.paths.iter().enumerate().map(|(member, (_, path))| Ok((path.clone()?, member)));
        let mut files = files.collect::<Result<Vec<_>, Why>>()?;
        files.sort();
        if let Some([(path, one), (_, two)]) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (path, one, two) = (path.display(), label(&members[*one]), label(&members[*two]));
            return Err(failed(&each.path, format!("{path} would be the file of two members, {one} and {two}")));
        }
        Ok(files)
    }

    /// Adds its files to `taken`, each with the template's name. A file that is already there is left out: one name in
    /// the registry must not block all other files.
    pub(super) fn claim(&mut self, body: &Template, taken: &mut BTreeMap<PathBuf, String>) {
        self.taken.clear();
        for path in self.leaves.keys() {
            match taken.entry(path.clone()) {
                Entry::Occupied(other) => drop(self.taken.insert(path.clone(), other.get().clone())),
                Entry::Vacant(free) => drop(free.insert(body.name().to_owned())),
            }
        }
    }

    /// Notes that the template has changed.
    pub(super) fn outdate(&mut self) {
        self.leaves.values_mut().for_each(Leaf::outdate);
    }

    /// All files; `None` if one of them is not rendered.
    pub(super) fn products(&self) -> Option<Vec<(PathBuf, Arc<Product>)>> {
        if self.trouble.is_some() {
            return None;
        }
        let free = self.leaves.iter().filter(|(path, _)| !self.taken.contains_key(*path));
        free.map(|(path, leaf)| Some((path.clone(), leaf.product()?))).collect()
    }

    /// Why files are not rendered.
    pub(super) fn open(&self, target: &str, body: &Template) -> Vec<Open> {
        let own = self.trouble.iter();
        let open = |why: &Why| Open { target: target.to_owned(), template: body.name().to_owned(), why: why.clone() };
        let leaves = self.leaves.iter().filter_map(|(path, leaf)| leaf.open(target, body, Some(path)));
        own.map(open).chain(leaves).collect()
    }

    /// What the last renders have left out, and why.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        let paths = self.paths.iter().flat_map(|(draft, _)| draft.remarks());
        let renders = self.list.remarks().chain(paths).chain(self.leaves.values().flat_map(Leaf::remarks));
        let taken = self.taken.iter();
        let taken =
            taken.map(|(path, other)| format!("{} is left out: it is also the file of {other}", path.display()));
        renders.cloned().chain(taken)
    }

    /// The queries of all renders.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Query> {
        let paths = self.paths.iter().flat_map(|(draft, _)| draft.asked());
        self.list.asked().chain(paths).chain(self.leaves.values().flat_map(Leaf::asked))
    }
}

fn text(outcome: Outcome) -> Result<String, Why> {
    match outcome {
        Outcome::Text(text) => Ok(text),
        Outcome::Missing(missing) => Err(Why::Missing(missing)),
        Outcome::Failed(error) => Err(Why::Failed(error)),
    }
}

/// The value of `this` for each file. For a member of a record, it has the fields `key` and `value`.
fn members(list: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(list) {
        Ok(Value::Array(members)) => Ok(members),
        Ok(Value::Object(record)) => {
            Ok(record.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect())
        }
        Ok(other) => Err(format!("this must give a list or a record, not {other}")),
        Err(error) => Err(format!("this gives no value: {error}")),
    }
}

fn failed(template: &Template, reason: String) -> Why {
    Why::Failed(TemplateError { template: template.name().to_owned(), place: None, reason })
}

/// A member as an error shows it.
fn label(item: &Value) -> String {
    let named = ["name", "key", "path", "id", "node"].iter().find_map(|field| item.get(field)?.as_str());
    let text = named.map_or_else(|| item.to_string(), |name| format!("{name:?}"));
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}
