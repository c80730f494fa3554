//! What has to be done, from what is seen. Pure.
//!
//! Files are replaced in two phases: everything that can fail without harm comes first, then the swap. In between, what
//! is owed is written down: which files change, what they were, and that nobody has proven the new ones yet. Whoever
//! finds that note later, this process or the next, either proves the files or brings the former ones back.

mod journal_record;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{desired_file::Digest, files::Access};

pub(crate) use self::journal_record::{CommittedFiles, FileChange, FileOrigin, JournalRecord, PendingReload};

/// All that a plan is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanInput {
    /// Whether all templates of the target have rendered.
    pub(crate) complete: bool,
    /// The target's files, by destination: those that templates make, and those that are noted.
    pub(crate) files: BTreeMap<PathBuf, ObservedFile>,
    /// What earlier passes have written down.
    pub(crate) journal: JournalRecord,
    /// Whether what is wanted was refused, with everything that matters for it as it is now.
    pub(crate) rejected: bool,
    /// Whether the check has refused the present files in this pass, or their reload has failed before.
    pub(crate) present_rejected: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedFile {
    pub(crate) desired: DesiredFileState,
    /// What lies there.
    pub(crate) present: Option<FileState>,
    /// Whether its mode or owner is not what the settings name.
    pub(crate) attrs_differ: bool,
}

/// What a file is to become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DesiredFileState {
    /// Nobody knows, or it is none of our business any more.
    #[default]
    Unknown,
    /// It is to be gone.
    Absent,
    /// It is to have this content.
    Content(DesiredContent),
}

/// A content for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredContent {
    pub(crate) digest: Digest,
    /// Where the file comes from. Nothing: it was there before us, and is to be so again.
    pub(crate) origin: Option<FileOrigin>,
}

/// A content, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    pub(crate) digest: Digest,
    pub(crate) access: Access,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetStep {
    /// Give the file the mode and owner that the settings name.
    SetAttrs(PathBuf),
    /// Have copies of these contents checked.
    Check(CheckedFiles),
    /// Write down names that no note has yet: a crash must not leave a file that nobody knows.
    Announce(BTreeSet<PathBuf>),
    /// Write what is wanted beside the destination.
    Stage(PathBuf),
    /// Keep what lies at the destination for a way back.
    SaveFormer(PathBuf),
    /// Write down what is owed.
    RecordPending(PendingReload),
    /// Put what was staged in its place.
    Swap(PathBuf),
    /// Remove what no template makes any more.
    Remove(PathBuf),
    /// Put the former content back; nothing: remove the file.
    Restore(PathBuf, Option<FileState>),
    /// Tell who uses the files.
    Reload,
    /// Bring the new name of a file onto the disk.
    Sync(PathBuf),
    /// Wait until the files are in effect.
    Verify,
    /// Nothing is owed any more, and these are the target's files.
    Commit(CommittedFiles),
}

/// Which contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckedFiles {
    /// Those that the templates became.
    Desired,
    /// Those that lie at the destinations.
    Present,
}

/// What has to change, by destination; nothing: the file has to go.
type ChangedFiles<'a> = BTreeMap<&'a PathBuf, Option<DesiredContent>>;

/// The steps that bring the files in line with what is wanted, or bring an earlier pass to its end.
pub(crate) fn plan(observed: &PlanInput) -> Vec<TargetStep> {
    // A mode needs neither a check nor a reload: programs read contents.
    let mut steps = attr_steps(observed);
    steps.extend(file_steps(observed));
    steps
}

fn attr_steps(observed: &PlanInput) -> Vec<TargetStep> {
    let misfits = observed.files.iter().filter(|(_, file)| file.attrs_differ && file.is_as_desired());
    misfits.map(|(path, _)| TargetStep::SetAttrs(path.clone())).collect()
}

fn file_steps(observed: &PlanInput) -> Vec<TargetStep> {
    let changed = observed.differing_files();
    let may_replace = observed.complete && !observed.rejected && !changed.is_empty();
    let Some(owed) = &observed.journal.pending_reload else {
        if may_replace {
            return swap_steps(observed, &changed, &PendingReload::default());
        }
        let files = observed.desired_files();
        let is_news = observed.complete && changed.is_empty() && files != observed.journal.committed;
        return if is_news { vec![TargetStep::Commit(files)] } else { Vec::new() };
    };
    let restore = restore_steps(observed, owed);
    let has_failed = owed.is_rollback || !(may_replace || observed.is_swap_complete(owed));
    match () {
        // First what was in effect is to be in effect again; the next plan goes on from there.
        () if has_failed && !restore.is_empty() => restore,
        () if may_replace && (!owed.is_rollback || observed.present_rejected) => swap_steps(observed, &changed, owed),
        () if observed.present_rejected => Vec::new(),
        () if has_failed => verify_steps(observed, observed.journal.committed.clone()),
        () if observed.complete && changed.is_empty() => verify_steps(observed, observed.desired_files()),
        () => verify_steps(observed, observed.journal.files_once_verified()),
    }
}

/// The steps after one of [`Step::Swap`], [`Step::Remove`], [`Step::Reload`] or [`Step::Verify`] has failed. After a
/// reload there are none if there is nothing to go back to. `reload`: whether anybody may know the new files by now.
pub(crate) fn recover(observed: &PlanInput, reload: bool) -> Vec<TargetStep> {
    let Some(owed) = &observed.journal.pending_reload else { return Vec::new() };
    let mut steps = restore_steps(observed, owed);
    if reload {
        return steps;
    }
    steps.retain(|step| !matches!(step, TargetStep::Reload | TargetStep::Verify));
    if steps.is_empty() {
        // Not a single file was touched, so the note means nothing.
        steps.push(TargetStep::Commit(observed.journal.committed.clone()));
    }
    steps
}

fn swap_steps(observed: &PlanInput, changed: &ChangedFiles<'_>, owed: &PendingReload) -> Vec<TargetStep> {
    let mut note = PendingReload { is_rollback: false, ..owed.clone() };
    let mut save = Vec::new();
    for (path, new) in changed {
        let present = observed.files[*path].present;
        // A file whose last change is not proven keeps the former content that it has.
        note.changes.entry((*path).clone()).or_insert_with(|| {
            save.extend(present.map(|_| TargetStep::SaveFormer((*path).clone())));
            FileChange { former: present, new: *new }
        });
    }
    // Those of earlier passes too: some may be as they are wanted by now.
    for (path, change) in &mut note.changes {
        match observed.files.get(path).map(|file| file.desired) {
            Some(DesiredFileState::Content(draft)) => change.new = Some(draft),
            Some(DesiredFileState::Absent) => change.new = None,
            Some(DesiredFileState::Unknown) | None => {}
        }
    }
    let strange =
        |path: &&PathBuf| !observed.journal.committed.contains_key(*path) && !owed.changes.contains_key(*path);
    let is_new = |(path, new): &(&&PathBuf, &Option<DesiredContent>)| {
        new.is_some_and(|new| new.origin == Some(FileOrigin::Each)) && strange(path)
    };
    let names: BTreeSet<_> = changed.iter().filter(is_new).map(|(path, _)| (*path).clone()).collect();
    let all = |step: fn(PathBuf) -> TargetStep| changed.keys().map(move |path| step((*path).clone()));
    let some = |there: bool, step: fn(PathBuf) -> TargetStep| {
        let paths = changed.iter().filter(move |(_, new)| new.is_some() == there);
        paths.map(move |(path, _)| step((*path).clone()))
    };
    let mut steps = vec![TargetStep::Check(CheckedFiles::Desired)];
    if !names.is_empty() {
        steps.push(TargetStep::Announce(names));
    }
    steps.extend(some(true, TargetStep::Stage).chain(save));
    steps.push(TargetStep::RecordPending(note));
    steps.extend(some(true, TargetStep::Swap).chain(some(false, TargetStep::Remove)));
    steps.push(TargetStep::Reload);
    steps.extend(all(TargetStep::Sync));
    steps.extend([TargetStep::Verify, TargetStep::Commit(observed.desired_files())]);
    steps
}

/// All files are as they should be, and only the proof is missing. Before anybody is told, the check has a look: what it
/// refuses would fail again and again. Unless a file is missing, which no check may be expected to bear.
fn verify_steps(observed: &PlanInput, files: CommittedFiles) -> Vec<TargetStep> {
    let lacks = |file: &ObservedFile| {
        file.present.is_none() && matches!(file.desired, DesiredFileState::Content(_) | DesiredFileState::Unknown)
    };
    let all_there = !observed.files.values().any(lacks);
    let check = all_there.then_some(TargetStep::Check(CheckedFiles::Present));
    check.into_iter().chain([TargetStep::Reload, TargetStep::Verify, TargetStep::Commit(files)]).collect()
}

/// Puts all former contents back; nothing if they are there.
fn restore_steps(observed: &PlanInput, owed: &PendingReload) -> Vec<TargetStep> {
    let differs = |(path, change): &(&PathBuf, &FileChange)| {
        let file = observed.files.get(*path);
        file.is_some_and(|file| file.present_digest() != change.former.map(|former| former.digest))
    };
    let files: Vec<_> = owed.changes.iter().filter(differs).collect();
    let mut steps = Vec::new();
    if files.is_empty() {
        return steps;
    }
    if !owed.is_rollback {
        steps.push(TargetStep::RecordPending(PendingReload { is_rollback: true, ..owed.clone() }));
    }
    steps.extend(files.iter().map(|(path, change)| TargetStep::Restore((*path).clone(), change.former)));
    steps.push(TargetStep::Reload);
    steps.extend(files.iter().map(|(path, _)| TargetStep::Sync((*path).clone())));
    steps.extend([TargetStep::Verify, TargetStep::Commit(observed.journal.committed.clone())]);
    steps
}

/// Whether the steps bring an earlier pass to its end, and tell somebody.
pub(crate) fn completes_pending_reload(steps: &[TargetStep]) -> bool {
    steps.contains(&TargetStep::Reload) && !steps.contains(&TargetStep::Check(CheckedFiles::Desired))
}

/// Whether files are others after these steps.
pub(crate) fn changes_files(steps: &[TargetStep]) -> bool {
    steps.iter().any(|step| matches!(step, TargetStep::Swap(_) | TargetStep::Remove(_) | TargetStep::Restore(..)))
}

impl TargetStep {
    /// Whether another program is waited for.
    pub(crate) fn may_take_long(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Reload | Self::Verify)
    }

    /// Whether a file is another one after it.
    pub(crate) fn replaces_file(&self) -> bool {
        matches!(self, Self::Swap(_) | Self::Remove(_) | Self::Restore(..))
    }
}

impl PlanInput {
    /// Whether a file is not as it is wanted.
    pub(crate) fn has_differences(&self) -> bool {
        self.files.values().any(ObservedFile::is_known_to_differ)
    }

    fn differing_files(&self) -> ChangedFiles<'_> {
        let changed = self.files.iter().filter(|(_, file)| file.is_known_to_differ());
        let new = |file: &ObservedFile| match file.desired {
            DesiredFileState::Content(draft) => Some(draft),
            DesiredFileState::Absent | DesiredFileState::Unknown => None,
        };
        changed.map(|(path, file)| (path, new(file))).collect()
    }

    /// The files that the target has when all is as wanted.
    fn desired_files(&self) -> CommittedFiles {
        let ours = |(path, file): (&PathBuf, &ObservedFile)| match file.desired {
            DesiredFileState::Content(DesiredContent { origin: Some(origin), .. }) => Some((path.clone(), origin)),
            _ => None,
        };
        self.files.iter().filter_map(ours).collect()
    }

    /// Whether what lies there belongs together: the swap was not cut short, or was made up for.
    fn is_swap_complete(&self, owed: &PendingReload) -> bool {
        let is_swapped = |(path, change): (&PathBuf, &FileChange)| {
            self.files.get(path).is_none_or(|file| file.present_digest() == change.new.map(|new| new.digest))
        };
        (self.complete && self.differing_files().is_empty()) || owed.changes.iter().all(is_swapped)
    }
}

impl ObservedFile {
    /// Whether it is known to differ from what is wanted.
    fn is_known_to_differ(&self) -> bool {
        self.desired != DesiredFileState::Unknown && !self.is_as_desired()
    }

    fn present_digest(&self) -> Option<Digest> {
        self.present.map(|present| present.digest)
    }

    /// Whether it has the wanted content, or is absent as wanted.
    pub(crate) fn is_as_desired(&self) -> bool {
        match self.desired {
            DesiredFileState::Unknown => false,
            DesiredFileState::Absent => self.present.is_none(),
            DesiredFileState::Content(draft) => self.present_digest() == Some(draft.digest),
        }
    }
}
