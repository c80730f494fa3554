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
    Answers, Book, Books, Inputs, Missing,
    book::{Chapter, HeldSet, HeldSets},
    narrowing::{Found, Narrowing, Trials},
    open::{Open, Why},
    sheet::{Sheet, products},
    unanswered::Unanswered,
};
use crate::{
    core::{
        reconcile::{Cause, Next, Reconcile},
        store::Store,
    },
    registry::{Answer, Query},
    target::{Desired, Digest},
};

/// Renders all templates that an answer concerns, whenever answers change.
pub(super) struct Renderer {
    answers: Store<Query, Arc<Answer>>,
    env: BTreeMap<String, String>,
    pub(super) sets: Vec<Set>,
    books: Books,
    /// The book that `sets` are made from, or that they cannot be made from.
    book: Arc<Book>,
    held: HeldSets,
    /// The templates among those of `sets` that somebody went back to.
    kept: Arc<BTreeMap<usize, Arc<HeldSet>>>,
    /// What all templates asked in their last pass.
    pub(super) wanted: watch::Sender<BTreeSet<Query>>,
    /// What is not rendered yet, and why.
    pub(super) open: watch::Sender<Vec<Open>>,
    unanswered: Unanswered,
    /// When something that is held is tried again.
    retry_at: Option<Instant>,
}

/// The templates of one target: they reach it together or not at all.
#[derive(Debug)]
pub(super) struct Set {
    target: String,
    /// What `sheets` are made from.
    chapter: Arc<Chapter>,
    pub(super) sheets: Vec<Sheet>,
    /// Whether the target is pinned to them.
    is_pinned: bool,
    /// What was complete before templates were read again: it stays in force until `sheets` are complete.
    former: Option<Former>,
    pub(super) desired: Desired,
    /// What its templates have left out, as the log has it.
    told: BTreeSet<String>,
    /// What is kept out of its files, shared with its worker.
    pub(super) narrowing: Narrowing,
    /// The answers of the last render, in which held items were put back.
    used: Answers,
    /// Failures that no change of the answers has caused, and whether the templates were proven.
    hopeless: (Vec<Open>, bool),
    /// Queries behind an error, whose answers the search for its cause needs.
    awaited: BTreeSet<Query>,
}

/// Templates that others are to take the place of.
#[derive(Debug)]
struct Former {
    chapter: Arc<Chapter>,
    sheets: Vec<Sheet>,
}

impl Reconcile for Renderer {
    async fn pass(&mut self, _: Cause) -> Next {
        self.look();
        let next = self.tell_unanswered();
        let retry = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        match (next, retry) {
            (Next::After(next), Some(retry)) => Next::After(next.min(retry)),
            (_, Some(retry)) => Next::After(retry),
            (next, None) => next,
        }
    }
}

impl Renderer {
    pub(super) fn new(
        answers: Store<Query, Arc<Answer>>,
        env: BTreeMap<String, String>,
        books: Books,
        held: HeldSets,
        sets: Vec<Set>,
    ) -> Self {
        let kept = held.snapshot().entries;
        let book = books.snapshot().entries.get(&()).cloned().unwrap_or_default();
        let (wanted, open) = (watch::Sender::default(), watch::Sender::default());
        let unanswered = Unanswered::default();
        Self { answers, env, sets, books, book, held, kept, wanted, open, unanswered, retry_at: None }
    }

    fn look(&mut self) {
        let kept = self.held.snapshot().entries;
        if let Some(book) = self.books.snapshot().entries.get(&())
            && (!Arc::ptr_eq(book, &self.book) || !Arc::ptr_eq(&kept, &self.kept))
        {
            self.take(Arc::clone(book), kept);
        }
        let answers = self.answers.snapshot().entries;
        self.render(&answers);
    }

    /// Says which queries get no answer, and when to look again.
    fn tell_unanswered(&mut self) -> Next {
        let (overdue, next) = self.unanswered.note(&self.open.borrow(), Instant::now().into_std());
        for overdue in overdue {
            let target_name = &overdue.target;
            tracing::warn!(target_name, "{overdue}; what is in effect stays until then");
        }
        next.map_or(Next::Idle, Next::After)
    }

    /// Goes on with other templates. The answers and the watches stay.
    fn take(&mut self, book: Arc<Book>, kept: Arc<BTreeMap<usize, Arc<HeldSet>>>) {
        let fits = self.sets.len() == book.chapters.len()
            && self.sets.iter().zip(&book.chapters).all(|(set, chapter)| set.fits(chapter));
        if fits {
            for (at, (set, chapter)) in self.sets.iter_mut().zip(&book.chapters).enumerate() {
                let held = kept.get(&at);
                set.turn(held.map_or(chapter, |held| &held.chapter));
                set.is_pinned = held.is_some();
                if let Some(HeldSet { target, number, .. }) = held.map(Arc::as_ref)
                    && self.book.chapters.get(at) != Some(chapter)
                {
                    tracing::warn!(
                        target_name = target,
                        "target {target}: a change of its templates is withheld, since it is pinned to version {number}; \
                         `portreeve render rollback --release` unpins it"
                    );
                }
            }
            if !Arc::ptr_eq(&book, &self.book) {
                tracing::info!("the templates were read again");
            }
        } else {
            tracing::error!("the templates were read again for other files than ours: the ones before stay in force");
        }
        (self.book, self.kept) = (book, kept);
    }

    pub(super) fn render(&mut self, answers: &Answers) {
        let (env, now) = (&self.env, Instant::now());
        self.retry_at = self.sets.iter_mut().filter_map(|set| set.render(answers, env, now)).min();
        self.refuse_conflicts();
        self.sets.iter_mut().for_each(Set::publish);
        let awaited = self.sets.iter().flat_map(|set| set.awaited.iter().cloned());
        let held: BTreeSet<_> = self.sets.iter().flat_map(|set| set.narrowing.queries()).chain(awaited).collect();
        let mut wanted: BTreeSet<_> = self.sets.iter().flat_map(Set::all).flat_map(Sheet::asked).collect();
        wanted.extend(&held);
        // Most often they are the same, and then not one of them is copied.
        if !self.wanted.borrow().iter().eq(wanted.iter().copied()) {
            self.wanted.send_replace(wanted.into_iter().cloned().collect());
        }
        let open: Vec<_> = self.sets.iter().flat_map(Set::open).collect();
        if *self.open.borrow() != open {
            self.open.send_replace(open);
        }
    }

    /// No two templates write one file. What the settings name goes first.
    fn refuse_conflicts(&mut self) {
        let mut taken: BTreeMap<PathBuf, String> =
            self.sets.iter().flat_map(|set| &set.sheets).filter_map(Sheet::fixed).collect();
        self.sets.iter_mut().for_each(|set| set.claim(&mut taken));
    }
}

impl Set {
    pub(super) fn new(target: impl Into<String>, chapter: &Chapter) -> Self {
        let target = target.into();
        Self {
            narrowing: Narrowing::new(target.clone()),
            target,
            chapter: Arc::new(chapter.clone()),
            sheets: sheets(chapter),
            is_pinned: false,
            former: None,
            desired: Store::default(),
            told: BTreeSet::new(),
            used: Answers::new(),
            hopeless: Default::default(),
            awaited: BTreeSet::new(),
        }
    }

    /// Renders what an answer concerns that has changed, without what is held. Returns when that is tried again.
    fn render(&mut self, answers: &Answers, env: &BTreeMap<String, String>, now: Instant) -> Option<Instant> {
        let (held, retry_at) = self.narrowing.held(answers, now.into_std());
        let merged = (!held.is_empty()).then(|| self.narrowing.put_back(answers, &held));
        let seen = merged.as_ref().unwrap_or(answers);
        let inputs = Inputs { answers: seen, env, item: &Value::Null };
        self.all_mut().for_each(|sheet| sheet.render(inputs));
        let asked = self.all().flat_map(Sheet::asked).filter_map(|query| seen.get_key_value(query));
        self.used = asked.map(|(query, answer)| (query.clone(), Arc::clone(answer))).collect();
        if self.narrow(seen, env, now) { self.render(answers, env, now) } else { retry_at.map(Instant::from_std) }
    }

    /// Holds the values because of which a template fails. Returns whether there is something new to hold.
    fn narrow(&mut self, seen: &Answers, env: &BTreeMap<String, String>, now: Instant) -> bool {
        let failed: Vec<_> = self.all().flat_map(|sheet| sheet.open(&self.target)).filter(Open::is_failure).collect();
        self.awaited.clear();
        let is_proven = self.narrowing.is_proven(&self.chapter);
        if failed.is_empty() || (&failed, is_proven) == (&self.hopeless.0, self.hopeless.1) {
            return false;
        }
        let former = self.former.as_ref().map(|former| (&former.sheets, &former.chapter));
        for (sheets, chapter) in [Some((&self.sheets, &self.chapter)), former].into_iter().flatten() {
            if !sheets.iter().flat_map(|sheet| sheet.open(&self.target)).any(|open| open.is_failure()) {
                continue;
            }
            let proven = self.narrowing.is_proven(chapter);
            // All that is known, since an error hides what is asked behind it.
            let mut trials = Trials::new(sheets.clone(), env, self.narrowing.good(), seen.clone(), proven);
            match trials.run() {
                Found::Culprits(culprits) => {
                    self.narrowing.hold(culprits, seen, None, now.into_std());
                    return true;
                }
                Found::Nothing | Found::NotTheAnswers => self.awaited.extend(trials.into_unanswered()),
            }
        }
        self.hopeless = if self.awaited.is_empty() { (failed, is_proven) } else { Default::default() };
        false
    }

    fn all(&self) -> impl Iterator<Item = &Sheet> {
        self.sheets.iter().chain(self.former.iter().flat_map(|former| &former.sheets))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Sheet> {
        self.sheets.iter_mut().chain(self.former.iter_mut().flat_map(|former| &mut former.sheets))
    }

    /// A template whose failure is searched for in answers that are still to come is not known to fail.
    fn open(&self) -> impl Iterator<Item = Open> {
        let awaited: BTreeMap<_, _> = self.awaited.iter().map(|query| (query.clone(), Missing::Answer)).collect();
        self.sheets.iter().flat_map(|sheet| sheet.open(&self.target)).map(move |open| {
            let waits = open.is_failure() && !awaited.is_empty();
            if waits { Open { why: Why::Missing(awaited.clone()), ..open } } else { open }
        })
    }

    fn fits(&self, chapter: &Chapter) -> bool {
        self.sheets.len() == chapter.len() && self.sheets.iter().zip(chapter).all(|(sheet, page)| sheet.fits(page))
    }

    /// Takes the place of the templates before, which they [fit](Self::fits).
    pub(super) fn turn(&mut self, chapter: &Chapter) {
        if self.sheets.iter().zip(chapter).all(|(sheet, page)| sheet.is(page)) {
            return;
        }
        if products(&self.sheets).is_some() {
            self.former = Some(Former { chapter: Arc::clone(&self.chapter), sheets: self.sheets.clone() });
        }
        self.chapter = Arc::new(chapter.clone());
        self.sheets.iter_mut().zip(chapter).for_each(|(sheet, page)| sheet.turn(page.clone()));
    }

    /// The former templates write the same files: theirs count only while the new ones are not complete.
    fn claim(&mut self, taken: &mut BTreeMap<PathBuf, String>) {
        let before = self.former.is_some().then(|| taken.clone());
        self.sheets.iter_mut().for_each(|sheet| sheet.claim(taken));
        if let Some(before) = before.filter(|_| products(&self.sheets).is_none()) {
            *taken = before;
            self.former.iter_mut().flat_map(|former| &mut former.sheets).for_each(|sheet| sheet.claim(taken));
        }
    }

    /// What the target has stays in force until all of it can be replaced.
    fn publish(&mut self) {
        let made = match products(&self.sheets) {
            Some(files) => {
                self.former = None;
                Some((files, &self.chapter))
            }
            None => self.former.as_ref().and_then(|former| Some((products(&former.sheets)?, &former.chapter))),
        };
        if let Some((files, chapter)) = made {
            let is_pinned = self.is_pinned && self.former.is_none();
            self.narrowing.made(Digest::of_files(&files), Arc::clone(chapter), self.used.clone(), is_pinned);
            self.desired.replace(files);
            self.tell_remarks();
        }
    }

    /// Says what is left out, once per change.
    fn tell_remarks(&mut self) {
        let remarks: BTreeSet<_> = self.all().flat_map(Sheet::remarks).collect();
        for remark in remarks.difference(&self.told) {
            tracing::warn!(target_name = self.target, "target {}: {remark}", self.target);
        }
        self.told = remarks;
    }
}

/// Templates that nothing is rendered from yet.
pub(super) fn sheets(chapter: &Chapter) -> Vec<Sheet> {
    chapter.iter().enumerate().map(|(number, page)| Sheet::new(number, page.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ServiceRecord;
    use crate::render::{
        Escape, Template, Why,
        book::{Each, Page, Place},
        tests::answer,
    };

    fn template(name: &str, text: &str, escape: Escape) -> Template {
        Template::compile(name, text, escape).unwrap_or_else(|error| panic!("{error}"))
    }

    fn page(number: usize, text: &str) -> Page {
        let place = Place::File(PathBuf::from(format!("/{number}")));
        Page { body: template(&format!("{number}.hbs"), text, Escape::Nginx), place }
    }

    fn pages(each: &str, destination: &str, text: &str) -> Page {
        let list = Template::expression("each", each).unwrap_or_else(|error| panic!("{error}"));
        let path = template("destination", destination, Escape::Path);
        Page { body: template("many.hbs", text, Escape::Nginx), place: Place::Each(Box::new(Each { list, path })) }
    }

    fn renderer_of(chapters: Vec<Chapter>) -> Renderer {
        let books = Books::default();
        let book = Arc::new(Book::of(chapters));
        let sets =
            book.chapters.iter().enumerate().map(|(number, chapter)| Set::new(format!("t{number}"), chapter)).collect();
        books.put((), book);
        Renderer::new(Store::beside(&books), BTreeMap::new(), books, HeldSets::default(), sets)
    }

    fn chapters(sets: &[&[&str]]) -> Vec<Chapter> {
        let chapter = |texts: &&[&str]| texts.iter().enumerate().map(|(number, text)| page(number, text)).collect();
        sets.iter().map(chapter).collect()
    }

    fn renderer(sets: &[&[&str]]) -> Renderer {
        renderer_of(chapters(sets))
    }

    impl Renderer {
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
        assert_eq!(
            renderer.open.borrow()[0].to_string(),
            "target t0: 0.hbs: waits for key \"a\" (there is no such key)"
        );
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
        renderer.settle();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=x 10"), "there is no earlier value");
        renderer.accept();
        set(&renderer, &[("1", "b;"), ("2", "y"), ("3", "a;"), ("4", "x")]);
        renderer.set_key("max", Some("1 1"));
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=y 4=x 10"));
        assert_eq!(renderer.held().matches("target t0: ").count(), 3, "{}", renderer.held());
        renderer.accept();
        // A removal takes effect, and what is good again too.
        set(&renderer, &[("1", "z"), ("3", "a;"), ("4", "x")]);
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=z 4=x 10"));
        set(&renderer, &[("4", "x")]);
        renderer.set_key("max", Some("11"));
        renderer.look();
        assert_eq!((renderer.text(0, "/0").as_deref(), renderer.held().as_str()), (Some("4=x 11"), ""));
    }

    #[test]
    fn a_mistake_in_a_template_does_not_empty_its_files() {
        let mut renderer = renderer(&[&["{{#each (services)}}{{#if (ne name \"consul\")}}{{nmae}}{{/if}}{{/each}}"]]);
        renderer.settle();
        assert!(renderer.files().is_empty() && renderer.held().is_empty(), "{}", renderer.held());
        assert!(renderer.trouble().contains("there is no value `nmae`"), "{}", renderer.trouble());
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
        renderer.settle();
        assert_eq!(renderer.wanted.borrow().len(), 62);
        renderer.set_key("a", Some("1;"));
        for round in 0..5 {
            set(&renderer, &named(&format!("r{round}")));
            renderer.settle();
            assert!(matches!(renderer.open.borrow()[0].why, Why::Failed(_)));
            assert_eq!(renderer.wanted.borrow().len(), 122, "the last good render's and the present one's");
        }
        set(&renderer, &[]);
        renderer.settle();
        assert_eq!(renderer.wanted.borrow().len(), 62);
        renderer.set_key("a", Some("1"));
        renderer.settle();
        assert_eq!(renderer.wanted.borrow().len(), 2);
    }

    #[test]
    fn a_former_template_goes_on_until_the_new_one_is_complete() {
        let set = |text: &str| chapters(&[&[text, "{{keyOr \"b\" \"-\"}}"]]);
        let mut renderer = renderer_of(set("{{#each (service \"web\")}}{{id}} {{/each}}"));
        renderer.settle();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("web-1b web-2 "));
        renderer.books.put((), Arc::new(Book::of(set("{{key \"silent\"}}"))));
        renderer.look();
        renderer.answers.put(Query::service("web"), Arc::new(Answer::Service(Vec::new())));
        renderer.set_key("b", Some("2"));
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some(""), "a removal takes effect");
        assert_eq!(renderer.text(0, "/1").as_deref(), Some("2"));
        assert_eq!(renderer.trouble(), "target t0: 0.hbs: waits for key \"silent\" (not answered yet)\n");
        // What is saved meanwhile replaces the template that waits, not the one in force.
        renderer.books.put((), Arc::new(Book::of(set("{{key \"nope\"}}"))));
        renderer.settle();
        renderer.set_key("b", Some("3"));
        renderer.look();
        assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["", "3"]);
        renderer.set_key("nope", Some("new"));
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new"));
        assert_eq!(*renderer.wanted.borrow(), BTreeSet::from([Query::key("b"), Query::key("nope")]));
    }

    #[test]
    fn a_new_book_renders_with_the_answers_that_are_known() {
        let set = |first: &str| chapters(&[&[first, "{{keyOr \"b\" \"-\"}}"]]);
        let mut renderer = renderer_of(set("{{keyOr \"a\" \"1\"}}"));
        renderer.settle();
        let (bell, before) = (renderer.wanted.subscribe(), renderer.sets[0].desired.snapshot().entries);
        renderer.books.put((), Arc::new(Book::of(set("new {{keyOr \"a\" \"1\"}}"))));
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "in one pass");
        assert!(!bell.has_changed().expect("the renderer lives"), "nothing is asked anew");
        let after = renderer.sets[0].desired.snapshot().entries;
        let same = Arc::ptr_eq(&before[&PathBuf::from("/1")], &after[&PathBuf::from("/1")]);
        assert!(same, "what is as it was is not rendered again");
        renderer.books.put((), Arc::new(Book::of(set("{{key \"which\"}}"))));
        renderer.settle();
        assert_eq!(*renderer.wanted.borrow(), ["a", "b", "which"].map(Query::key).into());
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "until it can be replaced");
    }

    #[test]
    fn a_book_for_other_files_is_refused() {
        let mut renderer = renderer(&[&["a"]]);
        renderer.settle();
        for other in [vec![], vec![vec![page(1, "b")]], vec![vec![page(0, "b"), page(1, "c")]]] {
            renderer.books.put((), Arc::new(Book::of(other)));
            renderer.look();
            assert_eq!(renderer.text(0, "/0").as_deref(), Some("a"));
        }
        renderer.books.put((), Arc::new(Book::of(chapters(&[&["b"]]))));
        renderer.look();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("b"));
    }

    const TAGGED: &str = "(where (services) \"tags\")";

    impl Renderer {
        fn files(&self) -> Vec<String> {
            let files = self.sets[0].desired.snapshot().entries;
            files.keys().map(|path| path.display().to_string()).collect()
        }

        fn set_services(&self, services: &[(&str, &str)]) {
            let tags = |tag: &str| vec![tag.to_owned()];
            let services = services.iter().map(|(name, tag)| (name.to_string(), tags(tag))).collect();
            self.answers.put(Query::services(), Arc::new(Answer::Services(services)));
        }

        fn held(&self) -> String {
            self.sets[0].narrowing.reasons().iter().map(|reason| format!("{reason}\n")).collect()
        }

        /// The target takes what it is given.
        fn accept(&self) {
            let set = &self.sets[0];
            set.narrowing.accepted(Digest::of_files(&set.desired.snapshot().entries));
        }

        fn trouble(&self) -> String {
            self.open.borrow().iter().map(|open| format!("{open}\n")).collect()
        }
    }

    #[test]
    fn a_list_gives_a_file_for_each_member() {
        let text = "{{name}}: {{#each (service name)}}{{id}} {{/each}}";
        let pages = pages("(services)", "/s/{{name}}.{{keyOr \"suffix\" \"conf\"}}", text);
        let mut renderer = renderer_of(vec![vec![page(0, "fixed"), pages]]);
        assert_eq!(renderer.settle(), 4, "the list, the names, the texts, and all of it");
        assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/consul.conf", "/s/maint.conf", "/s/web.conf"]);
        assert_eq!(renderer.text(0, "/s/web.conf").as_deref(), Some("web: web-1b web-2 "));
        let files = renderer.sets[0].desired.snapshot().entries;
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
        renderer.settle();
        assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/web.conf"]);
        let after = renderer.sets[0].desired.snapshot().entries;
        assert!(Arc::ptr_eq(web, &after[&PathBuf::from("/s/web.conf")]));
        assert_eq!(renderer.text(0, "/s/api.conf").as_deref(), Some("api: "));
        assert!(!renderer.wanted.borrow().contains(&Query::service("maint")), "nobody asks for it any more");
    }

    #[test]
    fn a_record_gives_keys_and_values_and_an_empty_list_no_file() {
        let list = "(lookup (lookup (service \"web\") 0) \"meta\")";
        let mut renderer = renderer_of(vec![vec![pages(list, "/{{key}}", "{{key}}={{value}}")]]);
        renderer.settle();
        assert_eq!(renderer.text(0, "/weight").as_deref(), Some("weight=10"));
        let mut renderer = renderer_of(vec![vec![pages("(service \"nobody\")", "/{{id}}", "")]]);
        renderer.settle();
        let desired = renderer.sets[0].desired.snapshot();
        assert!(desired.complete && desired.entries.is_empty());
    }

    #[test]
    fn what_one_member_lacks_holds_the_target_and_says_which() {
        let text = "{{#if (eq name \"b\")}}{{key \"nope\"}}{{/if}}{{name}}";
        let mut renderer = renderer_of(vec![vec![pages(TAGGED, "/{{name}}", text)]]);
        renderer.set_services(&[("a", "x")]);
        renderer.settle();
        assert_eq!(renderer.files(), ["/a"]);
        renderer.set_services(&[("a", "x"), ("b", "x")]);
        renderer.settle();
        assert_eq!(renderer.files(), ["/a"], "all or nothing");
        assert_eq!(renderer.trouble(), "target t0: many.hbs for /b: waits for key \"nope\" (there is no such key)\n");
        renderer.set_key("nope", Some("a;b"));
        renderer.look();
        let held = renderer.held();
        assert!(
            held.starts_with("target t0: service \"b\" is left out: many.hbs:1:22: the value \"a;b\" of"),
            "{held}"
        );
        assert!(held.contains("(for /b)") && renderer.trouble().is_empty(), "{held}");
        renderer.set_services(&[("a", "x")]);
        renderer.look();
        assert!(renderer.trouble().is_empty());
        assert!(!renderer.wanted.borrow().contains(&Query::key("nope")));
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
            let mut renderer = renderer_of(vec![vec![page(0, "fixed"), pages("(services)", destination, "x")]]);
            renderer.set_services(&names.iter().map(|name| (*name, "x")).collect::<Vec<_>>());
            renderer.settle();
            let told: String = renderer.sets[0].told.iter().cloned().collect();
            let said = format!("{}{}{told}", renderer.trouble(), renderer.held());
            assert!(said.contains(expected), "{destination}: {said}");
            assert!(renderer.files().iter().all(|file| file == "/0" || names.len() == 2), "{:?}", renderer.files());
        }
        let mut renderer = renderer_of(vec![vec![pages("(len \"a\")", "/{{this}}", "x")]]);
        renderer.settle();
        assert!(renderer.trouble().contains("this must give a list or a record"), "{}", renderer.trouble());
    }

    #[test]
    fn what_each_is_must_be_one_expression() {
        for (each, expected) in [
            ("(services)}} {{x", "this must be one expression"),
            ("#each x", "not closed"),
            ("(sevrices)", "there is no helper `sevrices`"),
            ("", "a name or a value must stand here"),
        ] {
            let error = Template::expression("web.hbs, `each`", each).expect_err(each).to_string();
            assert!(error.starts_with("web.hbs, `each`:1:") && error.contains(expected), "{error}");
        }
    }
}
