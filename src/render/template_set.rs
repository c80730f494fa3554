//! The templates of a target as texts, with the settings that decide what they become. A set is kept for each version that
//! was in effect, and compiled again when somebody goes back to it.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Escape, Partials, Template, TemplateError,
    book::{Chapter, Each, Page, Place},
};
use crate::target::{Rendered, unified};

/// All that decides what a target's files become, besides the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TemplateSet {
    templates: Vec<TemplateText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TemplateText {
    /// What errors call it: its path.
    name: String,
    text: String,
    /// The partials that it includes, by name.
    partials: BTreeMap<String, PartialText>,
    escape: Escape,
    destination: PathBuf,
    /// The expression of a template that makes many files.
    each: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartialText {
    file: String,
    text: String,
}

impl TemplateSet {
    /// The texts of compiled templates.
    pub(super) fn of(chapter: &Chapter) -> Self {
        let text = |Page { body, place }: &Page| {
            let partial = |(name, file, text): (&str, &str, &str)| {
                (name.to_owned(), PartialText { file: file.to_owned(), text: text.to_owned() })
            };
            let (destination, each) = match place {
                Place::File(path) => (path.clone(), None),
                Place::Each(each) => (each.path.source().into(), Some(each.list.expression_text().to_owned())),
            };
            TemplateText {
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
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Compiles the set; each template carries what it was compiled from.
    pub(super) fn compile(&self) -> Result<Chapter, TemplateError> {
        let page = |template: &TemplateText| {
            let partials = template.partials.iter();
            let partials = partials.map(|(name, partial)| (name.clone(), partial.file.clone(), partial.text.clone()));
            let partials = Partials::of_texts(partials)?;
            let body = Template::with_partials(&template.name, &template.text, template.escape, &partials)?;
            let place = match &template.each {
                None => Place::File(template.destination.clone()),
                Some(each) => Place::Each(Box::new(Each::compile(&template.name, each, &template.destination)?)),
            };
            Ok(Page { body, place })
        };
        let mut chapter = self.templates.iter().map(page).collect::<Result<_, TemplateError>>()?;
        mark(&mut chapter);
        Ok(chapter)
    }

    /// What is different from the set before, in a few words.
    pub(super) fn cause(&self, before: Option<&Self>) -> String {
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
                diff += &unified(&text(&old), &text(&new), title(&old), title(&new));
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
pub(super) fn mark(chapter: &mut Chapter) {
    // A path that is not UTF-8 cannot be written down; such a set is not kept.
    let set = serde_json::to_vec(&TemplateSet::of(chapter)).ok().map(|set| Arc::new(Rendered::new(set)));
    chapter.iter_mut().for_each(|page| page.body.set_version(set.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(text: &str, partial: &str, escape: Escape) -> Chapter {
        let partials = [("head".to_owned(), "/p/head.hbs".to_owned(), partial.to_owned())];
        let partials = Partials::of_texts(partials).unwrap_or_else(|error| panic!("{error}"));
        let body = Template::with_partials("/t/a.hbs", text, escape, &partials);
        let each = Each::compile("/t/a.hbs", "(services)", "/o/{{name}}".as_ref());
        let (body, each) = (body.expect("it is right"), each.expect("it is right"));
        vec![Page { body, place: Place::Each(Box::new(each)) }]
    }

    #[test]
    fn a_set_that_was_written_down_compiles_to_the_same_templates() {
        let mut chapter = chapter("{{> head}}{{name}}", "# head\n", Escape::Nginx);
        mark(&mut chapter);
        let written = serde_json::to_vec(&TemplateSet::of(&chapter)).expect("text");
        let again = TemplateSet::read(&written).expect("it is ours").compile().expect("it is right");
        assert!(again == chapter);
        assert_eq!(TemplateSet::read(b"{}"), None);
    }

    #[test]
    fn what_has_changed_is_named_and_shown() {
        let set = |text, partial, escape| TemplateSet::of(&chapter(text, partial, escape));
        let one = set("{{> head}}a\n", "x\n", Escape::Nginx);
        assert_eq!(one.cause(None), "first");
        let two = set("{{> head}}b\n", "x\n", Escape::Nginx);
        assert_eq!(two.cause(Some(&one)), "template edited: /t/a.hbs");
        assert_eq!(set("{{> head}}a\n", "y\n", Escape::Nginx).cause(Some(&one)), "template edited: /p/head.hbs");
        let three = set("{{> head}}a\n", "x\n", Escape::None);
        assert_eq!(three.cause(Some(&one)), "configuration");
        assert!(two.diff(&one).contains("-{{> head}}b\n+{{> head}}a\n"), "{}", two.diff(&one));
        assert!(three.diff(&one).contains("escape None -> Nginx"), "{}", three.diff(&one));
    }
}
