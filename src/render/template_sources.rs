//! The templates of a target as texts, with the settings that decide what they become. A set is kept for each version that
//! was in effect, and compiled again when somebody goes back to it.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CompiledTemplate, Escape, Partials, TemplateError,
    template_set::{EachSpec, OutputSpec, TargetTemplates, TemplateSpec},
};
use crate::target::{HashedContent, unified_diff};

/// All that decides what a target's files become, besides the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TemplateSources {
    templates: Vec<TemplateSource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TemplateSource {
    /// What errors call it: its path.
    name: String,
    text: String,
    /// The partials that it includes, by name.
    partials: BTreeMap<String, PartialSource>,
    escape: Escape,
    destination: PathBuf,
    /// The expression of a template that makes many files.
    each: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartialSource {
    file: String,
    text: String,
}

impl TemplateSources {
    /// The texts of compiled templates.
    pub(super) fn from_templates(chapter: &TargetTemplates) -> Self {
        let text = |TemplateSpec { template: body, output: place }: &TemplateSpec| {
            let partial = |(name, file, text): (&str, &str, &str)| {
                (name.to_owned(), PartialSource { file: file.to_owned(), text: text.to_owned() })
            };
            let (destination, each) = match place {
                OutputSpec::File(path) => (path.clone(), None),
                OutputSpec::Each(each) => (each.path.source().into(), Some(each.list.expression_text().to_owned())),
            };
            TemplateSource {
                name: body.name().to_owned(),
                text: body.source().to_owned(),
                partials: body.partials().map(partial).collect(),
                escape: body.escape(),
                destination,
                each,
            }
        };
        Self { templates: chapter.iter().map(text).collect() }
    }

    /// What was written down. `None`: by another version of Portreeve, in another form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Compiles the set; each template carries what it was compiled from.
    pub(super) fn compile(&self) -> Result<TargetTemplates, TemplateError> {
        let page = |template: &TemplateSource| {
            let partials = template.partials.iter();
            let partials = partials.map(|(name, partial)| (name.clone(), partial.file.clone(), partial.text.clone()));
            let partials = Partials::from_texts(partials)?;
            let body =
                CompiledTemplate::compile_with_partials(&template.name, &template.text, template.escape, &partials)?;
            let place = match &template.each {
                None => OutputSpec::File(template.destination.clone()),
                Some(each) => {
                    OutputSpec::Each(Box::new(EachSpec::compile(&template.name, each, &template.destination)?))
                }
            };
            Ok(TemplateSpec { template: body, output: place })
        };
        let mut chapter = self.templates.iter().map(page).collect::<Result<_, TemplateError>>()?;
        attach_sources(&mut chapter);
        Ok(chapter)
    }

    /// What is different from the set before, in a few words.
    pub(super) fn describe_change(&self, before: Option<&Self>) -> String {
        let Some(before) = before else { return "first".to_owned() };
        let changed = self.texts();
        let former = before.texts();
        let names = changed.iter().filter(|(name, text)| former.get(*name).is_some_and(|former| former != *text));
        let names: Vec<_> = names.map(|(name, _)| *name).collect();
        match names.is_empty() {
            false => format!("template edited: {}", names.join(", ")),
            true => "configuration".to_owned(),
        }
    }

    /// What is different in another set, as a unified diff.
    pub(super) fn diff(&self, other: &Self) -> String {
        let (old, new) = (self.texts(), other.texts());
        let mut diff = String::new();
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            let text = |texts: &BTreeMap<&str, &str>| texts.get(name).copied().unwrap_or_default().to_owned();
            let title = |texts: &BTreeMap<&str, &str>| if texts.contains_key(name) { *name } else { "/dev/null" };
            if old.get(name) != new.get(name) {
                diff += &unified_diff(&text(&old), &text(&new), title(&old), title(&new));
            }
        }
        for (one, two) in self.templates.iter().zip(&other.templates) {
            if (one.escape, &one.each) != (two.escape, &two.each) {
                // Writing to a text cannot fail.
                let _ = writeln!(
                    diff,
                    "# {}: escape {:?} -> {:?}, each {:?} -> {:?}",
                    one.name, one.escape, two.escape, one.each, two.each
                );
            }
        }
        diff
    }

    /// All texts, by file.
    fn texts(&self) -> BTreeMap<&str, &str> {
        let partials = self.templates.iter().flat_map(|template| template.partials.values());
        let partials = partials.map(|partial| (partial.file.as_str(), partial.text.as_str()));
        let templates = self.templates.iter().map(|template| (template.name.as_str(), template.text.as_str()));
        templates.chain(partials).collect()
    }
}

/// Has each template carry the texts of its whole set: what is rendered can then be traced to it.
pub(super) fn attach_sources(chapter: &mut TargetTemplates) {
    // A path that is not UTF-8 cannot be written down; such a set is not kept.
    let set =
        serde_json::to_vec(&TemplateSources::from_templates(chapter)).ok().map(|set| Arc::new(HashedContent::new(set)));
    chapter.iter_mut().for_each(|page| page.template.set_version(set.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(text: &str, partial: &str, escape: Escape) -> TargetTemplates {
        let partials = [("head".to_owned(), "/p/head.hbs".to_owned(), partial.to_owned())];
        let partials = Partials::from_texts(partials).unwrap_or_else(|error| panic!("{error}"));
        let body = CompiledTemplate::compile_with_partials("/t/a.hbs", text, escape, &partials);
        let each = EachSpec::compile("/t/a.hbs", "(services)", "/o/{{name}}".as_ref());
        let (body, each) = (body.expect("it is right"), each.expect("it is right"));
        vec![TemplateSpec { template: body, output: OutputSpec::Each(Box::new(each)) }]
    }

    #[test]
    fn a_set_that_was_written_down_compiles_to_the_same_templates() {
        let mut chapter = chapter("{{> head}}{{name}}", "# head\n", Escape::Nginx);
        attach_sources(&mut chapter);
        let written = serde_json::to_vec(&TemplateSources::from_templates(&chapter)).expect("text");
        let again = TemplateSources::parse(&written).expect("it is ours").compile().expect("it is right");
        assert!(again == chapter);
        assert_eq!(TemplateSources::parse(b"{}"), None);
    }

    #[test]
    fn what_has_changed_is_named_and_shown() {
        let set = |text, partial, escape| TemplateSources::from_templates(&chapter(text, partial, escape));
        let one = set("{{> head}}a\n", "x\n", Escape::Nginx);
        assert_eq!(one.describe_change(None), "first");
        let two = set("{{> head}}b\n", "x\n", Escape::Nginx);
        assert_eq!(two.describe_change(Some(&one)), "template edited: /t/a.hbs");
        assert_eq!(
            set("{{> head}}a\n", "y\n", Escape::Nginx).describe_change(Some(&one)),
            "template edited: /p/head.hbs"
        );
        let three = set("{{> head}}a\n", "x\n", Escape::None);
        assert_eq!(three.describe_change(Some(&one)), "configuration");
        assert!(two.diff(&one).contains("-{{> head}}b\n+{{> head}}a\n"), "{}", two.diff(&one));
        assert!(three.diff(&one).contains("escape None -> Nginx"), "{}", three.diff(&one));
    }
}
