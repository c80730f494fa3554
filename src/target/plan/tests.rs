use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ACCESS: Access = Access { mode: 0o644, uid: 0, gid: 0 };

type TestFiles = BTreeMap<PathBuf, u8>;

fn digest(content: u8) -> Digest {
    Digest::of(&[&[content]])
}

/// A simulated disk, state directory and program.
#[derive(Clone, Debug, Default)]
struct PlanWorld {
    desired: TestFiles,
    complete: bool,
    disk: TestFiles,
    staged: TestFiles,
    effective: TestFiles,
    saved: BTreeSet<u8>,
    journal: JournalRecord,
    rejected: bool,
    /// The program rejects every set of files with this content.
    refused_content: Option<u8>,
    changed: BTreeSet<PathBuf>,
    /// Files that were committed at any time.
    ever_committed: BTreeSet<PathBuf>,
}

impl PlanWorld {
    fn observe(&self) -> PlanInput {
        let state = |content: &u8| FileState { digest: digest(*content), access: ACCESS };
        let desired = |path: &PathBuf| match self.desired.get(path) {
            _ if !self.complete => DesiredFileState::Unknown,
            Some(content) => desired_content(*content),
            None => self.journal.desired_without_template(path),
        };
        let file = |path: &PathBuf| {
            let present = self.disk.get(path).map(state);
            (path.clone(), ObservedFile { desired: desired(path), present, attrs_differ: false })
        };
        PlanInput {
            complete: self.complete,
            files: self.desired.keys().chain(self.journal.tracked_paths()).map(file).collect(),
            journal: self.journal.clone(),
            rejected: self.rejected,
            present_rejected: false,
        }
    }

    fn content(&self, of: Digest) -> u8 {
        *self.saved.iter().find(|saved| digest(**saved) == of).expect("it was saved")
    }

    /// Executes a step; false if the program rejects the files.
    fn apply(&mut self, step: TargetStep) -> bool {
        match step {
            TargetStep::Check(_) | TargetStep::SetAttrs(_) => {}
            TargetStep::Announce(names) => self.journal.announced = names,
            TargetStep::Stage(path) => {
                let content = self.desired.get(&path).copied();
                let former = || match self.journal.desired_without_template(&path) {
                    DesiredFileState::Content(content) => self.content(content.digest),
                    other => panic!("{other:?} cannot be staged"),
                };
                let content = content.unwrap_or_else(former);
                self.staged.insert(path, content);
            }
            TargetStep::SaveFormer(path) => {
                self.saved.insert(self.disk[&path]);
            }
            TargetStep::RecordPending(pending) => {
                self.journal.pending_reload = Some(pending);
                self.journal.announced.clear();
            }
            TargetStep::Swap(path) => {
                let content = self.staged.remove(&path).expect("it was staged");
                self.disk.insert(path.clone(), content);
                self.changed.insert(path);
            }
            TargetStep::Remove(path) => {
                self.disk.remove(&path).expect("it is there");
                self.changed.insert(path);
            }
            TargetStep::Restore(path, former) => {
                match former.map(|former| self.content(former.digest)) {
                    Some(content) => self.disk.insert(path.clone(), content),
                    None => self.disk.remove(&path),
                };
                self.changed.insert(path);
            }
            TargetStep::Reload if self.disk.values().any(|content| Some(*content) == self.refused_content) => {
                return false;
            }
            TargetStep::Reload => self.effective = self.disk.clone(),
            TargetStep::Sync(_) | TargetStep::Verify => {}
            TargetStep::Commit(committed) => {
                self.ever_committed.extend(committed.keys().cloned());
                self.journal = JournalRecord { committed, ..JournalRecord::default() };
            }
        }
        true
    }

    /// One pass, which is killed after so many steps. False if it was killed.
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
                self.rejected = true;
                return true;
            }
        }
        true
    }

    /// Three passes: one may only complete an earlier pass, and one may only commit.
    fn run_until_idle(&mut self) {
        for _ in 0..3 {
            self.run_pass(usize::MAX);
        }
    }

    fn is_committed(&self) -> bool {
        self.journal.pending_reload.is_none() && self.effective == self.disk
    }

    /// Whether the journal has every file, staged or not, that did not exist in the beginning.
    fn knows_all(&self, before: &TestFiles) -> bool {
        let known: BTreeSet<_> = self.journal.tracked_paths().chain(&self.journal.announced).collect();
        self.disk.keys().chain(self.staged.keys()).all(|path| before.contains_key(path) || known.contains(path))
    }
}

fn file_state(content: u8) -> Option<DesiredContent> {
    Some(DesiredContent { digest: digest(content), origin: Some(FileOrigin::Each) })
}

fn desired_content(content: u8) -> DesiredFileState {
    file_state(content).map_or(DesiredFileState::Absent, DesiredFileState::Content)
}

/// Present and desired files with contents 0 to 2. A present file that is not desired is either committed or foreign.
fn any_world() -> impl Strategy<Value = PlanWorld> {
    let file = (prop::option::of(0..3_u8), prop::option::weighted(0.8, 0..3_u8), any::<bool>());
    prop::collection::vec(file, 1..5).prop_map(|files| {
        let named = || files.iter().enumerate().map(|(at, file)| (PathBuf::from(format!("/{at}")), file));
        let disk: TestFiles = named().filter_map(|(path, (present, ..))| Some((path, (*present)?))).collect();
        let desired = named().filter_map(|(path, (_, desired, _))| Some((path, (*desired)?))).collect();
        let own = named().filter(|(path, (.., is_own))| *is_own && disk.contains_key(path)).map(|(path, _)| path);
        let ever_committed: BTreeSet<_> = own.collect();
        let committed = ever_committed.iter().map(|path| (path.clone(), FileOrigin::Each)).collect();
        let journal = JournalRecord { committed, ..JournalRecord::default() };
        PlanWorld {
            desired,
            complete: true,
            effective: disk.clone(),
            disk,
            journal,
            ever_committed,
            ..PlanWorld::default()
        }
    })
}

/// Other desired contents of the files of [`any_world`].
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
    fn incomplete_desired_files_plan_nothing(mut world in any_world()) {
        world.complete = false;
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn rejected_files_change_nothing(mut world in any_world()) {
        world.rejected = true;
        world.run_until_idle();
        prop_assert!(world.changed.is_empty());
    }

    #[test]
    fn the_desired_files_are_reached_however_often_the_process_is_killed(
        mut world in any_world(),
        kills in prop::collection::vec((0..20_usize, any_files(), any::<bool>()), 0..6),
    ) {
        let foreign = PathBuf::from("/foreign");
        world.disk.insert(foreign.clone(), 9);
        world.effective.insert(foreign, 9);
        let before = world.disk.clone();
        let last = world.desired.clone();
        for (steps, desired, complete) in kills {
            (world.desired, world.complete) = (desired, complete);
            world.run_pass(steps);
            prop_assert!(world.knows_all(&before), "{:?}", world);
        }
        (world.desired, world.complete) = (last, true);
        world.run_until_idle();
        prop_assert!(world.is_committed(), "{:?}", world);
        prop_assert_eq!(plan(&world.observe()), []);
        // Other files are removed if they were ever committed, and otherwise as they were.
        let mut expected = before;
        expected.retain(|path, _| !world.ever_committed.contains(path));
        expected.extend(world.desired.clone());
        prop_assert_eq!(&world.disk, &expected);
    }

    #[test]
    fn failed_files_are_rolled_back_however_often_the_process_is_killed(
        mut world in any_world(),
        kills in prop::collection::vec(0..20_usize, 0..5),
        lose_upstream in any::<bool>(),
    ) {
        let (before, committed) = (world.disk.clone(), world.journal.committed.clone());
        world.refused_content = Some(7);
        world.desired.insert(PathBuf::from("/0"), 7);
        for steps in kills {
            world.run_pass(steps);
            // A new process does not know the rejection.
            world.rejected = false;
        }
        world.complete = !lose_upstream;
        world.run_until_idle();
        prop_assert!(world.is_committed(), "{:?}", world);
        prop_assert_eq!(&world.disk, &before);
        prop_assert_eq!(&world.journal.committed, &committed);
        prop_assert_eq!(plan(&world.observe()), []);
    }

    #[test]
    fn steps_concern_only_files_of_the_target(world in any_world(), pending in any_world(), is_rollback: bool, complete: bool) {
        let change = |(path, new): (&PathBuf, &u8)| {
            let new = Some(DesiredContent { digest: digest(*new), origin: Some(FileOrigin::Each) });
            (path.clone(), FileChange { former: None, new })
        };
        let changes = pending.desired.iter().map(change).collect();
        let mut world = PlanWorld { complete, ..world };
        world.journal.pending_reload = Some(PendingReload { changes, is_rollback });
        let input = world.observe();
        for step in plan(&input).into_iter().chain(recover(&input, true)) {
            if let TargetStep::Stage(path) | TargetStep::SaveFormer(path) | TargetStep::Swap(path) | TargetStep::Remove(path) | TargetStep::Restore(path, _) = step {
                prop_assert!(input.files.contains_key(&path));
            }
        }
    }
}

#[test]
fn present_files_of_a_failed_rollback_are_replaced_only_if_the_check_rejects_them() {
    let path = PathBuf::from("/a");
    let state = |content| FileState { digest: digest(content), access: ACCESS };
    let file = ObservedFile { desired: desired_content(1), present: Some(state(0)), attrs_differ: false };
    let changes = BTreeMap::from([(path.clone(), FileChange { former: Some(state(0)), new: file_state(1) })]);
    let journal = JournalRecord {
        pending_reload: Some(PendingReload { changes, is_rollback: true }),
        ..JournalRecord::default()
    };
    let mut input =
        PlanInput { complete: true, files: BTreeMap::from([(path, file)]), journal, ..PlanInput::default() };
    assert_eq!(plan(&input)[0], TargetStep::Check(CheckedFiles::Present));
    input.present_rejected = true;
    assert_eq!(plan(&input)[0], TargetStep::Check(CheckedFiles::Desired));
    input.rejected = true;
    assert_eq!(plan(&input), []);
}

#[test]
fn files_are_not_checked_while_one_is_missing() {
    let path = PathBuf::from("/a");
    let changes = BTreeMap::from([(path.clone(), FileChange { former: None, new: file_state(1) })]);
    let files =
        BTreeMap::from([(path, ObservedFile { desired: desired_content(1), present: None, attrs_differ: false })]);
    let journal = JournalRecord {
        pending_reload: Some(PendingReload { changes, is_rollback: true }),
        ..JournalRecord::default()
    };
    let input = PlanInput { complete: true, files, journal, ..PlanInput::default() };
    assert_eq!(plan(&input), [TargetStep::Reload, TargetStep::Verify, TargetStep::Commit(CommittedFiles::new())]);
}

#[test]
fn all_files_are_announced_staged_saved_and_recorded_before_the_first_swap() {
    let [a, b, c] = ["/a", "/b", "/c"].map(PathBuf::from);
    let mut world = PlanWorld { complete: true, ..PlanWorld::default() };
    world.desired = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [&a, &c].map(|path| (path.clone(), 0)).into();
    world.journal.committed = [&a, &c].map(|path| (path.clone(), FileOrigin::Each)).into();
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
    let before = world.journal.committed.clone();
    for step in &steps[..7] {
        world.apply(step.clone());
    }
    assert_eq!(recover(&world.observe(), false), [TargetStep::Commit(before.clone())], "no file was changed yet");
    world.apply(steps[7].clone());
    let partial = recover(&world.observe(), false);
    assert_eq!(partial[1..], [TargetStep::Restore(a.clone(), former), TargetStep::Sync(a), TargetStep::Commit(before)]);
}

#[test]
fn a_destination_that_the_settings_no_longer_name_stays() {
    let path = PathBuf::from("/a");
    let mut world = PlanWorld { complete: true, ..PlanWorld::default() };
    world.disk.insert(path.clone(), 0);
    world.journal.committed.insert(path, FileOrigin::Fixed);
    assert_eq!(plan(&world.observe()), [TargetStep::Commit(CommittedFiles::new())]);
}

#[test]
fn a_mode_is_set_without_check_or_reload_even_if_another_file_is_rejected() {
    let [a, b] = ["/a", "/b"].map(PathBuf::from);
    let mut world = PlanWorld { complete: true, rejected: true, ..PlanWorld::default() };
    world.desired = [&a, &b].map(|path| (path.clone(), 1)).into();
    world.disk = [(a.clone(), 1), (b, 0)].into();
    let mut input = world.observe();
    input.files.values_mut().for_each(|file| file.attrs_differ = true);
    // The other file gets its mode together with its content.
    assert_eq!(plan(&input), [TargetStep::SetAttrs(a)]);
}
