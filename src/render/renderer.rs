//! The pass: from the answers to what each target's files should hold.
//!
//! ```text
//! answers --snapshot--> [here a guard may hold answers back] --> templates --> wanted queries, desired files, report
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    Answers, MissingInput, RenderInputs, TemplateSet, TemplateStore,
    narrowing::{Narrowing, SearchOutcome, TrialRunner},
    template_set::{PinnedTemplates, PinnedTemplatesStore, TargetTemplates},
    template_state::{TemplateState, all_desired_files},
    unanswered::UnansweredQueries,
    unrendered::{Unrendered, UnrenderedReason},
};
use crate::{
    core::{
        reconcile::{NextPass, PassCause, Reconcile},
        store::Store,
    },
    registry::{Answer, Query},
    target::{DesiredFileStore, Digest},
};

/// Renders all templates that an answer concerns, whenever answers change.
pub(super) struct Renderer {
    answers: Store<Query, Arc<Answer>>,
    env: BTreeMap<String, String>,
    pub(super) targets: Vec<TargetRenderer>,
    template_store: TemplateStore,
    /// The book that `sets` are made from, or that they cannot be made from.
    template_set: Arc<TemplateSet>,
    pinned_store: PinnedTemplatesStore,
    /// The templates among those of `sets` that somebody went back to.
    pinned: Arc<BTreeMap<usize, Arc<PinnedTemplates>>>,
    /// What all templates asked in their last pass.
    pub(super) wanted_queries: watch::Sender<BTreeSet<Query>>,
    /// What is not rendered yet, and why.
    pub(super) unrendered: watch::Sender<Vec<Unrendered>>,
    unanswered_queries: UnansweredQueries,
    /// When something that is held is tried again.
    retry_at: Option<Instant>,
}

/// The templates of one target: they reach it together or not at all.
#[derive(Debug)]
pub(super) struct TargetRenderer {
    target: String,
    /// What `sheets` are made from.
    templates: Arc<TargetTemplates>,
    pub(super) states: Vec<TemplateState>,
    /// Whether the target is pinned to them.
    is_pinned: bool,
    /// What was complete before templates were read again: it stays in force until `sheets` are complete.
    previous: Option<PreviousTemplates>,
    pub(super) desired: DesiredFileStore,
    /// What its templates have left out, as the log has it.
    logged_warnings: BTreeSet<String>,
    /// What is kept out of its files, shared with its worker.
    pub(super) narrowing: Narrowing,
    /// The answers of the last render, in which held items were put back.
    used_answers: Answers,
    /// Failures that no change of the answers has caused, and whether the templates were proven.
    unexplained_failures: (Vec<Unrendered>, bool),
    /// Queries behind an error, whose answers the search for its cause needs.
    awaited_queries: BTreeSet<Query>,
}

/// Templates that others are to take the place of.
#[derive(Debug)]
struct PreviousTemplates {
    templates: Arc<TargetTemplates>,
    states: Vec<TemplateState>,
}

impl Reconcile for Renderer {
    async fn pass(&mut self, _: PassCause) -> NextPass {
        self.update();
        let next = self.log_unanswered();
        let retry = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        match (next, retry) {
            (NextPass::After(next), Some(retry)) => NextPass::After(next.min(retry)),
            (_, Some(retry)) => NextPass::After(retry),
            (next, None) => next,
        }
    }
}

impl Renderer {
    pub(super) fn new(
        answers: Store<Query, Arc<Answer>>,
        env: BTreeMap<String, String>,
        books: TemplateStore,
        held: PinnedTemplatesStore,
        sets: Vec<TargetRenderer>,
    ) -> Self {
        let kept = held.snapshot().entries;
        let book = books.snapshot().entries.get(&()).cloned().unwrap_or_default();
        let (wanted, open) = (watch::Sender::default(), watch::Sender::default());
        let unanswered = UnansweredQueries::default();
        Self {
            answers,
            env,
            targets: sets,
            template_store: books,
            template_set: book,
            pinned_store: held,
            pinned: kept,
            wanted_queries: wanted,
            unrendered: open,
            unanswered_queries: unanswered,
            retry_at: None,
        }
    }

    fn update(&mut self) {
        let kept = self.pinned_store.snapshot().entries;
        if let Some(book) = self.template_store.snapshot().entries.get(&())
            && (!Arc::ptr_eq(book, &self.template_set) || !Arc::ptr_eq(&kept, &self.pinned))
        {
            self.apply_template_set(Arc::clone(book), kept);
        }
        let answers = self.answers.snapshot().entries;
        self.render(&answers);
    }

    /// Says which queries get no answer, and when to look again.
    fn log_unanswered(&mut self) -> NextPass {
        let (overdue, next) = self.unanswered_queries.update(&self.unrendered.borrow(), Instant::now().into_std());
        for overdue in overdue {
            let target_name = &overdue.target;
            tracing::warn!(target_name, "{overdue}; what is in effect stays until then");
        }
        next.map_or(NextPass::Idle, NextPass::After)
    }

    /// Goes on with other templates. The answers and the watches stay.
    fn apply_template_set(&mut self, book: Arc<TemplateSet>, kept: Arc<BTreeMap<usize, Arc<PinnedTemplates>>>) {
        let fits = self.targets.len() == book.targets.len()
            && self.targets.iter().zip(&book.targets).all(|(set, chapter)| set.has_same_outputs(chapter));
        if fits {
            for (at, (set, chapter)) in self.targets.iter_mut().zip(&book.targets).enumerate() {
                let held = kept.get(&at);
                set.replace_templates(held.map_or(chapter, |held| &held.templates));
                set.is_pinned = held.is_some();
                if let Some(PinnedTemplates { target, version: number, .. }) = held.map(Arc::as_ref)
                    && self.template_set.targets.get(at) != Some(chapter)
                {
                    tracing::warn!(
                        target_name = target,
                        "target {target}: a change of its templates is withheld, since it is pinned to version {number}; \
                         `portreeve render rollback --release` unpins it"
                    );
                }
            }
            if !Arc::ptr_eq(&book, &self.template_set) {
                tracing::info!("the templates were read again");
            }
        } else {
            tracing::error!("the templates were read again for other files than ours: the ones before stay in force");
        }
        (self.template_set, self.pinned) = (book, kept);
    }

    pub(super) fn render(&mut self, answers: &Answers) {
        let (env, now) = (&self.env, Instant::now());
        self.retry_at = self.targets.iter_mut().filter_map(|set| set.render(answers, env, now)).min();
        self.reject_conflicts();
        self.targets.iter_mut().for_each(TargetRenderer::publish);
        let awaited = self.targets.iter().flat_map(|set| set.awaited_queries.iter().cloned());
        let held: BTreeSet<_> =
            self.targets.iter().flat_map(|set| set.narrowing.held_queries()).chain(awaited).collect();
        let mut wanted: BTreeSet<_> =
            self.targets.iter().flat_map(TargetRenderer::all_states).flat_map(TemplateState::queries).collect();
        wanted.extend(&held);
        // Most often they are the same, and then not one of them is copied.
        if !self.wanted_queries.borrow().iter().eq(wanted.iter().copied()) {
            self.wanted_queries.send_replace(wanted.into_iter().cloned().collect());
        }
        let open: Vec<_> = self.targets.iter().flat_map(TargetRenderer::unrendered).collect();
        if *self.unrendered.borrow() != open {
            self.unrendered.send_replace(open);
        }
    }

    /// No two templates write one file. What the settings name goes first.
    fn reject_conflicts(&mut self) {
        let mut taken: BTreeMap<PathBuf, String> =
            self.targets.iter().flat_map(|set| &set.states).filter_map(TemplateState::fixed_destination).collect();
        self.targets.iter_mut().for_each(|set| set.claim_paths(&mut taken));
    }
}

impl TargetRenderer {
    pub(super) fn new(target: impl Into<String>, chapter: &TargetTemplates) -> Self {
        let target = target.into();
        Self {
            narrowing: Narrowing::new(target.clone()),
            target,
            templates: Arc::new(chapter.clone()),
            states: new_states(chapter),
            is_pinned: false,
            previous: None,
            desired: Store::default(),
            logged_warnings: BTreeSet::new(),
            used_answers: Answers::new(),
            unexplained_failures: Default::default(),
            awaited_queries: BTreeSet::new(),
        }
    }

    /// Renders what an answer concerns that has changed, without what is held. Returns when that is tried again.
    fn render(&mut self, answers: &Answers, env: &BTreeMap<String, String>, now: Instant) -> Option<Instant> {
        let (held, retry_at) = self.narrowing.held_items(answers, now.into_std());
        let merged = (!held.is_empty()).then(|| self.narrowing.restore_held(answers, &held));
        let seen = merged.as_ref().unwrap_or(answers);
        let inputs = RenderInputs { answers: seen, env, item: &Value::Null };
        self.all_states_mut().for_each(|sheet| sheet.render(inputs));
        let asked = self.all_states().flat_map(TemplateState::queries).filter_map(|query| seen.get_key_value(query));
        self.used_answers = asked.map(|(query, answer)| (query.clone(), Arc::clone(answer))).collect();
        if self.narrow(seen, env, now) { self.render(answers, env, now) } else { retry_at.map(Instant::from_std) }
    }

    /// Holds the values because of which a template fails. Returns whether there is something new to hold.
    fn narrow(&mut self, seen: &Answers, env: &BTreeMap<String, String>, now: Instant) -> bool {
        let failed: Vec<_> =
            self.all_states().flat_map(|sheet| sheet.unrendered(&self.target)).filter(Unrendered::is_failure).collect();
        self.awaited_queries.clear();
        let is_proven = self.narrowing.is_proven(&self.templates);
        if failed.is_empty() || (&failed, is_proven) == (&self.unexplained_failures.0, self.unexplained_failures.1) {
            return false;
        }
        let former = self.previous.as_ref().map(|former| (&former.states, &former.templates));
        for (sheets, chapter) in [Some((&self.states, &self.templates)), former].into_iter().flatten() {
            if !sheets.iter().flat_map(|sheet| sheet.unrendered(&self.target)).any(|open| open.is_failure()) {
                continue;
            }
            let proven = self.narrowing.is_proven(chapter);
            // All that is known, since an error hides what is asked behind it.
            let mut trials =
                TrialRunner::new(sheets.clone(), env, self.narrowing.last_good_answers(), seen.clone(), proven);
            match trials.run() {
                SearchOutcome::Culprits(culprits) => {
                    self.narrowing.hold(culprits, seen, None, now.into_std());
                    return true;
                }
                SearchOutcome::Accepted | SearchOutcome::OtherCause => {
                    self.awaited_queries.extend(trials.into_unanswered_queries())
                }
            }
        }
        self.unexplained_failures =
            if self.awaited_queries.is_empty() { (failed, is_proven) } else { Default::default() };
        false
    }

    fn all_states(&self) -> impl Iterator<Item = &TemplateState> {
        self.states.iter().chain(self.previous.iter().flat_map(|former| &former.states))
    }

    fn all_states_mut(&mut self) -> impl Iterator<Item = &mut TemplateState> {
        self.states.iter_mut().chain(self.previous.iter_mut().flat_map(|former| &mut former.states))
    }

    /// A template whose failure is searched for in answers that are still to come is not known to fail.
    fn unrendered(&self) -> impl Iterator<Item = Unrendered> {
        let awaited: BTreeMap<_, _> =
            self.awaited_queries.iter().map(|query| (query.clone(), MissingInput::Answer)).collect();
        self.states.iter().flat_map(|sheet| sheet.unrendered(&self.target)).map(move |open| {
            let waits = open.is_failure() && !awaited.is_empty();
            if waits { Unrendered { reason: UnrenderedReason::Missing(awaited.clone()), ..open } } else { open }
        })
    }

    fn has_same_outputs(&self, chapter: &TargetTemplates) -> bool {
        self.states.len() == chapter.len()
            && self.states.iter().zip(chapter).all(|(sheet, page)| sheet.has_same_output(page))
    }

    /// Takes the place of the templates before, which they [fit](Self::fits).
    pub(super) fn replace_templates(&mut self, chapter: &TargetTemplates) {
        if self.states.iter().zip(chapter).all(|(sheet, page)| sheet.has_same_template(page)) {
            return;
        }
        if all_desired_files(&self.states).is_some() {
            self.previous =
                Some(PreviousTemplates { templates: Arc::clone(&self.templates), states: self.states.clone() });
        }
        self.templates = Arc::new(chapter.clone());
        self.states.iter_mut().zip(chapter).for_each(|(sheet, page)| sheet.replace_template(page.clone()));
    }

    /// The former templates write the same files: theirs count only while the new ones are not complete.
    fn claim_paths(&mut self, taken: &mut BTreeMap<PathBuf, String>) {
        let before = self.previous.is_some().then(|| taken.clone());
        self.states.iter_mut().for_each(|sheet| sheet.claim_paths(taken));
        if let Some(before) = before.filter(|_| all_desired_files(&self.states).is_none()) {
            *taken = before;
            self.previous.iter_mut().flat_map(|former| &mut former.states).for_each(|sheet| sheet.claim_paths(taken));
        }
    }

    /// What the target has stays in force until all of it can be replaced.
    fn publish(&mut self) {
        let made = match all_desired_files(&self.states) {
            Some(files) => {
                self.previous = None;
                Some((files, &self.templates))
            }
            None => {
                self.previous.as_ref().and_then(|former| Some((all_desired_files(&former.states)?, &former.templates)))
            }
        };
        if let Some((files, chapter)) = made {
            let is_pinned = self.is_pinned && self.previous.is_none();
            self.narrowing.record_candidate(
                Digest::of_files(&files),
                Arc::clone(chapter),
                self.used_answers.clone(),
                is_pinned,
            );
            self.desired.replace(files);
            self.log_warnings();
        }
    }

    /// Says what is left out, once per change.
    fn log_warnings(&mut self) {
        let remarks: BTreeSet<_> = self.all_states().flat_map(TemplateState::warnings).collect();
        for remark in remarks.difference(&self.logged_warnings) {
            tracing::warn!(target_name = self.target, "target {}: {remark}", self.target);
        }
        self.logged_warnings = remarks;
    }
}

/// Templates that nothing is rendered from yet.
pub(super) fn new_states(chapter: &TargetTemplates) -> Vec<TemplateState> {
    chapter.iter().enumerate().map(|(number, page)| TemplateState::new(number, page.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ServiceRecord;
    use crate::render::{
        CompiledTemplate, Escape, UnrenderedReason,
        template_set::{EachSpec, OutputSpec, TemplateSpec},
        tests::answer,
    };

    fn template(name: &str, text: &str, escape: Escape) -> CompiledTemplate {
        CompiledTemplate::compile(name, text, escape).unwrap_or_else(|error| panic!("{error}"))
    }

    fn spec(number: usize, text: &str) -> TemplateSpec {
        let place = OutputSpec::File(PathBuf::from(format!("/{number}")));
        TemplateSpec { template: template(&format!("{number}.hbs"), text, Escape::Nginx), output: place }
    }

    fn each_spec(each: &str, destination: &str, text: &str) -> TemplateSpec {
        let list = CompiledTemplate::compile_expression("each", each).unwrap_or_else(|error| panic!("{error}"));
        let path = template("destination", destination, Escape::Path);
        TemplateSpec {
            template: template("many.hbs", text, Escape::Nginx),
            output: OutputSpec::Each(Box::new(EachSpec { list, path })),
        }
    }

    fn renderer_of(chapters: Vec<TargetTemplates>) -> Renderer {
        let books = TemplateStore::default();
        let book = Arc::new(TemplateSet::from_targets(chapters));
        let sets = book
            .targets
            .iter()
            .enumerate()
            .map(|(number, chapter)| TargetRenderer::new(format!("t{number}"), chapter))
            .collect();
        books.put((), book);
        Renderer::new(Store::with_bell_of(&books), BTreeMap::new(), books, PinnedTemplatesStore::default(), sets)
    }

    fn target_templates(sets: &[&[&str]]) -> Vec<TargetTemplates> {
        let chapter = |texts: &&[&str]| texts.iter().enumerate().map(|(number, text)| spec(number, text)).collect();
        sets.iter().map(chapter).collect()
    }

    fn renderer(sets: &[&[&str]]) -> Renderer {
        renderer_of(target_templates(sets))
    }

    impl Renderer {
        /// Passes, each followed by the answers to what it asked for the first time.
        fn render_until_settled(&mut self) -> usize {
            for passes in 1.. {
                self.update();
                let known = self.answers.snapshot().entries;
                let new: Vec<_> =
                    self.wanted_queries.borrow().iter().filter(|query| !known.contains_key(*query)).cloned().collect();
                if new.is_empty() {
                    return passes;
                }
                new.into_iter().for_each(|query| self.answers.put(query.clone(), Arc::new(answer(&query))));
            }
            unreachable!()
        }

        fn text(&self, set: usize, file: &str) -> Option<String> {
            let files = self.targets[set].desired.snapshot().entries;
            files.get(&PathBuf::from(file)).map(|file| String::from_utf8_lossy(file.content.bytes()).into_owned())
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
        let mut bell = renderer.targets[0].desired.bell();
        bell.mark_unchanged();
        renderer.update();
        assert!(!bell.has_changed().expect("the store lives") && renderer.unrendered.borrow().len() == 2);
        assert_eq!(renderer.render_until_settled(), 3);
        assert_eq!(*bell.borrow_and_update(), 1, "one change, whatever the passes");
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("api-1 consul web-1b web-2 "));
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("15"));
        renderer.update();
        assert!(!bell.has_changed().expect("the store lives") && renderer.unrendered.borrow().is_empty());
    }

    #[test]
    fn a_template_that_waits_or_fails_holds_its_own_target_only() {
        let mut renderer = renderer(&[&["{{key \"a\"}}", "{{keyOr \"b\" \"-\"}}"], &["{{keyOr \"b\" \"-\"}}"]]);
        renderer.render_until_settled();
        assert_eq!((renderer.text(0, "/1"), renderer.text(1, "/0")), (None, Some("-".to_owned())));
        assert_eq!(
            renderer.unrendered.borrow()[0].to_string(),
            "target t0: 0.hbs: waits for key \"a\" (there is no such key)"
        );
        renderer.set_key("a", Some("1"));
        renderer.update();
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
        // What has become a failure leaves the target what it has, although the other file could be had.
        renderer.set_key("a", Some("1;"));
        renderer.set_key("b", Some("2"));
        renderer.update();
        assert!(renderer.unrendered.borrow()[0].to_string().contains("0.hbs:1:1: the value \"1;\""));
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
        assert_eq!(renderer.text(1, "/0").as_deref(), Some("2"));
        renderer.set_key("a", Some("3"));
        renderer.update();
        assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["3", "2"]);
    }

    #[test]
    fn only_what_an_answer_concerns_is_rendered_again() {
        let mut renderer = renderer(&[&["{{keyOr \"a\" \"-\"}}", "{{keyOr \"b\" \"-\"}}"]]);
        renderer.render_until_settled();
        let before = renderer.targets[0].desired.snapshot().entries;
        renderer.set_key("b", Some("2"));
        renderer.update();
        let after = renderer.targets[0].desired.snapshot().entries;
        let same = |file: &str| Arc::ptr_eq(&before[&PathBuf::from(file)], &after[&PathBuf::from(file)]);
        assert!(same("/0") && !same("/1"));
    }

    #[test]
    fn what_is_asked_follows_the_answers_but_not_past_an_error() {
        let mut renderer = renderer(&[&["{{#with (key \"which\")}}{{key this}}{{/with}}"]]);
        renderer.set_key("which", Some("app/max"));
        renderer.render_until_settled();
        assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
        renderer.set_key("motd", Some("a;"));
        renderer.set_key("which", Some("motd"));
        renderer.render_until_settled();
        assert!(matches!(renderer.unrendered.borrow()[0].reason, UnrenderedReason::Failed(_)));
        assert!(
            renderer.wanted_queries.borrow().contains(&Query::key("app/max")),
            "an error hides what comes behind it"
        );
        renderer.set_key("which", Some("app/max"));
        renderer.render_until_settled();
        assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
    }

    #[test]
    fn a_value_that_does_not_fit_costs_its_own_entry_only() {
        let text = "{{#each (service \"a\")}}{{address}}={{meta.x}} {{/each}}{{key \"max\"}}";
        let mut renderer = renderer(&[&[text]]);
        let set = |renderer: &Renderer, members: &[(&str, &str)]| {
            let record = |(id, x): &(&str, &str)| ServiceRecord {
                id: (*id).into(),
                address: (*id).into(),
                meta: [("x".to_owned(), (*x).to_owned())].into(),
                ..ServiceRecord::default()
            };
            renderer.answers.put(Query::service("a"), Arc::new(Answer::Service(members.iter().map(record).collect())));
        };
        set(&renderer, &[("1", "x"), ("2", "x"), ("3", "a;")]);
        renderer.set_key("max", Some("10"));
        renderer.render_until_settled();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=x 10"), "there is no earlier value");
        renderer.accept();
        set(&renderer, &[("1", "b;"), ("2", "y"), ("3", "a;"), ("4", "x")]);
        renderer.set_key("max", Some("1 1"));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=y 4=x 10"));
        assert_eq!(renderer.held().matches("target t0: ").count(), 3, "{}", renderer.held());
        renderer.accept();
        // A removal takes effect, and what is good again too.
        set(&renderer, &[("1", "z"), ("3", "a;"), ("4", "x")]);
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=z 4=x 10"));
        set(&renderer, &[("4", "x")]);
        renderer.set_key("max", Some("11"));
        renderer.update();
        assert_eq!((renderer.text(0, "/0").as_deref(), renderer.held().as_str()), (Some("4=x 11"), ""));
    }

    #[test]
    fn a_mistake_in_a_template_does_not_empty_its_files() {
        let mut renderer = renderer(&[&["{{#each (services)}}{{#if (ne name \"consul\")}}{{nmae}}{{/if}}{{/each}}"]]);
        renderer.render_until_settled();
        assert!(renderer.files().is_empty() && renderer.held().is_empty(), "{}", renderer.held());
        assert!(renderer.unrendered_text().contains("there is no value `nmae`"), "{}", renderer.unrendered_text());
    }

    #[test]
    fn a_template_that_keeps_failing_watches_no_more_than_it_asks() {
        let text = "{{#each (services)}}{{#each (service name)}}{{id}} {{/each}}{{/each}}{{key \"a\"}}";
        let mut renderer = renderer(&[&[text]]);
        let services = |names: &[String]| Answer::Services(names.iter().map(|name| (name.clone(), vec![])).collect());
        let set = |renderer: &Renderer, names: &[String]| {
            renderer.answers.put(Query::services(), Arc::new(services(names)));
        };
        let named = |kind: &str| (0..60).map(|number| format!("{kind}-{number}")).collect::<Vec<_>>();
        set(&renderer, &named("good"));
        renderer.set_key("a", Some("1"));
        renderer.render_until_settled();
        assert_eq!(renderer.wanted_queries.borrow().len(), 62);
        renderer.set_key("a", Some("1;"));
        for round in 0..5 {
            set(&renderer, &named(&format!("r{round}")));
            renderer.render_until_settled();
            assert!(matches!(renderer.unrendered.borrow()[0].reason, UnrenderedReason::Failed(_)));
            assert_eq!(renderer.wanted_queries.borrow().len(), 122, "the last good render's and the present one's");
        }
        set(&renderer, &[]);
        renderer.render_until_settled();
        assert_eq!(renderer.wanted_queries.borrow().len(), 62);
        renderer.set_key("a", Some("1"));
        renderer.render_until_settled();
        assert_eq!(renderer.wanted_queries.borrow().len(), 2);
    }

    #[test]
    fn a_former_template_goes_on_until_the_new_one_is_complete() {
        let set = |text: &str| target_templates(&[&[text, "{{keyOr \"b\" \"-\"}}"]]);
        let mut renderer = renderer_of(set("{{#each (service \"web\")}}{{id}} {{/each}}"));
        renderer.render_until_settled();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("web-1b web-2 "));
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"silent\"}}"))));
        renderer.update();
        renderer.answers.put(Query::service("web"), Arc::new(Answer::Service(Vec::new())));
        renderer.set_key("b", Some("2"));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some(""), "a removal takes effect");
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("2"));
        assert_eq!(renderer.unrendered_text(), "target t0: 0.hbs: waits for key \"silent\" (not answered yet)\n");
        // What is saved meanwhile replaces the template that waits, not the one in force.
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"nope\"}}"))));
        renderer.render_until_settled();
        renderer.set_key("b", Some("3"));
        renderer.update();
        assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["", "3"]);
        renderer.set_key("nope", Some("new"));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new"));
        assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("b"), Query::key("nope")]));
    }

    #[test]
    fn a_new_template_set_renders_with_the_answers_that_are_known() {
        let set = |first: &str| target_templates(&[&[first, "{{keyOr \"b\" \"-\"}}"]]);
        let mut renderer = renderer_of(set("{{keyOr \"a\" \"1\"}}"));
        renderer.render_until_settled();
        let (bell, before) = (renderer.wanted_queries.subscribe(), renderer.targets[0].desired.snapshot().entries);
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("new {{keyOr \"a\" \"1\"}}"))));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "in one pass");
        assert!(!bell.has_changed().expect("the renderer lives"), "nothing is asked anew");
        let after = renderer.targets[0].desired.snapshot().entries;
        let same = Arc::ptr_eq(&before[&PathBuf::from("/1")], &after[&PathBuf::from("/1")]);
        assert!(same, "what is as it was is not rendered again");
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"which\"}}"))));
        renderer.render_until_settled();
        assert_eq!(*renderer.wanted_queries.borrow(), ["a", "b", "which"].map(Query::key).into());
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "until it can be replaced");
    }

    #[test]
    fn a_template_set_for_other_files_is_refused() {
        let mut renderer = renderer(&[&["a"]]);
        renderer.render_until_settled();
        for other in [vec![], vec![vec![spec(1, "b")]], vec![vec![spec(0, "b"), spec(1, "c")]]] {
            renderer.template_store.put((), Arc::new(TemplateSet::from_targets(other)));
            renderer.update();
            assert_eq!(renderer.text(0, "/0").as_deref(), Some("a"));
        }
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(target_templates(&[&["b"]]))));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("b"));
    }

    const TAGGED: &str = "(where (services) \"tags\")";

    impl Renderer {
        fn files(&self) -> Vec<String> {
            let files = self.targets[0].desired.snapshot().entries;
            files.keys().map(|path| path.display().to_string()).collect()
        }

        fn set_services(&self, services: &[(&str, &str)]) {
            let tags = |tag: &str| vec![tag.to_owned()];
            let services = services.iter().map(|(name, tag)| (name.to_string(), tags(tag))).collect();
            self.answers.put(Query::services(), Arc::new(Answer::Services(services)));
        }

        fn held(&self) -> String {
            self.targets[0].narrowing.hold_reasons().iter().map(|reason| format!("{reason}\n")).collect()
        }

        /// The target takes what it is given.
        fn accept(&self) {
            let set = &self.targets[0];
            set.narrowing.record_accepted(Digest::of_files(&set.desired.snapshot().entries));
        }

        fn unrendered_text(&self) -> String {
            self.unrendered.borrow().iter().map(|open| format!("{open}\n")).collect()
        }
    }

    #[test]
    fn a_list_gives_a_file_for_each_member() {
        let text = "{{name}}: {{#each (service name)}}{{id}} {{/each}}";
        let pages = each_spec("(services)", "/s/{{name}}.{{keyOr \"suffix\" \"conf\"}}", text);
        let mut renderer = renderer_of(vec![vec![spec(0, "fixed"), pages]]);
        assert_eq!(renderer.render_until_settled(), 4, "the list, the names, the texts, and all of it");
        assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/consul.conf", "/s/maint.conf", "/s/web.conf"]);
        assert_eq!(renderer.text(0, "/s/web.conf").as_deref(), Some("web: web-1b web-2 "));
        let files = renderer.targets[0].desired.snapshot().entries;
        let web = &files[&PathBuf::from("/s/web.conf")];
        assert_eq!((web.template, web.members.len(), files[&PathBuf::from("/s/maint.conf")].members.len()), (1, 2, 0));

        // Only what an answer concerns, and what has gone goes.
        renderer.answers.put(Query::service("api"), Arc::new(Answer::Service(Vec::new())));
        renderer.answers.put(
            Query::services(),
            Arc::new(Answer::Services(
                [("api", ""), ("web", "blue,green,v1")]
                    .map(|(name, tags)| {
                        (name.to_owned(), tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
                    })
                    .into(),
            )),
        );
        renderer.render_until_settled();
        assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/web.conf"]);
        let after = renderer.targets[0].desired.snapshot().entries;
        assert!(Arc::ptr_eq(web, &after[&PathBuf::from("/s/web.conf")]));
        assert_eq!(renderer.text(0, "/s/api.conf").as_deref(), Some("api: "));
        assert!(!renderer.wanted_queries.borrow().contains(&Query::service("maint")), "nobody asks for it any more");
    }

    #[test]
    fn a_record_gives_keys_and_values_and_an_empty_list_no_file() {
        let list = "(lookup (lookup (service \"web\") 0) \"meta\")";
        let mut renderer = renderer_of(vec![vec![each_spec(list, "/{{key}}", "{{key}}={{value}}")]]);
        renderer.render_until_settled();
        assert_eq!(renderer.text(0, "/weight").as_deref(), Some("weight=10"));
        let mut renderer = renderer_of(vec![vec![each_spec("(service \"nobody\")", "/{{id}}", "")]]);
        renderer.render_until_settled();
        let desired = renderer.targets[0].desired.snapshot();
        assert!(desired.complete && desired.entries.is_empty());
    }

    #[test]
    fn what_one_member_lacks_holds_the_target_and_says_which() {
        let text = "{{#if (eq name \"b\")}}{{key \"nope\"}}{{/if}}{{name}}";
        let mut renderer = renderer_of(vec![vec![each_spec(TAGGED, "/{{name}}", text)]]);
        renderer.set_services(&[("a", "x")]);
        renderer.render_until_settled();
        assert_eq!(renderer.files(), ["/a"]);
        renderer.set_services(&[("a", "x"), ("b", "x")]);
        renderer.render_until_settled();
        assert_eq!(renderer.files(), ["/a"], "all or nothing");
        assert_eq!(
            renderer.unrendered_text(),
            "target t0: many.hbs for /b: waits for key \"nope\" (there is no such key)\n"
        );
        renderer.set_key("nope", Some("a;b"));
        renderer.update();
        let held = renderer.held();
        assert!(
            held.starts_with("target t0: service \"b\" is left out: many.hbs:1:22: the value \"a;b\" of"),
            "{held}"
        );
        assert!(held.contains("(for /b)") && renderer.unrendered_text().is_empty(), "{held}");
        renderer.set_services(&[("a", "x")]);
        renderer.update();
        assert!(renderer.unrendered_text().is_empty());
        assert!(!renderer.wanted_queries.borrow().contains(&Query::key("nope")));
    }

    #[test]
    fn a_file_that_data_must_not_name_is_refused_with_its_member() {
        let cases = [
            ("/s/{{name}}", &["a/b"][..], "the value \"a/b\" of `name` (service \"a/b\") holds '/'"),
            ("/s/{{{name}}}", &["../b"], "the value \"../b\" of `name` (service \"../b\") holds '/'"),
            ("/s/{{name}}", &[".."], "begins with a dot"),
            ("/s/{{name}}", &[""], "the value \"\" of `name` (service \"\") is empty"),
            ("/s/x{{#if tags}}{{/if}}", &["a", "b"], "/s/x would be the file of two members, \"a\" and \"b\""),
            ("/{{name}}", &["0"], "/0 is left out: it is also the file of 0.hbs"),
            ("/s/{{nothing}}", &["a"], "destination:1:4: there is no value `nothing` here"),
        ];
        for (destination, names, expected) in cases {
            let mut renderer = renderer_of(vec![vec![spec(0, "fixed"), each_spec("(services)", destination, "x")]]);
            renderer.set_services(&names.iter().map(|name| (*name, "x")).collect::<Vec<_>>());
            renderer.render_until_settled();
            let told: String = renderer.targets[0].logged_warnings.iter().cloned().collect();
            let said = format!("{}{}{told}", renderer.unrendered_text(), renderer.held());
            assert!(said.contains(expected), "{destination}: {said}");
            assert!(renderer.files().iter().all(|file| file == "/0" || names.len() == 2), "{:?}", renderer.files());
        }
        let mut renderer = renderer_of(vec![vec![each_spec("(len \"a\")", "/{{this}}", "x")]]);
        renderer.render_until_settled();
        assert!(
            renderer.unrendered_text().contains("this must give a list or a record"),
            "{}",
            renderer.unrendered_text()
        );
    }

    #[test]
    fn what_each_is_must_be_one_expression() {
        for (each, expected) in [
            ("(services)}} {{x", "this must be one expression"),
            ("#each x", "not closed"),
            ("(sevrices)", "there is no helper `sevrices`"),
            ("", "a name or a value must stand here"),
        ] {
            let error = CompiledTemplate::compile_expression("web.hbs, `each`", each).expect_err(each).to_string();
            assert!(error.starts_with("web.hbs, `each`:1:") && error.contains(expected), "{error}");
        }
    }
}
