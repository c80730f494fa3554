//! Plans the steps of a pass from the observed state. Pure.
//!
//! ```text
//! Check, Announce, Stage, SaveFormer | RecordPending | Swap, Remove, Reload, Sync, Verify | Commit
//! can fail without harm              | journal       | can be rolled back                 | journal
//! ```
//!
//! The pending reload in the journal has the changed files and their former contents. As long as it is there, each pass
//! of this process or the next one either verifies the files or restores the former ones.

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

/// The whole input of [`plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanInput {
    /// Whether all templates of the target have rendered.
    pub(crate) complete: bool,
    /// The files by destination: the rendered ones, and those in the journal.
    pub(crate) files: BTreeMap<PathBuf, ObservedFile>,
    /// The record of earlier passes.
    pub(crate) journal: JournalRecord,
    /// Whether the desired files were rejected, and nothing that the rejection depends on has changed.
    pub(crate) rejected: bool,
    /// Whether the check has rejected the present files in this pass, or their reload has failed before.
    pub(crate) present_rejected: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedFile {
    pub(crate) desired: DesiredFileState,
    /// The file on the disk, if there is one.
    pub(crate) present: Option<FileState>,
    /// Whether its mode or owner differs from the settings.
    pub(crate) attrs_differ: bool,
}

/// The desired state of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DesiredFileState {
    /// Not known yet, or the file is no longer managed.
    #[default]
    Unknown,
    /// The file must not exist.
    Absent,
    /// The file must have this content.
    Content(DesiredContent),
}

/// The desired content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredContent {
    pub(crate) digest: Digest,
    /// The kind of its template; `None` if the file existed before Portreeve managed it, and has to be restored.
    pub(crate) origin: Option<FileOrigin>,
}

/// The content and the access of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    pub(crate) digest: Digest,
    pub(crate) access: Access,
}

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetStep {
    /// Set the mode and owner of the settings.
    SetAttrs(PathBuf),
    /// Check copies of these files.
    Check(CheckedFiles),
    /// Record the paths of files that are about to be created, so that they are known after a crash.
    Announce(BTreeSet<PathBuf>),
    /// Write the desired content to a temporary file beside the destination.
    Stage(PathBuf),
    /// Save the present content for a rollback.
    SaveFormer(PathBuf),
    /// Record the pending reload.
    RecordPending(PendingReload),
    /// Rename the staged file over the destination.
    Swap(PathBuf),
    /// Remove a file that no template produces any more.
    Remove(PathBuf),
    /// Restore the former content; with `None` remove the file.
    Restore(PathBuf, Option<FileState>),
    /// Notify the program.
    Reload,
    /// Sync the directory of a file.
    Sync(PathBuf),
    /// Wait until the files are in effect.
    Verify,
    /// Record that these are the target's files, and that no reload is pending.
    Commit(CommittedFiles),
}

/// Which files a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckedFiles {
    /// The desired files.
    Desired,
    /// The files on the disk.
    Present,
}

/// The new content of each file that has to change; `None` if it has to be removed.
type ChangedFiles<'a> = BTreeMap<&'a PathBuf, Option<DesiredContent>>;

/// The steps that bring the desired files into effect, or complete an earlier pass.
pub(crate) fn plan(input: &PlanInput) -> Vec<TargetStep> {
    // A change of attributes needs neither a check nor a reload.
    let mut steps = attr_steps(input);
    steps.extend(file_steps(input));
    steps
}

fn attr_steps(input: &PlanInput) -> Vec<TargetStep> {
    let differing = input.files.iter().filter(|(_, file)| file.attrs_differ && file.is_as_desired());
    differing.map(|(path, _)| TargetStep::SetAttrs(path.clone())).collect()
}

fn file_steps(input: &PlanInput) -> Vec<TargetStep> {
    let changed = input.differing_files();
    let may_replace = input.complete && !input.rejected && !changed.is_empty();
    let Some(pending) = &input.journal.pending_reload else {
        if may_replace {
            return swap_steps(input, &changed, &PendingReload::default());
        }
        let files = input.desired_files();
        let is_new = input.complete && changed.is_empty() && files != input.journal.committed;
        return if is_new { vec![TargetStep::Commit(files)] } else { Vec::new() };
    };
    let restore = restore_steps(input, pending);
    let has_failed = pending.is_rollback || !(may_replace || input.is_swap_complete(pending));
    match () {
        // The former files have to be in effect again first; the next plan continues from there.
        () if has_failed && !restore.is_empty() => restore,
        () if may_replace && (!pending.is_rollback || input.present_rejected) => swap_steps(input, &changed, pending),
        () if input.present_rejected => Vec::new(),
        () if has_failed => verify_steps(input, input.journal.committed.clone()),
        () if input.complete && changed.is_empty() => verify_steps(input, input.desired_files()),
        () => verify_steps(input, input.journal.files_once_verified()),
    }
}

/// The steps of a rollback, after a step from [`TargetStep::Swap`] on has failed. With `needs_reload` there are none if
/// no file has a former content to restore. `needs_reload`: whether the program may use the new files.
pub(crate) fn recover(input: &PlanInput, needs_reload: bool) -> Vec<TargetStep> {
    let Some(pending) = &input.journal.pending_reload else { return Vec::new() };
    let mut steps = restore_steps(input, pending);
    if needs_reload {
        return steps;
    }
    steps.retain(|step| !matches!(step, TargetStep::Reload | TargetStep::Verify));
    if steps.is_empty() {
        // No file was changed.
        steps.push(TargetStep::Commit(input.journal.committed.clone()));
    }
    steps
}

fn swap_steps(input: &PlanInput, changed: &ChangedFiles<'_>, pending: &PendingReload) -> Vec<TargetStep> {
    let mut pending_reload = PendingReload { is_rollback: false, ..pending.clone() };
    let mut save = Vec::new();
    for (path, new) in changed {
        let present = input.files[*path].present;
        // A file whose last change is not verified keeps its recorded former content.
        pending_reload.changes.entry((*path).clone()).or_insert_with(|| {
            save.extend(present.map(|_| TargetStep::SaveFormer((*path).clone())));
            FileChange { former: present, new: *new }
        });
    }
    // The changes of earlier passes too: their files may be as desired by now.
    for (path, change) in &mut pending_reload.changes {
        match input.files.get(path).map(|file| file.desired) {
            Some(DesiredFileState::Content(content)) => change.new = Some(content),
            Some(DesiredFileState::Absent) => change.new = None,
            Some(DesiredFileState::Unknown) | None => {}
        }
    }
    let is_unknown =
        |path: &&PathBuf| !input.journal.committed.contains_key(*path) && !pending.changes.contains_key(*path);
    let is_new = |(path, new): &(&&PathBuf, &Option<DesiredContent>)| {
        new.is_some_and(|new| new.origin == Some(FileOrigin::Each)) && is_unknown(path)
    };
    let names: BTreeSet<_> = changed.iter().filter(is_new).map(|(path, _)| (*path).clone()).collect();
    let all = |step: fn(PathBuf) -> TargetStep| changed.keys().map(move |path| step((*path).clone()));
    let steps_for = |exists: bool, step: fn(PathBuf) -> TargetStep| {
        let paths = changed.iter().filter(move |(_, new)| new.is_some() == exists);
        paths.map(move |(path, _)| step((*path).clone()))
    };
    let mut steps = vec![TargetStep::Check(CheckedFiles::Desired)];
    if !names.is_empty() {
        steps.push(TargetStep::Announce(names));
    }
    steps.extend(steps_for(true, TargetStep::Stage).chain(save));
    steps.push(TargetStep::RecordPending(pending_reload));
    steps.extend(steps_for(true, TargetStep::Swap).chain(steps_for(false, TargetStep::Remove)));
    steps.push(TargetStep::Reload);
    steps.extend(all(TargetStep::Sync));
    steps.extend([TargetStep::Verify, TargetStep::Commit(input.desired_files())]);
    steps
}

/// The steps if the files are complete, and only have to be verified. They are checked before the reload, so that
/// rejected files do not cause one failed reload after another. If a file is missing they are not checked, since a
/// check may not handle that.
fn verify_steps(input: &PlanInput, files: CommittedFiles) -> Vec<TargetStep> {
    let is_missing = |file: &ObservedFile| {
        file.present.is_none() && matches!(file.desired, DesiredFileState::Content(_) | DesiredFileState::Unknown)
    };
    let all_exist = !input.files.values().any(is_missing);
    let check = all_exist.then_some(TargetStep::Check(CheckedFiles::Present));
    check.into_iter().chain([TargetStep::Reload, TargetStep::Verify, TargetStep::Commit(files)]).collect()
}

/// Restores all former contents. Empty if the files have them.
fn restore_steps(input: &PlanInput, pending: &PendingReload) -> Vec<TargetStep> {
    let differs = |(path, change): &(&PathBuf, &FileChange)| {
        let file = input.files.get(*path);
        file.is_some_and(|file| file.present_digest() != change.former.map(|former| former.digest))
    };
    let files: Vec<_> = pending.changes.iter().filter(differs).collect();
    let mut steps = Vec::new();
    if files.is_empty() {
        return steps;
    }
    if !pending.is_rollback {
        steps.push(TargetStep::RecordPending(PendingReload { is_rollback: true, ..pending.clone() }));
    }
    steps.extend(files.iter().map(|(path, change)| TargetStep::Restore((*path).clone(), change.former)));
    steps.push(TargetStep::Reload);
    steps.extend(files.iter().map(|(path, _)| TargetStep::Sync((*path).clone())));
    steps.extend([TargetStep::Verify, TargetStep::Commit(input.journal.committed.clone())]);
    steps
}

/// Whether the steps reload the program in order to complete an earlier pass.
pub(crate) fn completes_pending_reload(steps: &[TargetStep]) -> bool {
    steps.contains(&TargetStep::Reload) && !steps.contains(&TargetStep::Check(CheckedFiles::Desired))
}

/// Whether the steps replace or remove files.
pub(crate) fn changes_files(steps: &[TargetStep]) -> bool {
    steps.iter().any(TargetStep::replaces_file)
}

impl TargetStep {
    /// Whether it waits for another program.
    pub(crate) fn may_take_long(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Reload | Self::Verify)
    }

    /// Whether it replaces or removes a file.
    pub(crate) fn replaces_file(&self) -> bool {
        matches!(self, Self::Swap(_) | Self::Remove(_) | Self::Restore(..))
    }
}

impl PlanInput {
    /// Whether any file is not as desired.
    pub(crate) fn has_differences(&self) -> bool {
        self.files.values().any(ObservedFile::is_known_to_differ)
    }

    fn differing_files(&self) -> ChangedFiles<'_> {
        let changed = self.files.iter().filter(|(_, file)| file.is_known_to_differ());
        let new = |file: &ObservedFile| match file.desired {
            DesiredFileState::Content(content) => Some(content),
            DesiredFileState::Absent | DesiredFileState::Unknown => None,
        };
        changed.map(|(path, file)| (path, new(file))).collect()
    }

    /// The target's files once all are as desired.
    fn desired_files(&self) -> CommittedFiles {
        let managed = |(path, file): (&PathBuf, &ObservedFile)| match file.desired {
            DesiredFileState::Content(DesiredContent { origin: Some(origin), .. }) => Some((path.clone(), origin)),
            _ => None,
        };
        self.files.iter().filter_map(managed).collect()
    }

    /// Whether the files on the disk belong together: the last swap was not interrupted, or was completed since.
    fn is_swap_complete(&self, pending: &PendingReload) -> bool {
        let is_swapped = |(path, change): (&PathBuf, &FileChange)| {
            self.files.get(path).is_none_or(|file| file.present_digest() == change.new.map(|new| new.digest))
        };
        (self.complete && self.differing_files().is_empty()) || pending.changes.iter().all(is_swapped)
    }
}

impl ObservedFile {
    /// Whether its desired state is known, and differs from the present one.
    fn is_known_to_differ(&self) -> bool {
        self.desired != DesiredFileState::Unknown && !self.is_as_desired()
    }

    fn present_digest(&self) -> Option<Digest> {
        self.present.map(|present| present.digest)
    }

    /// Whether it has the desired content, or does not exist as desired.
    pub(crate) fn is_as_desired(&self) -> bool {
        match self.desired {
            DesiredFileState::Unknown => false,
            DesiredFileState::Absent => self.present.is_none(),
            DesiredFileState::Content(content) => self.present_digest() == Some(content.digest),
        }
    }
}
