use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ACCESS: Access = Access { mode: 0o644, uid: 0, gid: 0 };

type TestFiles = BTreeMap<PathBuf, u8>;

fn digest(content: u8) -> Digest {
    Digest::of(&[&[content]])
}

/// A disk, a state directory, and a program that uses the files.
#[derive(Clone, Debug, Default)]
struct PlanWorld {
    wanted: TestFiles,
    complete: bool,
    disk: TestFiles,
    staged: TestFiles,
    effective: TestFiles,
    saved: BTreeSet<u8>,
    notes: JournalRecord,
    bad: bool,
    /// The program refuses any set of files in which this content is.
    poison: Option<u8>,
    touched: BTreeSet<PathBuf>,
    /// Files that have been ours with nothing owed.
    claimed: BTreeSet<PathBuf>,
}

impl PlanWorld {
    fn observe(&self) -> PlanInput {
        let version = |content: &u8| FileState { digest: digest(*content), access: ACCESS };
        let wanted = |path: &PathBuf| match self.wanted.get(path) {
            _ if !self.complete => DesiredFileState::Unknown,
            Some(content) => desired_content(*content),
            None => self.notes.desired_without_template(path),
        };
        let file = |path: &PathBuf| {
            let present = self.disk.get(path).map(version);
            (path.clone(), ObservedFile { desired: wanted(path), present, attrs_differ: false })
        };
        PlanInput {
            complete: self.complete,
            files: self.wanted.keys().chain(self.notes.tracked_paths()).map(file).collect(),
            journal: self.notes.clone(),
            rejected: self.bad,
            present_rejected: false,
        }
    }

    fn content(&self, of: Digest) -> u8 {
        *self.saved.iter().find(|saved| digest(**saved) == of).expect("it was saved")
    }

    /// Carries a step out; false if the program refuses the files.
    fn apply(&mut self, step: TargetStep) -> bool {
        match step {
            TargetStep::Check(_) | TargetStep::SetAttrs(_) => {}
            TargetStep::Announce(names) => self.notes.announced = names,
            TargetStep::Stage(path) => {
                let content = self.wanted.get(&path).copied();
                let former = || match self.notes.desired_without_template(&path) {
                    DesiredFileState::Content(draft) => self.content(draft.digest),
                    other => panic!("{other:?} cannot be staged"),
                };
                let content = content.unwrap_or_else(former);
                self.staged.insert(path, content);
            }
            TargetStep::SaveFormer(path) => {
                self.saved.insert(self.disk[&path]);
            }
            TargetStep::RecordPending(owed) => {
                self.notes.pending_reload = Some(owed);
                self.notes.announced.clear();
            }
            TargetStep::Swap(path) => {
                let content = self.staged.remove(&path).expect("it was staged");
                self.disk.insert(path.clone(), content);
                self.touched.insert(path);
            }
            TargetStep::Remove(path) => {
                self.disk.remove(&path).expect("it is there");
                self.touched.insert(path);
            }
            TargetStep::Restore(path, former) => {
                match former.map(|former| self.content(former.digest)) {
                    Some(content) => self.disk.insert(path.clone(), content),
                    None => self.disk.remove(&path),
                };
                self.touched.insert(path);
            }
            TargetStep::Reload if self.disk.values().any(|content| Some(*content) == self.poison) => return false,
            TargetStep::Reload => self.effective = self.disk.clone(),
            TargetStep::Sync(_) | TargetStep::Verify => {}
            TargetStep::Commit(settled) => {
                self.claimed.extend(settled.keys().cloned());
                self.notes = JournalRecord { committed: settled, ..JournalRecord::default() };
            }
        }
        true
    }

    /// One pass, as the executor makes it, cut short after so many steps. False if it was.
    fn run_pass(&mut self, mut steps_left: usize) -> bool {
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
    fn run_until_idle(&mut self) {
        for _ in 0..3 {
            self.run_pass(usize::MAX);
        }
    }

    fn is_committed(&self) -> bool {
        self.notes.pending_reload.is_none() && self.effective == self.disk
    }

    /// Whether a new process would know every file that was not there before us, staged ones too.
    fn knows_all(&self, before: &TestFiles) -> bool {
        let known: BTreeSet<_> = self.notes.tracked_paths().chain(&self.notes.announced).collect();
        self.disk.keys().chain(self.staged.keys()).all(|path| before.contains_key(path) || known.contains(path))
    }
}

fn file_state(content: u8) -> Option<DesiredContent> {
    Some(DesiredContent { digest: digest(content), origin: Some(FileOrigin::Each) })
}

fn desired_content(content: u8) -> DesiredFileState {
    file_state(content).map_or(DesiredFileState::Absent, DesiredFileState::Content)
}

/// Files and what is wanted of them; contents 0 to 2. What is there and not wanted is either ours or foreign.
fn any_world() -> impl Strategy<Value = PlanWorld> {
    let file = (prop::option::of(0..3_u8), prop::option::weighted(0.8, 0..3_u8), any::<bool>());
    prop::collection::vec(file, 1..5).prop_map(|files| {
        let named = || files.iter().enumerate().map(|(at, file)| (PathBuf::from(format!("/{at}")), file));
        let disk: TestFiles = named().filter_map(|(path, (present, ..))| Some((path, (*present)?))).collect();
        let wanted = named().filter_map(|(path, (_, wanted, _))| Some((path, (*wanted)?))).collect();
        let ours = named().filter(|(path, (.., ours))| *ours && disk.contains_key(path)).map(|(path, _)| path);
        let claimed: BTreeSet<_> = ours.collect();
        let settled = claimed.iter().map(|path| (path.clone(), FileOrigin::Each)).collect();
        let notes = JournalRecord { committed: settled, ..JournalRecord::default() };
        PlanWorld { wanted, complete: true, effective: disk.clone(), disk, notes, claimed, ..PlanWorld::default() }
    })
}

/// What is wanted of the files of [`worlds`], at another time.
fn any_files() -> impl Strategy<Value = TestFiles> {
    let content = prop::option::of(0..3_u8);
    prop::collection::vec(content, 4).prop_map(|files| {
        let named = files.into_iter().enumerate().map(|(at, content)| (PathBuf::from(format!("/{at}")), content));
        named.filter_map(|(path, content)| Some((path, content?))).collect()
    })
}

proptest! {
    #[test]
    fn equal_states_plan_nothing(mut world in any_world()) {
        world.run_until_idle();
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn half_a_picture_plans_nothing(mut world in any_world()) {
        world.complete = false;
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn what_is_refused_touches_nothing(mut world in any_world()) {
        world.bad = true;
        world.run_until_idle();
        prop_assert!(world.touched.is_empty());
    }

    #[test]
    fn however_often_it_is_killed_it_gets_there(
        mut world in any_world(),
        kills in prop::collection::vec((0..20_usize, any_files(), any::<bool>()), 0..6),
    ) {
        let foreign = PathBuf::from("/foreign");
        world.disk.insert(foreign.clone(), 9);
        world.effective.insert(foreign, 9);
        let before = world.disk.clone();
        let last = world.wanted.clone();
        for (steps, wanted, complete) in kills {
            (world.wanted, world.complete) = (wanted, complete);
            world.run_pass(steps);
            prop_assert!(world.knows_all(&before), "{:?}", world);
        }
        (world.wanted, world.complete) = (last, true);
        world.run_until_idle();
        prop_assert!(world.is_committed(), "{:?}", world);
        prop_assert_eq!(plan(&world.observe()), []);
        // What is wanted is there; of the rest, what was never ours is as it was, and what was ours is gone.
        let mut expected = before;
        expected.retain(|path, _| !world.claimed.contains(path));
        expected.extend(world.wanted.clone());
        prop_assert_eq!(&world.disk, &expected);
    }

    #[test]
    fn what_fails_is_taken_back_however_often_it_is_killed(
        mut world in any_world(),
        kills in prop::collection::vec(0..20_usize, 0..5),
        lose_upstream in any::<bool>(),
    ) {
        let (before, settled) = (world.disk.clone(), world.notes.committed.clone());
        world.poison = Some(7);
        world.wanted.insert(PathBuf::from("/0"), 7);
        for steps in kills {
            world.run_pass(steps);
            // A new process has forgotten what it refused.
            world.bad = false;
        }
        world.complete = !lose_upstream;
        world.run_until_idle();
        prop_assert!(world.is_committed(), "{:?}", world);
        prop_assert_eq!(&world.disk, &before);
        prop_assert_eq!(&world.notes.committed, &settled);
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn only_own_files_are_named(world in any_world(), owed in any_world(), back: bool, complete: bool) {
        let change = |(path, new): (&PathBuf, &u8)| {
            let new = Some(DesiredContent { digest: digest(*new), origin: Some(FileOrigin::Each) });
            (path.clone(), FileChange { former: None, new })
        };
        let changes = owed.wanted.iter().map(change).collect();
        let mut world = PlanWorld { complete, ..world };
        world.notes.pending_reload = Some(PendingReload { changes, is_rollback: back });
        let observed = world.observe();
        for step in plan(&observed).into_iter().chain(recover(&observed, true)) {
            if let TargetStep::Stage(path) | TargetStep::SaveFormer(path) | TargetStep::Swap(path) | TargetStep::Remove(path) | TargetStep::Restore(path, _) = step {
                prop_assert!(observed.files.contains_key(&path));
            }
        }
    }
}

#[test]
fn what_cannot_be_made_effective_again_gives_way_to_what_is_wanted_only_if_the_check_refuses_it() {
    let path = PathBuf::from("/a");
    let version = |content| FileState { digest: digest(content), access: ACCESS };
    let file = ObservedFile { desired: desired_content(1), present: Some(version(0)), attrs_differ: false };
    let changes = BTreeMap::from([(path.clone(), FileChange { former: Some(version(0)), new: file_state(1) })]);
    let notes = JournalRecord {
        pending_reload: Some(PendingReload { changes, is_rollback: true }),
        ..JournalRecord::default()
    };
    let mut observed =
        PlanInput { complete: true, files: BTreeMap::from([(path, file)]), journal: notes, ..PlanInput::default() };
    assert_eq!(plan(&observed)[0], TargetStep::Check(CheckedFiles::Present));
    observed.present_rejected = true;
    assert_eq!(plan(&observed)[0], TargetStep::Check(CheckedFiles::Desired));
    observed.rejected = true;
    assert_eq!(plan(&observed), []);
}

#[test]
fn no_check_has_to_bear_that_a_file_is_missing() {
    let path = PathBuf::from("/a");
    let changes = BTreeMap::from([(path.clone(), FileChange { former: None, new: file_state(1) })]);
    let files =
        BTreeMap::from([(path, ObservedFile { desired: desired_content(1), present: None, attrs_differ: false })]);
    let notes = JournalRecord {
        pending_reload: Some(PendingReload { changes, is_rollback: true }),
        ..JournalRecord::default()
    };
    let observed = PlanInput { complete: true, files, journal: notes, ..PlanInput::default() };
    assert_eq!(plan(&observed), [TargetStep::Reload, TargetStep::Verify, TargetStep::Commit(CommittedFiles::new())]);
}

#[test]
fn all_is_announced_staged_saved_and_noted_before_the_first_swap() {
    let [a, b, c] = ["/a", "/b", "/c"].map(PathBuf::from);
    let mut world = PlanWorld { complete: true, ..PlanWorld::default() };
    world.wanted = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [&a, &c].map(|path| (path.clone(), 0)).into();
    world.notes.committed = [&a, &c].map(|path| (path.clone(), FileOrigin::Each)).into();
    let former = Some(FileState { digest: digest(0), access: ACCESS });
    let change = |former, new| FileChange { former, new };
    let changes = [(&a, change(former, file_state(1))), (&b, change(None, file_state(1))), (&c, change(former, None))];
    let changes = changes.map(|(path, change)| (path.clone(), change)).into();
    let steps = [
        TargetStep::Check(CheckedFiles::Desired),
        TargetStep::Announce([b.clone()].into()),
        TargetStep::Stage(a.clone()),
        TargetStep::Stage(b.clone()),
        TargetStep::SaveFormer(a.clone()),
        TargetStep::SaveFormer(c.clone()),
        TargetStep::RecordPending(PendingReload { changes, is_rollback: false }),
        TargetStep::Swap(a.clone()),
        TargetStep::Swap(b.clone()),
        TargetStep::Remove(c.clone()),
        TargetStep::Reload,
        TargetStep::Sync(a.clone()),
        TargetStep::Sync(b.clone()),
        TargetStep::Sync(c.clone()),
        TargetStep::Verify,
        TargetStep::Commit([&a, &b].map(|path| (path.clone(), FileOrigin::Each)).into()),
    ];
    assert_eq!(plan(&world.observe()), steps);
    let before = world.notes.committed.clone();
    for step in &steps[..7] {
        world.apply(step.clone());
    }
    assert_eq!(recover(&world.observe(), false), [TargetStep::Commit(before.clone())], "nothing has happened yet");
    world.apply(steps[7].clone());
    let half = recover(&world.observe(), false);
    assert_eq!(half[1..], [TargetStep::Restore(a.clone(), former), TargetStep::Sync(a), TargetStep::Commit(before)]);
}

#[test]
fn a_destination_that_the_settings_do_not_name_any_more_stays() {
    let path = PathBuf::from("/a");
    let mut world = PlanWorld { complete: true, ..PlanWorld::default() };
    world.disk.insert(path.clone(), 0);
    world.notes.committed.insert(path, FileOrigin::Fixed);
    assert_eq!(plan(&world.observe()), [TargetStep::Commit(CommittedFiles::new())]);
}

#[test]
fn a_mode_is_set_without_check_or_reload_even_if_another_file_is_refused() {
    let [a, b] = ["/a", "/b"].map(PathBuf::from);
    let mut world = PlanWorld { complete: true, bad: true, ..PlanWorld::default() };
    world.wanted = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [(a.clone(), 1), (b, 0)].into();
    let mut observed = world.observe();
    observed.files.values_mut().for_each(|file| file.attrs_differ = true);
    // The other one gets its mode together with its content.
    assert_eq!(plan(&observed), [TargetStep::SetAttrs(a)]);
}
