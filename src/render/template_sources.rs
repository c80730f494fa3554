//! The source texts of a target's templates, with the settings that decide their output. They are kept for each version
//! that was in effect, and compiled again for a rollback.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CompiledTemplate, Escape, Partials, TemplateError,
    template_set::{OutputSpec, TargetTemplates, TemplateSpec},
};
use crate::target::{HashedContent, unified_diff};

/// Everything besides the data that decides the content of a target's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TemplateSources {
    templates: Vec<TemplateSource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TemplateSource {
    /// Its path, which is its name in errors.
    name: String,
    text: String,
    /// The partials that it includes, by name.
    partials: BTreeMap<String, PartialSource>,
    escape: Escape,
    destination: PathBuf,
    /// The expression of a template with `each`.
    each: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartialSource {
    file: String,
    text: String,
}

impl TemplateSources {
    /// The texts of compiled templates.
    pub(super) fn from_templates(templates: &TargetTemplates) -> Self {
        let source = |TemplateSpec { template, output }: &TemplateSpec| {
            let partial = |(name, file, text): (&str, &str, &str)| {
                (name.to_owned(), PartialSource { file: file.to_owned(), text: text.to_owned() })
            };
            let (destination, each) = match output {
                OutputSpec::File(path) => (path.clone(), None),
                OutputSpec::Each(each) => (each.path.source().into(), Some(each.list.expression_text().to_owned())),
            };
            TemplateSource {
                name: template.name().to_owned(),
                text: template.source().to_owned(),
                partials: template.partials().map(partial).collect(),
                escape: template.escape(),
                destination,
                each,
            }
        };
        Self { templates: templates.iter().map(source).collect() }
    }

    /// Parses what [`attach_sources`] has serialized. `None` if another version of Portreeve wrote it in another
    /// format.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Compiles the templates, and attaches these sources to each.
    pub(super) fn compile(&self) -> Result<TargetTemplates, TemplateError> {
        let compile = |TemplateSource { name, text, partials, escape, destination, each }: &TemplateSource| {
            let partials = partials.iter();
            let partials = partials.map(|(name, partial)| (name.clone(), partial.file.clone(), partial.text.clone()));
            let partials = Partials::from_texts(partials)?;
            Ok(TemplateSpec {
                template: CompiledTemplate::compile_with_partials(name, text, *escape, &partials)?,
                output: OutputSpec::compile(name, each.as_deref(), destination)?,
            })
        };
        let mut templates = self.templates.iter().map(compile).collect::<Result<_, TemplateError>>()?;
        attach_sources(&mut templates);
        Ok(templates)
    }

    /// Describes the difference from the previous version in a few words.
    pub(super) fn describe_change(&self, before: Option<&Self>) -> String {
        let Some(before) = before else { return "first".to_owned() };
        let (old, new) = (before.texts(), self.texts());
        let edited = new.iter().filter(|(name, text)| old.get(*name).is_some_and(|old| old != *text));
        let edited: Vec<_> = edited.map(|(name, _)| *name).collect();
        if edited.is_empty() { "configuration".to_owned() } else { format!("template edited: {}", edited.join(", ")) }
    }

    /// The changes from these sources to `other`, as a unified diff.
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
                // Writing to a string cannot fail.
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

/// Attaches the sources of all templates of the target to each of them, so that a rendered file shows which version made
/// it.
pub(super) fn attach_sources(templates: &mut TargetTemplates) {
    // A path that is not UTF-8 cannot be serialized; such a version is not kept.
    let sources = serde_json::to_vec(&TemplateSources::from_templates(templates)).ok();
    let sources = sources.map(|sources| Arc::new(HashedContent::new(sources)));
    templates.iter_mut().for_each(|spec| spec.template.set_version(sources.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(text: &str, partial: &str, escape: Escape) -> TargetTemplates {
        let partials = [("head".to_owned(), "/p/head.hbs".to_owned(), partial.to_owned())];
        let partials = Partials::from_texts(partials).unwrap_or_else(|error| panic!("{error}"));
        let template = CompiledTemplate::compile_with_partials("/t/a.hbs", text, escape, &partials);
        let output = OutputSpec::compile("/t/a.hbs", Some("(services)"), "/o/{{name}}".as_ref());
        vec![TemplateSpec { template: template.expect("it compiles"), output: output.expect("it compiles") }]
    }

    #[test]
    fn serialized_sources_compile_to_the_same_templates() {
        let mut templates = templates("{{> head}}{{name}}", "# head\n", Escape::Nginx);
        attach_sources(&mut templates);
        let bytes = serde_json::to_vec(&TemplateSources::from_templates(&templates)).expect("the paths are UTF-8");
        let compiled = TemplateSources::parse(&bytes).expect("the form is known").compile().expect("it compiles");
        assert!(compiled == templates);
        assert_eq!(TemplateSources::parse(b"{}"), None);
    }

    #[test]
    fn changes_are_named_and_shown() {
        let sources = |text, partial, escape| TemplateSources::from_templates(&templates(text, partial, escape));
        let one = sources("{{> head}}a\n", "x\n", Escape::Nginx);
        assert_eq!(one.describe_change(None), "first");
        let two = sources("{{> head}}b\n", "x\n", Escape::Nginx);
        assert_eq!(two.describe_change(Some(&one)), "template edited: /t/a.hbs");
        assert_eq!(
            sources("{{> head}}a\n", "y\n", Escape::Nginx).describe_change(Some(&one)),
            "template edited: /p/head.hbs"
        );
        let three = sources("{{> head}}a\n", "x\n", Escape::None);
        assert_eq!(three.describe_change(Some(&one)), "configuration");
        assert!(two.diff(&one).contains("-{{> head}}b\n+{{> head}}a\n"), "{}", two.diff(&one));
        assert!(three.diff(&one).contains("escape None -> Nginx"), "{}", three.diff(&one));
    }
}
