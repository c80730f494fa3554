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
    notes: Notes,
    bad: bool,
    /// The program refuses any set of files in which this content is.
    poison: Option<u8>,
    touched: BTreeSet<PathBuf>,
    /// Files that have been ours with nothing owed.
    claimed: BTreeSet<PathBuf>,
}

impl World {
    fn observe(&self) -> Observed {
        let version = |content: &u8| Version { digest: digest(*content), access: ACCESS };
        let wanted = |path: &PathBuf| match self.wanted.get(path) {
            _ if !self.complete => Wanted::Unknown,
            Some(content) => draft(*content),
            None => self.notes.leftover(path),
        };
        let file = |path: &PathBuf| {
            let present = self.disk.get(path).map(version);
            (path.clone(), File { wanted: wanted(path), present, misfit: false })
        };
        Observed {
            complete: self.complete,
            files: self.wanted.keys().chain(self.notes.known()).map(file).collect(),
            notes: self.notes.clone(),
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
            Step::Check(_) | Step::Adjust(_) => {}
            Step::Announce(names) => self.notes.announced = names,
            Step::Stage(path) => {
                let content = self.wanted.get(&path).copied();
                let former = || match self.notes.leftover(&path) {
                    Wanted::Content(draft) => self.content(draft.digest),
                    other => panic!("{other:?} cannot be staged"),
                };
                let content = content.unwrap_or_else(former);
                self.staged.insert(path, content);
            }
            Step::Save(path) => {
                self.saved.insert(self.disk[&path]);
            }
            Step::Owe(owed) => {
                self.notes.owed = Some(owed);
                self.notes.announced.clear();
            }
            Step::Swap(path) => {
                let content = self.staged.remove(&path).expect("it was staged");
                self.disk.insert(path.clone(), content);
                self.touched.insert(path);
            }
            Step::Remove(path) => {
                self.disk.remove(&path).expect("it is there");
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
            Step::Settle(settled) => {
                self.claimed.extend(settled.keys().cloned());
                self.notes = Notes { settled, ..Notes::default() };
            }
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

    /// One pass may only bring an earlier one to its end, and another may only write down that all is well.
    fn come_to_rest(&mut self) {
        for _ in 0..3 {
            self.pass(usize::MAX);
        }
    }

    fn is_settled(&self) -> bool {
        self.notes.owed.is_none() && self.effective == self.disk
    }

    /// Whether a new process would know every file that was not there before us, staged ones too.
    fn knows_all(&self, before: &Files) -> bool {
        let known: BTreeSet<_> = self.notes.known().chain(&self.notes.announced).collect();
        self.disk.keys().chain(self.staged.keys()).all(|path| before.contains_key(path) || known.contains(path))
    }
}

fn new(content: u8) -> Option<Draft> {
    Some(Draft { digest: digest(content), origin: Some(Origin::Each) })
}

fn draft(content: u8) -> Wanted {
    new(content).map_or(Wanted::Absent, Wanted::Content)
}

/// Files and what is wanted of them; contents 0 to 2. What is there and not wanted is either ours or foreign.
fn worlds() -> impl Strategy<Value = World> {
    let file = (prop::option::of(0..3_u8), prop::option::weighted(0.8, 0..3_u8), any::<bool>());
    prop::collection::vec(file, 1..5).prop_map(|files| {
        let named = || files.iter().enumerate().map(|(at, file)| (PathBuf::from(format!("/{at}")), file));
        let disk: Files = named().filter_map(|(path, (present, ..))| Some((path, (*present)?))).collect();
        let wanted = named().filter_map(|(path, (_, wanted, _))| Some((path, (*wanted)?))).collect();
        let ours = named().filter(|(path, (.., ours))| *ours && disk.contains_key(path)).map(|(path, _)| path);
        let claimed: BTreeSet<_> = ours.collect();
        let settled = claimed.iter().map(|path| (path.clone(), Origin::Each)).collect();
        let notes = Notes { settled, ..Notes::default() };
        World { wanted, complete: true, effective: disk.clone(), disk, notes, claimed, ..World::default() }
    })
}

/// What is wanted of the files of [`worlds`], at another time.
fn wishes() -> impl Strategy<Value = Files> {
    let content = prop::option::of(0..3_u8);
    prop::collection::vec(content, 4).prop_map(|files| {
        let named = files.into_iter().enumerate().map(|(at, content)| (PathBuf::from(format!("/{at}")), content));
        named.filter_map(|(path, content)| Some((path, content?))).collect()
    })
}

proptest! {
    #[test]
    fn equal_states_plan_nothing(mut world in worlds()) {
        world.come_to_rest();
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn half_a_picture_plans_nothing(mut world in worlds()) {
        world.complete = false;
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn what_is_refused_touches_nothing(mut world in worlds()) {
        world.bad = true;
        world.come_to_rest();
        prop_assert!(world.touched.is_empty());
    }

    #[test]
    fn however_often_it_is_killed_it_gets_there(
        mut world in worlds(),
        kills in prop::collection::vec((0..20_usize, wishes(), any::<bool>()), 0..6),
    ) {
        let foreign = PathBuf::from("/foreign");
        world.disk.insert(foreign.clone(), 9);
        world.effective.insert(foreign, 9);
        let before = world.disk.clone();
        let last = world.wanted.clone();
        for (steps, wanted, complete) in kills {
            (world.wanted, world.complete) = (wanted, complete);
            world.pass(steps);
            prop_assert!(world.knows_all(&before), "{:?}", world);
        }
        (world.wanted, world.complete) = (last, true);
        world.come_to_rest();
        prop_assert!(world.is_settled(), "{:?}", world);
        prop_assert_eq!(plan(&world.observe()), []);
        // What is wanted is there; of the rest, what was never ours is as it was, and what was ours is gone.
        let mut expected = before;
        expected.retain(|path, _| !world.claimed.contains(path));
        expected.extend(world.wanted.clone());
        prop_assert_eq!(&world.disk, &expected);
    }

    #[test]
    fn what_fails_is_taken_back_however_often_it_is_killed(
        mut world in worlds(),
        kills in prop::collection::vec(0..20_usize, 0..5),
        lose_upstream in any::<bool>(),
    ) {
        let (before, settled) = (world.disk.clone(), world.notes.settled.clone());
        world.poison = Some(7);
        world.wanted.insert(PathBuf::from("/0"), 7);
        for steps in kills {
            world.pass(steps);
            // A new process has forgotten what it refused.
            world.bad = false;
        }
        world.complete = !lose_upstream;
        world.come_to_rest();
        prop_assert!(world.is_settled(), "{:?}", world);
        prop_assert_eq!(&world.disk, &before);
        prop_assert_eq!(&world.notes.settled, &settled);
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn only_own_files_are_named(world in worlds(), owed in worlds(), back: bool, complete: bool) {
        let change = |(path, new): (&PathBuf, &u8)| {
            let new = Some(Draft { digest: digest(*new), origin: Some(Origin::Each) });
            (path.clone(), Change { former: None, new })
        };
        let changes = owed.wanted.iter().map(change).collect();
        let mut world = World { complete, ..world };
        world.notes.owed = Some(Owed { changes, back });
        let observed = world.observe();
        for step in plan(&observed).into_iter().chain(recover(&observed, true)) {
            if let Step::Stage(path) | Step::Save(path) | Step::Swap(path) | Step::Remove(path) | Step::Restore(path, _) = step {
                prop_assert!(observed.files.contains_key(&path));
            }
        }
    }
}

#[test]
fn what_cannot_be_made_effective_again_gives_way_to_what_is_wanted_only_if_the_check_refuses_it() {
    let path = PathBuf::from("/a");
    let version = |content| Version { digest: digest(content), access: ACCESS };
    let file = File { wanted: draft(1), present: Some(version(0)), misfit: false };
    let changes = BTreeMap::from([(path.clone(), Change { former: Some(version(0)), new: new(1) })]);
    let notes = Notes { owed: Some(Owed { changes, back: true }), ..Notes::default() };
    let mut observed = Observed { complete: true, files: BTreeMap::from([(path, file)]), notes, ..Observed::default() };
    assert_eq!(plan(&observed)[0], Step::Check(Contents::Present));
    observed.stuck = true;
    assert_eq!(plan(&observed)[0], Step::Check(Contents::Wanted));
    observed.bad = true;
    assert_eq!(plan(&observed), []);
}

#[test]
fn no_check_has_to_bear_that_a_file_is_missing() {
    let path = PathBuf::from("/a");
    let changes = BTreeMap::from([(path.clone(), Change { former: None, new: new(1) })]);
    let files = BTreeMap::from([(path, File { wanted: draft(1), present: None, misfit: false })]);
    let notes = Notes { owed: Some(Owed { changes, back: true }), ..Notes::default() };
    let observed = Observed { complete: true, files, notes, ..Observed::default() };
    assert_eq!(plan(&observed), [Step::Reload, Step::Verify, Step::Settle(Settled::new())]);
}

#[test]
fn all_is_announced_staged_saved_and_noted_before_the_first_swap() {
    let [a, b, c] = ["/a", "/b", "/c"].map(PathBuf::from);
    let mut world = World { complete: true, ..World::default() };
    world.wanted = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [&a, &c].map(|path| (path.clone(), 0)).into();
    world.notes.settled = [&a, &c].map(|path| (path.clone(), Origin::Each)).into();
    let former = Some(Version { digest: digest(0), access: ACCESS });
    let change = |former, new| Change { former, new };
    let changes = [(&a, change(former, new(1))), (&b, change(None, new(1))), (&c, change(former, None))];
    let changes = changes.map(|(path, change)| (path.clone(), change)).into();
    let steps = [
        Step::Check(Contents::Wanted),
        Step::Announce([b.clone()].into()),
        Step::Stage(a.clone()),
        Step::Stage(b.clone()),
        Step::Save(a.clone()),
        Step::Save(c.clone()),
        Step::Owe(Owed { changes, back: false }),
        Step::Swap(a.clone()),
        Step::Swap(b.clone()),
        Step::Remove(c.clone()),
        Step::Reload,
        Step::Sync(a.clone()),
        Step::Sync(b.clone()),
        Step::Sync(c.clone()),
        Step::Verify,
        Step::Settle([&a, &b].map(|path| (path.clone(), Origin::Each)).into()),
    ];
    assert_eq!(plan(&world.observe()), steps);
    let before = world.notes.settled.clone();
    for step in &steps[..7] {
        world.apply(step.clone());
    }
    assert_eq!(recover(&world.observe(), false), [Step::Settle(before.clone())], "nothing has happened yet");
    world.apply(steps[7].clone());
    let half = recover(&world.observe(), false);
    assert_eq!(half[1..], [Step::Restore(a.clone(), former), Step::Sync(a), Step::Settle(before)]);
}

#[test]
fn a_destination_that_the_settings_do_not_name_any_more_stays() {
    let path = PathBuf::from("/a");
    let mut world = World { complete: true, ..World::default() };
    world.disk.insert(path.clone(), 0);
    world.notes.settled.insert(path, Origin::Fixed);
    assert_eq!(plan(&world.observe()), [Step::Settle(Settled::new())]);
}

#[test]
fn a_mode_is_set_without_check_or_reload_even_if_another_file_is_refused() {
    let [a, b] = ["/a", "/b"].map(PathBuf::from);
    let mut world = World { complete: true, bad: true, ..World::default() };
    world.wanted = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [(a.clone(), 1), (b, 0)].into();
    let mut observed = world.observe();
    observed.files.values_mut().for_each(|file| file.misfit = true);
    // The other one gets its mode together with its content.
    assert_eq!(plan(&observed), [Step::Adjust(a)]);
}
