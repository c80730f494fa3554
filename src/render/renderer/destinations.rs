//! The files that a template is rendered to.
//!
//! ```text
//! `each` --items--> `destination`, rendered with each item --paths--> the template, rendered to each path
//! ```
//!
//! A template without `each` has one item, `null`, and a fixed path. Each step is a render, so the queries of all steps
//! are watched. If a step fails, the files of its last result remain.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::render_cache::RenderCache;
use crate::{
    registry::Query,
    render::{
        CompiledTemplate, RenderInputs, TemplateError, UnrenderedReason,
        template_set::{EachSpec, OutputSpec},
    },
};

/// The items of a template with `each`, and the path of the file of each item.
#[derive(Clone, Debug, Default)]
pub(super) struct Destinations {
    items: RenderCache<Vec<Value>>,
    paths: Vec<RenderCache<PathBuf>>,
}

impl Destinations {
    /// The files, sorted by path, each with the item that it is rendered with.
    pub(super) fn resolve<'a>(
        &'a mut self,
        output: &OutputSpec,
        inputs: RenderInputs<'_>,
    ) -> Result<Vec<(PathBuf, &'a Value)>, UnrenderedReason> {
        match output {
            OutputSpec::File(path) => Ok(vec![(path.clone(), &Value::Null)]),
            OutputSpec::Each(each) => self.resolve_each(each, inputs),
        }
    }

    fn resolve_each(
        &mut self,
        EachSpec { list, path }: &EachSpec,
        inputs: RenderInputs<'_>,
    ) -> Result<Vec<(PathBuf, &Value)>, UnrenderedReason> {
        self.items.render(list, inputs, |outcome, _, _| {
            parse_items(&outcome.into_text()?).map_err(|reason| failure(list, reason))
        });
        let items = self.items.result().map_err(UnrenderedReason::clone)?;
        self.paths.resize_with(items.len(), RenderCache::default);
        for (item, cache) in items.iter().zip(&mut self.paths) {
            cache.render(path, RenderInputs { item, ..inputs }, |outcome, _, _| outcome.into_text().map(PathBuf::from));
        }
        let paths = self.paths.iter().map(|cache| cache.result().cloned().map_err(UnrenderedReason::clone));
        let files = paths.zip(items).map(|(path, item)| Ok((path?, item)));
        let mut files = files.collect::<Result<Vec<_>, UnrenderedReason>>()?;
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some([(file, one), (_, two)]) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (file, one, two) = (file.display(), item_label(one), item_label(two));
            return Err(failure(path, format!("{file} would be the file of two members, {one} and {two}")));
        }
        Ok(files)
    }

    /// What the last renders left out, and why.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.items.warnings().chain(self.paths.iter().flat_map(RenderCache::warnings))
    }

    /// The queries of the last renders.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.items.queries().chain(self.paths.iter().flat_map(RenderCache::queries))
    }
}

/// The value of `this` for each file. An item of a record has the fields `key` and `value`.
fn parse_items(list: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(list) {
        Ok(Value::Array(items)) => Ok(items),
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

/// An item as errors show it.
fn item_label(item: &Value) -> String {
    let name = ["name", "key", "path", "id", "node"].iter().find_map(|field| item.get(field)?.as_str());
    let text = name.map_or_else(|| item.to_string(), |name| format!("{name:?}"));
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}
