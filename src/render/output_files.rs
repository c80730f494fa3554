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
    CompiledTemplate, RenderInputs, RenderOutcome, TemplateError,
    output_file::OutputFile,
    render_cache::RenderCache,
    template_set::EachSpec,
    unrendered::{self, Unrendered, UnrenderedReason},
};
use crate::{registry::Query, target::DesiredFile};

/// The files of one template, between its renders.
#[derive(Clone, Debug)]
pub(super) struct OutputFiles {
    list_cache: RenderCache,
    members: Result<Vec<Value>, UnrenderedReason>,
    /// The path of each member's file.
    paths: Vec<(RenderCache, Result<PathBuf, UnrenderedReason>)>,
    files: BTreeMap<PathBuf, OutputFile>,
    /// Why it is not known which files there are.
    unrendered_reason: Option<UnrenderedReason>,
    /// The files that another template makes too, with its name; they are left out.
    conflicts: BTreeMap<PathBuf, String>,
}

impl Default for OutputFiles {
    fn default() -> Self {
        Self {
            list_cache: RenderCache::default(),
            members: Err(UnrenderedReason::UNTRIED),
            paths: Vec::new(),
            files: BTreeMap::new(),
            unrendered_reason: Some(UnrenderedReason::UNTRIED),
            conflicts: BTreeMap::new(),
        }
    }
}

impl OutputFiles {
    /// Renders the files whose answers have changed.
    pub(super) fn render(&mut self, each: &EachSpec, body: &CompiledTemplate, number: usize, inputs: RenderInputs<'_>) {
        let trouble = match self.resolve_paths(each, inputs) {
            Err(why) => Some(why),
            Ok(files) => {
                // Both are sorted by path, so one walk finds the pairs: there may be thousands of files.
                let mut former = mem::take(&mut self.files).into_iter().peekable();
                let mut leaf = |path: PathBuf, item: &Value| {
                    while former.next_if(|(before, _)| *before < path).is_some() {}
                    let known = former.next_if(|(before, _)| *before == path);
                    let mut leaf = known.map(|(_, leaf)| leaf).unwrap_or_default();
                    leaf.render(body, number, Some(&path), RenderInputs { item, ..inputs });
                    (path, leaf)
                };
                let members = self.members.as_deref().unwrap_or_default();
                self.files = files.into_iter().map(|(path, member)| leaf(path, &members[member])).collect();
                None
            }
        };
        unrendered::log_change(body.name(), self.unrendered_reason.as_ref(), trouble.as_ref());
        self.unrendered_reason = trouble;
    }

    /// The files sorted by path, each with the index of its member.
    fn resolve_paths(
        &mut self,
        each: &EachSpec,
        inputs: RenderInputs<'_>,
    ) -> Result<Vec<(PathBuf, usize)>, UnrenderedReason> {
        if let Some(outcome) = self.list_cache.render(&each.list, inputs) {
            self.members = outcome_text(outcome)
                .and_then(|list| parse_members(&list).map_err(|reason| failure(&each.list, reason)));
        }
        let members = self.members.as_ref().map_err(UnrenderedReason::clone)?;
        self.paths.resize_with(members.len(), || (RenderCache::default(), Err(UnrenderedReason::UNTRIED)));
        for (item, (draft, path)) in members.iter().zip(&mut self.paths) {
            if let Some(outcome) = draft.render(&each.path, RenderInputs { item, ..inputs }) {
                *path = outcome_text(outcome).map(PathBuf::from);
            }
        }
        let files = self.paths.iter().enumerate().map(|(member, (_, path))| Ok((path.clone()?, member)));
        let mut files = files.collect::<Result<Vec<_>, UnrenderedReason>>()?;
        files.sort();
        if let Some([(path, one), (_, two)]) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (path, one, two) = (path.display(), member_label(&members[*one]), member_label(&members[*two]));
            return Err(failure(&each.path, format!("{path} would be the file of two members, {one} and {two}")));
        }
        Ok(files)
    }

    /// Adds its files to `taken`, each with the template's name. A file that is already there is left out: one name in
    /// the registry must not block all other files.
    pub(super) fn claim_paths(&mut self, body: &CompiledTemplate, taken: &mut BTreeMap<PathBuf, String>) {
        self.conflicts.clear();
        for path in self.files.keys() {
            match taken.entry(path.clone()) {
                Entry::Occupied(other) => drop(self.conflicts.insert(path.clone(), other.get().clone())),
                Entry::Vacant(free) => drop(free.insert(body.name().to_owned())),
            }
        }
    }

    /// Notes that the template has changed.
    pub(super) fn invalidate(&mut self) {
        self.files.values_mut().for_each(OutputFile::invalidate);
    }

    /// All files; `None` if one of them is not rendered.
    pub(super) fn desired_files(&self) -> Option<Vec<(PathBuf, Arc<DesiredFile>)>> {
        if self.unrendered_reason.is_some() {
            return None;
        }
        let free = self.files.iter().filter(|(path, _)| !self.conflicts.contains_key(*path));
        free.map(|(path, leaf)| Some((path.clone(), leaf.desired_file()?))).collect()
    }

    /// Why files are not rendered.
    pub(super) fn unrendered(&self, target: &str, body: &CompiledTemplate) -> Vec<Unrendered> {
        let own = self.unrendered_reason.iter();
        let open = |why: &UnrenderedReason| Unrendered {
            target: target.to_owned(),
            template: body.name().to_owned(),
            reason: why.clone(),
        };
        let leaves = self.files.iter().filter_map(|(path, leaf)| leaf.unrendered(target, body, Some(path)));
        own.map(open).chain(leaves).collect()
    }

    /// What the last renders have left out, and why.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let paths = self.paths.iter().flat_map(|(draft, _)| draft.warnings());
        let renders = self.list_cache.warnings().chain(paths).chain(self.files.values().flat_map(OutputFile::warnings));
        let taken = self.conflicts.iter();
        let taken =
            taken.map(|(path, other)| format!("{} is left out: it is also the file of {other}", path.display()));
        renders.cloned().chain(taken)
    }

    /// The queries of all renders.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        let paths = self.paths.iter().flat_map(|(draft, _)| draft.queries());
        self.list_cache.queries().chain(paths).chain(self.files.values().flat_map(OutputFile::queries))
    }
}

fn outcome_text(outcome: RenderOutcome) -> Result<String, UnrenderedReason> {
    match outcome {
        RenderOutcome::Text(text) => Ok(text),
        RenderOutcome::Missing(missing) => Err(UnrenderedReason::Missing(missing)),
        RenderOutcome::Failed(error) => Err(UnrenderedReason::Failed(error)),
    }
}

/// The value of `this` for each file. For a member of a record, it has the fields `key` and `value`.
fn parse_members(list: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(list) {
        Ok(Value::Array(members)) => Ok(members),
        Ok(Value::Object(record)) => {
            Ok(record.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect())
        }
        Ok(other) => Err(format!("this must give a list or a record, not {other}")),
        Err(error) => Err(format!("this gives no value: {error}")),
    }
}

fn failure(template: &CompiledTemplate, reason: String) -> UnrenderedReason {
    UnrenderedReason::Failed(TemplateError { template: template.name().to_owned(), location: None, reason })
}

/// A member as an error shows it.
fn member_label(item: &Value) -> String {
    let named = ["name", "key", "path", "id", "node"].iter().find_map(|field| item.get(field)?.as_str());
    let text = named.map_or_else(|| item.to_string(), |name| format!("{name:?}"));
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}
