//! What has to be done, from what is seen. Pure.
//!
//! Files are replaced in two phases: everything that can fail without harm comes first, then the swap. In between, what
//! is owed is written down: which files change, what they were, and that nobody has proven the new ones yet. Whoever
//! finds that note later, this process or the next, either proves the files or brings the former ones back.

mod notes;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{files::Access, rendered::Digest};

pub(crate) use self::notes::{Change, Notes, Origin, Owed, Settled};

/// All that a plan is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Whether all templates of the target have rendered.
    pub(crate) complete: bool,
    /// The target's files, by destination: those that templates make, and those that are noted.
    pub(crate) files: BTreeMap<PathBuf, File>,
    /// What earlier passes have written down.
    pub(crate) notes: Notes,
    /// Whether what is wanted was refused, with everything that matters for it as it is now.
    pub(crate) bad: bool,
    /// Whether the check has refused the present files in this pass, or their reload has failed before.
    pub(crate) stuck: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) wanted: Wanted,
    /// What lies there.
    pub(crate) present: Option<Version>,
    /// Whether its mode or owner is not what the settings name.
    pub(crate) misfit: bool,
}

/// What a file is to become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nobody knows, or it is none of our business any more.
    #[default]
    Unknown,
    /// It is to be gone.
    Absent,
    /// It is to have this content.
    Content(Draft),
}

/// A content for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) digest: Digest,
    /// Where the file comes from. Nothing: it was there before us, and is to be so again.
    pub(crate) origin: Option<Origin>,
}

/// A content, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) digest: Digest,
    pub(crate) access: Access,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give the file the mode and owner that the settings name.
    Adjust(PathBuf),
    /// Have copies of these contents checked.
    Check(Contents),
    /// Write down names that no note has yet: a crash must not leave a file that nobody knows.
    Announce(BTreeSet<PathBuf>),
    /// Write what is wanted beside the destination.
    Stage(PathBuf),
    /// Keep what lies at the destination for a way back.
    Save(PathBuf),
    /// Write down what is owed.
    Owe(Owed),
    /// Put what was staged in its place.
    Swap(PathBuf),
    /// Remove what no template makes any more.
    Remove(PathBuf),
    /// Put the former content back; nothing: remove the file.
    Restore(PathBuf, Option<Version>),
    /// Tell who uses the files.
    Reload,
    /// Bring the new name of a file onto the disk.
    Sync(PathBuf),
    /// Wait until the files are in effect.
    Verify,
    /// Nothing is owed any more, and these are the target's files.
    Settle(Settled),
}

/// Which contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Those that the templates became.
    Wanted,
    /// Those that lie at the destinations.
    Present,
}

/// What has to change, by destination; nothing: the file has to go.
type Changed<'a> = BTreeMap<&'a PathBuf, Option<Draft>>;

/// The steps that bring the files in line with what is wanted, or bring an earlier pass to its end.
pub(crate) fn plan(observed: &Observed) -> Vec<Step> {
    // A mode needs neither a check nor a reload: programs read contents.
    let mut steps = adjust(observed);
    steps.extend(settle(observed));
    steps
}

fn adjust(observed: &Observed) -> Vec<Step> {
    let misfits = observed.files.iter().filter(|(_, file)| file.misfit && file.is_as_wanted());
    misfits.map(|(path, _)| Step::Adjust(path.clone())).collect()
}

fn settle(observed: &Observed) -> Vec<Step> {
    let changed = observed.changed();
    let may_replace = observed.complete && !observed.bad && !changed.is_empty();
    let Some(owed) = &observed.notes.owed else {
        if may_replace {
            return replace(observed, &changed, &Owed::default());
        }
        let files = observed.wanted_files();
        let is_news = observed.complete && changed.is_empty() && files != observed.notes.settled;
        return if is_news { vec![Step::Settle(files)] } else { Vec::new() };
    };
    let restore = restore(observed, owed);
    let has_failed = owed.back || !(may_replace || observed.is_whole(owed));
    match () {
        // First what was in effect is to be in effect again; the next plan goes on from there.
        () if has_failed && !restore.is_empty() => restore,
        () if may_replace && (!owed.back || observed.stuck) => replace(observed, &changed, owed),
        () if observed.stuck => Vec::new(),
        () if has_failed => prove(observed, observed.notes.settled.clone()),
        () if observed.complete && changed.is_empty() => prove(observed, observed.wanted_files()),
        () => prove(observed, observed.notes.proven()),
    }
}

/// The steps after one of [`Step::Swap`], [`Step::Remove`], [`Step::Reload`] or [`Step::Verify`] has failed. After a
/// reload there are none if there is nothing to go back to. `reload`: whether anybody may know the new files by now.
pub(crate) fn recover(observed: &Observed, reload: bool) -> Vec<Step> {
    let Some(owed) = &observed.notes.owed else { return Vec::new() };
    let mut steps = restore(observed, owed);
    if reload {
        return steps;
    }
    steps.retain(|step| !matches!(step, Step::Reload | Step::Verify));
    if steps.is_empty() {
        // Not a single file was touched, so the note means nothing.
        steps.push(Step::Settle(observed.notes.settled.clone()));
    }
    steps
}

fn replace(observed: &Observed, changed: &Changed<'_>, owed: &Owed) -> Vec<Step> {
    let mut note = Owed { back: false, ..owed.clone() };
    let mut save = Vec::new();
    for (path, new) in changed {
        let present = observed.files[*path].present;
        // A file whose last change is not proven keeps the former content that it has.
        note.changes.entry((*path).clone()).or_insert_with(|| {
            save.extend(present.map(|_| Step::Save((*path).clone())));
            Change { former: present, new: *new }
        });
    }
    // Those of earlier passes too: some may be as they are wanted by now.
    for (path, change) in &mut note.changes {
        match observed.files.get(path).map(|file| file.wanted) {
            Some(Wanted::Content(draft)) => change.new = Some(draft),
            Some(Wanted::Absent) => change.new = None,
            Some(Wanted::Unknown) | None => {}
        }
    }
    let strange = |path: &&PathBuf| !observed.notes.settled.contains_key(*path) && !owed.changes.contains_key(*path);
    let is_new = |(path, new): &(&&PathBuf, &Option<Draft>)| {
        new.is_some_and(|new| new.origin == Some(Origin::Each)) && strange(path)
    };
    let names: BTreeSet<_> = changed.iter().filter(is_new).map(|(path, _)| (*path).clone()).collect();
    let all = |step: fn(PathBuf) -> Step| changed.keys().map(move |path| step((*path).clone()));
    let some = |there: bool, step: fn(PathBuf) -> Step| {
        let paths = changed.iter().filter(move |(_, new)| new.is_some() == there);
        paths.map(move |(path, _)| step((*path).clone()))
    };
    let mut steps = vec![Step::Check(Contents::Wanted)];
    if !names.is_empty() {
        steps.push(Step::Announce(names));
    }
    steps.extend(some(true, Step::Stage).chain(save));
    steps.push(Step::Owe(note));
    steps.extend(some(true, Step::Swap).chain(some(false, Step::Remove)));
    steps.push(Step::Reload);
    steps.extend(all(Step::Sync));
    steps.extend([Step::Verify, Step::Settle(observed.wanted_files())]);
    steps
}

/// All files are as they should be, and only the proof is missing. Before anybody is told, the check has a look: what it
/// refuses would fail again and again. Unless a file is missing, which no check may be expected to bear.
fn prove(observed: &Observed, files: Settled) -> Vec<Step> {
    let lacks = |file: &File| file.present.is_none() && matches!(file.wanted, Wanted::Content(_) | Wanted::Unknown);
    let all_there = !observed.files.values().any(lacks);
    let check = all_there.then_some(Step::Check(Contents::Present));
    check.into_iter().chain([Step::Reload, Step::Verify, Step::Settle(files)]).collect()
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
    steps.extend([Step::Verify, Step::Settle(observed.notes.settled.clone())]);
    steps
}

/// Whether the steps bring an earlier pass to its end, and tell somebody.
pub(crate) fn makes_good(steps: &[Step]) -> bool {
    steps.contains(&Step::Reload) && !steps.contains(&Step::Check(Contents::Wanted))
}

/// Whether files are others after these steps.
pub(crate) fn changes_files(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Swap(_) | Step::Remove(_) | Step::Restore(..)))
}

impl Step {
    /// Whether another program is waited for.
    pub(crate) fn may_take_long(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Reload | Self::Verify)
    }

    /// Whether a file is another one after it.
    pub(crate) fn replaces_a_file(&self) -> bool {
        matches!(self, Self::Swap(_) | Self::Remove(_) | Self::Restore(..))
    }
}

impl Observed {
    /// Whether a file is not as it is wanted.
    pub(crate) fn has_changes(&self) -> bool {
        self.files.values().any(File::has_changed)
    }

    fn changed(&self) -> Changed<'_> {
        let changed = self.files.iter().filter(|(_, file)| file.has_changed());
        let new = |file: &File| match file.wanted {
            Wanted::Content(draft) => Some(draft),
            Wanted::Absent | Wanted::Unknown => None,
        };
        changed.map(|(path, file)| (path, new(file))).collect()
    }

    /// The files that the target has when all is as wanted.
    fn wanted_files(&self) -> Settled {
        let ours = |(path, file): (&PathBuf, &File)| match file.wanted {
            Wanted::Content(Draft { origin: Some(origin), .. }) => Some((path.clone(), origin)),
            _ => None,
        };
        self.files.iter().filter_map(ours).collect()
    }

    /// Whether what lies there belongs together: the swap was not cut short, or was made up for.
    fn is_whole(&self, owed: &Owed) -> bool {
        let is_swapped = |(path, change): (&PathBuf, &Change)| {
            self.files.get(path).is_none_or(|file| file.digest() == change.new.map(|new| new.digest))
        };
        (self.complete && self.changed().is_empty()) || owed.changes.iter().all(is_swapped)
    }
}

impl File {
    /// Whether it is known to differ from what is wanted.
    fn has_changed(&self) -> bool {
        self.wanted != Wanted::Unknown && !self.is_as_wanted()
    }

    fn digest(&self) -> Option<Digest> {
        self.present.map(|present| present.digest)
    }

    /// Whether it has the wanted content, or is absent as wanted.
    pub(crate) fn is_as_wanted(&self) -> bool {
        match self.wanted {
            Wanted::Unknown => false,
            Wanted::Absent => self.present.is_none(),
            Wanted::Content(draft) => self.digest() == Some(draft.digest),
        }
    }
}
