//! What has to be done, from what is seen. Pure.
//!
//! Files are replaced in two phases: everything that can fail without harm comes first, then the swap. In between, what
//! is owed is written down: which files change, what they were, and that nobody has proven the new ones yet. Whoever
//! finds that note later, this process or the next, either proves the files or brings the former ones back.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{files::Access, rendered::Digest};

/// All that a plan is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Whether all templates of the target have rendered.
    pub(crate) complete: bool,
    /// The target's files, by destination.
    pub(crate) files: BTreeMap<PathBuf, File>,
    /// What an earlier pass could not bring to its end.
    pub(crate) owed: Option<Owed>,
    /// Whether what is wanted was refused, with everything that matters for it as it is now.
    pub(crate) bad: bool,
    /// Whether the check has refused what is present, in this pass.
    pub(crate) stuck: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// What its template became.
    pub(crate) wanted: Option<Digest>,
    /// What lies there.
    pub(crate) present: Option<Version>,
}

/// A content, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) digest: Digest,
    pub(crate) access: Access,
}

/// A note that survives a crash: files were, or are about to be, replaced, and a reload is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) changes: BTreeMap<PathBuf, Change>,
    /// The new contents have failed: only the former ones may become effective.
    pub(crate) back: bool,
}

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The content that was last known to be in effect; its bytes are saved. Nothing: there was no file.
    pub(crate) former: Option<Version>,
    pub(crate) new: Digest,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Have copies of these contents checked.
    Check(Contents),
    /// Write what is wanted beside the destination.
    Stage(PathBuf),
    /// Keep what lies at the destination for a way back.
    Save(PathBuf),
    /// Write down what is owed.
    Owe(Owed),
    /// Put what was staged in its place.
    Swap(PathBuf),
    /// Put the former content back; nothing: remove the file.
    Restore(PathBuf, Option<Version>),
    /// Tell who uses the files.
    Reload,
    /// Bring the new name of a file onto the disk.
    Sync(PathBuf),
    /// Wait until the files are in effect.
    Verify,
    /// Nothing is owed any more.
    Settle,
}

/// Which contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Those that the templates became.
    Wanted,
    /// Those that lie at the destinations.
    Present,
}

/// The steps that bring the files in line with what is wanted, or bring an earlier pass to its end.
pub(crate) fn plan(observed: &Observed) -> Vec<Step> {
    let changed = observed.changed();
    let may_replace = observed.complete && !observed.bad && !changed.is_empty();
    let Some(owed) = &observed.owed else {
        return if may_replace { replace(observed, &changed, &Owed::default()) } else { Vec::new() };
    };
    let restore = restore(observed, owed);
    let has_failed = owed.back || !(may_replace || observed.is_whole(owed));
    match () {
        // First what was in effect is to be in effect again; the next plan goes on from there.
        () if has_failed && !restore.is_empty() => restore,
        () if may_replace && (!owed.back || observed.stuck) => replace(observed, &changed, owed),
        () if observed.stuck => Vec::new(),
        () => prove(observed),
    }
}

/// The steps after one of [`Step::Swap`], [`Step::Reload`] or [`Step::Verify`] has failed; none if there is nothing to
/// go back to. `reload`: whether anybody may know the new files by now.
pub(crate) fn recover(observed: &Observed, reload: bool) -> Vec<Step> {
    let mut steps = observed.owed.as_ref().map_or_else(Vec::new, |owed| restore(observed, owed));
    steps.retain(|step| reload || !matches!(step, Step::Reload | Step::Verify));
    steps
}

fn replace(observed: &Observed, changed: &BTreeMap<&PathBuf, Digest>, owed: &Owed) -> Vec<Step> {
    let mut note = Owed { back: false, ..owed.clone() };
    let mut save = Vec::new();
    for (path, new) in changed {
        let present = observed.files[*path].present;
        // A file whose last change is not proven keeps the former content that it has.
        let change = note.changes.entry((*path).clone()).or_insert_with(|| {
            save.extend(present.map(|_| Step::Save((*path).clone())));
            Change { former: present, new: *new }
        });
        change.new = *new;
    }
    let each = |step: fn(PathBuf) -> Step| changed.keys().map(move |path| step((*path).clone()));
    let mut steps = vec![Step::Check(Contents::Wanted)];
    steps.extend(each(Step::Stage).chain(save));
    steps.push(Step::Owe(note));
    steps.extend(each(Step::Swap).chain([Step::Reload]).chain(each(Step::Sync)));
    steps.extend([Step::Verify, Step::Settle]);
    steps
}

/// All files are as they should be, and only the proof is missing. Before anybody is told, the check has a look: what it
/// refuses would fail again and again. Unless a file is missing, which no check may be expected to bear.
fn prove(observed: &Observed) -> Vec<Step> {
    let all_there = observed.files.values().all(|file| file.present.is_some());
    let check = all_there.then_some(Step::Check(Contents::Present));
    check.into_iter().chain([Step::Reload, Step::Verify, Step::Settle]).collect()
}

/// Puts all former contents back; nothing if they are there.
fn restore(observed: &Observed, owed: &Owed) -> Vec<Step> {
    let differs = |(path, change): &(&PathBuf, &Change)| {
        let file = observed.files.get(*path);
        file.is_some_and(|file| file.digest() != change.former.map(|former| former.digest))
    };
    let files: Vec<_> = owed.changes.iter().filter(differs).collect();
    let mut steps = Vec::new();
    if files.is_empty() {
        return steps;
    }
    if !owed.back {
        steps.push(Step::Owe(Owed { back: true, ..owed.clone() }));
    }
    steps.extend(files.iter().map(|(path, change)| Step::Restore((*path).clone(), change.former)));
    steps.push(Step::Reload);
    steps.extend(files.iter().map(|(path, _)| Step::Sync((*path).clone())));
    steps.extend([Step::Verify, Step::Settle]);
    steps
}

impl Observed {
    /// Whether a file is not as it is wanted.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed().is_empty()
    }

    fn changed(&self) -> BTreeMap<&PathBuf, Digest> {
        let changed = |(path, file): (_, &File)| {
            file.wanted.filter(|wanted| file.digest() != Some(*wanted)).map(|wanted| (path, wanted))
        };
        self.files.iter().filter_map(changed).collect()
    }

    /// Whether what lies there belongs together: the swap was not cut short, or was made up for.
    fn is_whole(&self, owed: &Owed) -> bool {
        let is_swapped = |(path, change): (&PathBuf, &Change)| {
            self.files.get(path).is_none_or(|file| file.digest() == Some(change.new))
        };
        (self.complete && self.changed().is_empty()) || owed.changes.iter().all(is_swapped)
    }
}

impl File {
    fn digest(&self) -> Option<Digest> {
        self.present.map(|present| present.digest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ACCESS: Access = Access { mode: 0o644, uid: 0, gid: 0 };

    type Files = BTreeMap<PathBuf, u8>;

    fn digest(content: u8) -> Digest {
        Digest::of(&[&[content]])
    }

    /// A disk, a state directory, and a program that uses the files.
    #[derive(Clone, Debug, Default)]
    struct World {
        wanted: Files,
        complete: bool,
        disk: Files,
        staged: Files,
        effective: Files,
        saved: BTreeSet<u8>,
        owed: Option<Owed>,
        bad: bool,
        /// The program refuses any set of files in which this content is.
        poison: Option<u8>,
        touched: BTreeSet<PathBuf>,
    }

    impl World {
        fn observe(&self) -> Observed {
            let version = |content: &u8| Version { digest: digest(*content), access: ACCESS };
            let file = |path: &PathBuf| File {
                wanted: self.wanted.get(path).copied().map(digest).filter(|_| self.complete),
                present: self.disk.get(path).map(version),
            };
            Observed {
                complete: self.complete,
                files: self.wanted.keys().map(|path| (path.clone(), file(path))).collect(),
                owed: self.owed.clone(),
                bad: self.bad,
                stuck: false,
            }
        }

        fn content(&self, of: Digest) -> u8 {
            *self.saved.iter().find(|saved| digest(**saved) == of).expect("it was saved")
        }

        /// Carries a step out; false if the program refuses the files.
        fn apply(&mut self, step: Step) -> bool {
            match step {
                Step::Check(_) => {}
                Step::Stage(path) => {
                    self.staged.insert(path.clone(), self.wanted[&path]);
                }
                Step::Save(path) => {
                    self.saved.insert(self.disk[&path]);
                }
                Step::Owe(owed) => self.owed = Some(owed),
                Step::Swap(path) => {
                    let content = self.staged.remove(&path).expect("it was staged");
                    self.disk.insert(path.clone(), content);
                    self.touched.insert(path);
                }
                Step::Restore(path, former) => {
                    match former.map(|former| self.content(former.digest)) {
                        Some(content) => self.disk.insert(path.clone(), content),
                        None => self.disk.remove(&path),
                    };
                    self.touched.insert(path);
                }
                Step::Reload if self.disk.values().any(|content| Some(*content) == self.poison) => return false,
                Step::Reload => self.effective = self.disk.clone(),
                Step::Sync(_) | Step::Verify => {}
                Step::Settle => self.owed = None,
            }
            true
        }

        /// One pass, as the executor makes it, cut short after so many steps. False if it was.
        fn pass(&mut self, mut steps_left: usize) -> bool {
            self.staged.clear();
            for step in plan(&self.observe()) {
                if steps_left == 0 {
                    return false;
                }
                steps_left -= 1;
                if !self.apply(step) {
                    for step in recover(&self.observe(), true) {
                        if steps_left == 0 {
                            return false;
                        }
                        steps_left -= 1;
                        assert!(self.apply(step), "the former files are good");
                    }
                    self.bad = true;
                    return true;
                }
            }
            true
        }

        fn is_settled(&self) -> bool {
            self.owed.is_none() && self.effective == self.disk
        }
    }

    /// Files and what is wanted of them; contents 0 to 2.
    fn worlds() -> impl Strategy<Value = World> {
        let file = (prop::option::of(0..3_u8), 0..3_u8);
        prop::collection::vec(file, 1..4).prop_map(|files| {
            let named = || files.iter().enumerate().map(|(at, file)| (PathBuf::from(format!("/{at}")), file));
            let disk: Files = named().filter_map(|(path, (present, _))| Some((path, (*present)?))).collect();
            let wanted = named().map(|(path, (_, wanted))| (path, *wanted)).collect();
            World { wanted, complete: true, effective: disk.clone(), disk, ..World::default() }
        })
    }

    proptest! {
        #[test]
        fn equal_states_plan_nothing(mut world in worlds()) {
            world.disk = world.wanted.clone();
            prop_assert_eq!(plan(&world.observe()), []);
        }

        #[test]
        fn half_a_picture_plans_nothing(mut world in worlds()) {
            world.complete = false;
            prop_assert_eq!(plan(&world.observe()), []);
        }

        #[test]
        fn what_is_refused_plans_nothing(mut world in worlds()) {
            world.bad = true;
            prop_assert_eq!(plan(&world.observe()), []);
        }

        #[test]
        fn however_often_it_is_killed_it_gets_there(mut world in worlds(), kills in prop::collection::vec(0..16_usize, 0..5)) {
            let foreign = PathBuf::from("/foreign");
            world.disk.insert(foreign.clone(), 9);
            world.effective.insert(foreign.clone(), 9);
            for steps in kills {
                world.pass(steps);
            }
            // One pass may only bring an earlier one to its end.
            world.pass(usize::MAX);
            world.pass(usize::MAX);
            prop_assert!(world.is_settled(), "{:?}", world);
            prop_assert!(world.wanted.iter().all(|(path, wanted)| world.disk.get(path) == Some(wanted)), "{:?}", world);
            prop_assert!(!world.touched.contains(&foreign) && world.disk[&foreign] == 9);
            prop_assert_eq!(plan(&world.observe()), []);
        }

        #[test]
        fn what_fails_is_taken_back_however_often_it_is_killed(
            mut world in worlds(),
            kills in prop::collection::vec(0..16_usize, 0..5),
            lose_upstream in any::<bool>(),
        ) {
            let before = world.disk.clone();
            world.poison = Some(7);
            let (path, _) = world.wanted.pop_first().expect("at least one");
            world.wanted.insert(path, 7);
            for steps in kills {
                world.pass(steps);
                // A new process has forgotten what it refused.
                world.bad = false;
            }
            world.complete = !lose_upstream;
            world.pass(usize::MAX);
            world.pass(usize::MAX);
            prop_assert!(world.is_settled(), "{:?}", world);
            prop_assert_eq!(&world.disk, &before);
            prop_assert_eq!(plan(&world.observe()), []);
        }

        #[test]
        fn only_own_files_are_named(world in worlds(), owed in worlds(), back: bool, complete: bool) {
            let change = |(path, new): (&PathBuf, &u8)| (path.clone(), Change { former: None, new: digest(*new) });
            let changes = owed.wanted.iter().map(change).collect();
            let mut observed = World { complete, ..world }.observe();
            observed.owed = Some(Owed { changes, back });
            for step in plan(&observed).into_iter().chain(recover(&observed, true)) {
                if let Step::Stage(path) | Step::Save(path) | Step::Swap(path) | Step::Restore(path, _) = step {
                    prop_assert!(observed.files.contains_key(&path));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_made_effective_again_gives_way_to_what_is_wanted_only_if_the_check_refuses_it() {
        let path = PathBuf::from("/a");
        let version = |content| Version { digest: digest(content), access: ACCESS };
        let file = File { wanted: Some(digest(1)), present: Some(version(0)) };
        let changes = BTreeMap::from([(path.clone(), Change { former: Some(version(0)), new: digest(1) })]);
        let owed = Some(Owed { changes, back: true });
        let mut observed =
            Observed { complete: true, files: BTreeMap::from([(path, file)]), owed, ..Observed::default() };
        assert_eq!(plan(&observed)[0], Step::Check(Contents::Present));
        observed.stuck = true;
        assert_eq!(plan(&observed)[0], Step::Check(Contents::Wanted));
        observed.bad = true;
        assert_eq!(plan(&observed), []);
    }

    #[test]
    fn no_check_has_to_bear_that_a_file_is_missing() {
        let path = PathBuf::from("/a");
        let changes = BTreeMap::from([(path.clone(), Change { former: None, new: digest(1) })]);
        let files = BTreeMap::from([(path, File { wanted: Some(digest(1)), present: None })]);
        let owed = Some(Owed { changes, back: true });
        let observed = Observed { complete: true, files, owed, ..Observed::default() };
        assert_eq!(plan(&observed), [Step::Reload, Step::Verify, Step::Settle]);
    }

    #[test]
    fn all_is_staged_saved_and_noted_before_the_first_swap() {
        let paths = ["/a", "/b"].map(PathBuf::from);
        let mut world = World { complete: true, ..World::default() };
        world.wanted = paths.iter().map(|path| (path.clone(), 1)).collect();
        world.disk.insert(paths[0].clone(), 0);
        let [a, b] = paths;
        let former = Some(Version { digest: digest(0), access: ACCESS });
        let change = |former| Change { former, new: digest(1) };
        let changes = BTreeMap::from([(a.clone(), change(former)), (b.clone(), change(None))]);
        let steps = [
            Step::Check(Contents::Wanted),
            Step::Stage(a.clone()),
            Step::Stage(b.clone()),
            Step::Save(a.clone()),
            Step::Owe(Owed { changes, back: false }),
            Step::Swap(a.clone()),
            Step::Swap(b.clone()),
            Step::Reload,
            Step::Sync(a.clone()),
            Step::Sync(b.clone()),
            Step::Verify,
            Step::Settle,
        ];
        assert_eq!(plan(&world.observe()), steps);
        for step in steps[..6].iter().cloned() {
            world.apply(step);
        }
        let half = recover(&world.observe(), false);
        assert_eq!(half[1..], [Step::Restore(a.clone(), former), Step::Sync(a), Step::Settle]);
    }
}
