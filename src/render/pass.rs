//! The pass: from the answers to what each target's files should hold.
//!
//! ```text
//! answers --snapshot--> [here a guard may hold answers back] --> templates --> wanted queries, desired files, report
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde_json::Value;
use tokio::sync::watch;

use super::{Answers, Inputs, Missing, TemplateError, sheet::Sheet};
use crate::{
    reconcile::{Cause, Next, Reconcile},
    registry::{Answer, Query},
    store::Store,
    target::Desired,
};

/// Renders all templates that an answer concerns, whenever answers change.
pub(super) struct Renderer {
    pub(super) answers: Store<Query, Arc<Answer>>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) sets: Vec<Set>,
    /// What all templates asked in their last pass.
    pub(super) wanted: watch::Sender<BTreeSet<Query>>,
    /// What is not rendered yet, and why.
    pub(super) open: watch::Sender<Vec<Open>>,
}

/// The templates of one target: they reach it together or not at all.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) sheets: Vec<Sheet>,
    pub(super) desired: Desired,
}

/// A template that is not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The template's file.
    pub template: String,
    /// What keeps it.
    pub why: Why,
}

/// What keeps a template from being rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// These queries must be answered, or answered otherwise.
    Missing(BTreeMap<Query, Missing>),
    /// It does not fit the answers.
    Failed(TemplateError),
}

impl Reconcile for Renderer {
    async fn pass(&mut self, _: Cause) -> Next {
        let answers = self.answers.snapshot().entries;
        self.render(&answers);
        Next::Idle
    }
}

impl Renderer {
    pub(super) fn render(&mut self, answers: &Answers) {
        let inputs = Inputs { answers, env: &self.env, item: &Value::Null };
        self.sets.iter_mut().for_each(|set| set.render(inputs));
        let sheets = || self.sets.iter().flat_map(|set| &set.sheets);
        let wanted = sheets().flat_map(Sheet::asked).cloned().collect();
        send_if_new(&self.wanted, wanted);
        send_if_new(&self.open, sheets().filter_map(Sheet::open).collect());
    }
}

fn send_if_new<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|current| {
        let new = *current != value;
        *current = value;
        new
    });
}

impl Set {
    fn render(&mut self, inputs: Inputs<'_>) {
        for sheet in &mut self.sheets {
            sheet.render(inputs);
        }
        let files = self.sheets.iter().map(|sheet| Some((sheet.destination().to_owned(), sheet.product()?)));
        // What the target has stays in force until all of it can be replaced.
        if let Some(files) = files.collect() {
            self.desired.replace(files);
        }
    }
}

impl Why {
    /// Not just a matter of time.
    pub(super) fn is_trouble(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Missing(missing) => missing.values().any(|why| *why != Missing::Answer),
        }
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Failed(error) => write!(f, "{error}"),
            Why::Missing(missing) => {
                write!(f, "{}: waits for ", self.template)?;
                let list: Vec<_> = missing.iter().map(|(query, why)| format!("{query} ({why})")).collect();
                f.write_str(&list.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::render::{Escape, Template, tests::answer};

    fn renderer(sets: &[&[&str]]) -> Renderer {
        let sheet = |(number, text): (usize, &&str)| {
            let template = Template::compile(format!("{number}.hbs"), *text, Escape::Nginx).expect("it is sound");
            Sheet::new(template, number, PathBuf::from(format!("/{number}")))
        };
        let set =
            |texts: &&[&str]| Set { sheets: texts.iter().enumerate().map(sheet).collect(), desired: Store::default() };
        Renderer {
            answers: Store::default(),
            env: BTreeMap::new(),
            sets: sets.iter().map(set).collect(),
            wanted: watch::Sender::default(),
            open: watch::Sender::default(),
        }
    }

    impl Renderer {
        fn look(&mut self) {
            let answers = self.answers.snapshot().entries;
            self.render(&answers);
        }

        /// Passes, each followed by the answers to what it asked for the first time.
        fn settle(&mut self) -> usize {
            for passes in 1.. {
                self.look();
                let known = self.answers.snapshot().entries;
                let new: Vec<_> =
                    self.wanted.borrow().iter().filter(|query| !known.contains_key(*query)).cloned().collect();
                if new.is_empty() {
                    return passes;
                }
                new.into_iter().for_each(|query| self.answers.put(query.clone(), Arc::new(answer(&query))));
            }
            unreachable!()
        }

        fn text(&self, set: usize, file: &str) -> Option<String> {
            let files = self.sets[set].desired.snapshot().entries;
            files.get(&PathBuf::from(file)).map(|file| String::from_utf8_lossy(file.text.bytes()).into_owned())
        }

        fn set_key(&self, path: &str, value: Option<&str>) {
            self.answers.put(Query::key(path), Arc::new(Answer::Key(value.map(str::to_owned))));
        }
    }

    #[test]
    fn a_target_is_given_its_files_once_when_all_of_them_are_complete() {
        let mut renderer = renderer(&[&[
            "{{#each (services)}}{{#each (service name)}}{{id}} {{/each}}{{/each}}",
            "{{key \"app/max\"}}",
        ]]);
        let mut bell = renderer.sets[0].desired.bell();
        bell.mark_unchanged();
        renderer.look();
        assert!(!bell.has_changed().expect("the store lives") && renderer.open.borrow().len() == 2);
        assert_eq!(renderer.settle(), 3);
        assert_eq!(*bell.borrow_and_update(), 1, "one change, whatever the passes");
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("api-1 consul web-1b web-2 "));
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("15"));
        renderer.look();
        assert!(!bell.has_changed().expect("the store lives") && renderer.open.borrow().is_empty());
    }

    #[test]
    fn a_template_that_waits_or_fails_holds_its_own_target_only() {
        let mut renderer = renderer(&[&["{{key \"a\"}}", "{{keyOr \"b\" \"-\"}}"], &["{{keyOr \"b\" \"-\"}}"]]);
        renderer.settle();
        assert_eq!((renderer.text(0, "/1"), renderer.text(1, "/0")), (None, Some("-".to_owned())));
        assert_eq!(renderer.open.borrow()[0].to_string(), "0.hbs: waits for key \"a\" (there is no such key)");
        renderer.set_key("a", Some("1"));
        renderer.look();
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
        // What has become a failure leaves the target what it has, although the other file could be had.
        renderer.set_key("a", Some("1;"));
        renderer.set_key("b", Some("2"));
        renderer.look();
        assert!(renderer.open.borrow()[0].to_string().contains("0.hbs:1:1: the value \"1;\""));
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
        assert_eq!(renderer.text(1, "/0").as_deref(), Some("2"));
        renderer.set_key("a", Some("3"));
        renderer.look();
        assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["3", "2"]);
    }

    #[test]
    fn only_what_an_answer_concerns_is_rendered_again() {
        let mut renderer = renderer(&[&["{{keyOr \"a\" \"-\"}}", "{{keyOr \"b\" \"-\"}}"]]);
        renderer.settle();
        let before = renderer.sets[0].desired.snapshot().entries;
        renderer.set_key("b", Some("2"));
        renderer.look();
        let after = renderer.sets[0].desired.snapshot().entries;
        let same = |file: &str| Arc::ptr_eq(&before[&PathBuf::from(file)], &after[&PathBuf::from(file)]);
        assert!(same("/0") && !same("/1"));
    }

    #[test]
    fn what_is_asked_follows_the_answers_but_not_past_an_error() {
        let mut renderer = renderer(&[&["{{#with (key \"which\")}}{{key this}}{{/with}}"]]);
        renderer.set_key("which", Some("app/max"));
        renderer.settle();
        assert_eq!(*renderer.wanted.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
        renderer.set_key("motd", Some("a;"));
        renderer.set_key("which", Some("motd"));
        renderer.settle();
        assert!(matches!(renderer.open.borrow()[0].why, Why::Failed(_)));
        assert!(renderer.wanted.borrow().contains(&Query::key("app/max")), "an error hides what comes behind it");
        renderer.set_key("which", Some("app/max"));
        renderer.settle();
        assert_eq!(*renderer.wanted.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
    }
}
