//! Reads the state from which a plan is made.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ApplyError, Candidate, Target,
    files::{self, FileError, Follower, Wish},
    journal::Journal,
    plan::{Draft, File, Observed, Origin, Version, Wanted},
    rendered::{self, Product, Rendered},
};
use crate::sys::blocking::blocking;

/// The desired files and those on the disk.
pub(super) struct Seen {
    pub(super) observed: Observed,
    pub(super) wanted: Arc<Candidate>,
    pub(super) present: Arc<Candidate>,
    sought: BTreeMap<PathBuf, Sought>,
}

impl Seen {
    pub(super) fn wish(&self, path: &Path) -> Wish {
        self.sought.get(path).map(|sought| sought.wish).unwrap_or_default()
    }
}

/// A file that a template makes.
struct Sought {
    text: Arc<Rendered>,
    origin: Origin,
    wish: Wish,
}

impl Target {
    pub(super) async fn observe(&mut self, desired: &rendered::Wanted) -> Result<Seen, ApplyError> {
        let sought: BTreeMap<_, _> =
            desired.entries.iter().filter_map(|(key, product)| self.sought(key, product)).collect();
        let complete = desired.complete && self.fixed.iter().all(|fixed| sought.contains_key(&fixed.path));
        let journal = self.journal.clone();
        let mut seen = blocking(move || look(sought, complete, &journal)).await?;
        let observed = &mut seen.observed;
        if complete && observed.has_changes() && self.retry.rejected().is_some() {
            let inputs = self.program.inputs(&seen.wanted).await.map_err(ApplyError::Check)?;
            observed.bad = self.holds_candidate(inputs).await;
        }
        Ok(seen)
    }

    /// `None` for a file that the settings do not know.
    fn sought(&self, key: &Path, product: &Product) -> Option<(PathBuf, Sought)> {
        let text = Arc::clone(&product.text);
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.key == key) {
            return Some((fixed.path.clone(), Sought { text, origin: Origin::Fixed, wish: fixed.wish }));
        }
        let wish = *self.each.get(&product.template)?;
        Some((std::path::absolute(key).ok()?, Sought { text, origin: Origin::Each, wish }))
    }
}

fn look(sought: BTreeMap<PathBuf, Sought>, complete: bool, journal: &Journal) -> Result<Seen, ApplyError> {
    apart(&sought).map_err(ApplyError::File)?;
    let notes = journal.notes()?;
    // All lists are sorted by path, so that maps can be built from them in linear time: there may be thousands of
    // files.
    let (mut present, mut wanted, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut gone) = (BTreeSet::new(), BTreeSet::new());
    let paths: BTreeSet<_> = sought.keys().chain(notes.known()).collect();
    let mut templates = sought.iter().peekable();
    for path in paths {
        let template = templates.next_if(|(sought, _)| *sought == path).map(|(_, template)| template);
        let wish = template.map(|template| template.wish).unwrap_or_default();
        let mut file = File::default();
        if let Some(found) = files::read(path, wish.symlinks).map_err(ApplyError::File)? {
            let text = match template {
                // Most files are equal, and need no hash.
                Some(template) if template.text.bytes() == found.bytes => Arc::clone(&template.text),
                _ => Arc::new(Rendered::new(found.bytes)),
            };
            file.present = Some(Version { digest: text.digest(), access: found.access });
            file.misfit = !wish.fits(found.access);
            present.push((path.clone(), text));
        }
        file.wanted = match template {
            _ if !complete => Wanted::Unknown,
            Some(Sought { text, origin, .. }) => {
                Wanted::Content(Draft { digest: text.digest(), origin: Some(*origin) })
            }
            None => notes.leftover(path),
        };
        match (file.wanted, template) {
            (Wanted::Absent, _) => drop(gone.insert(path.clone())),
            (_, Some(template)) => wanted.push((path.clone(), Arc::clone(&template.text))),
            (Wanted::Content(draft), None) => {
                let former = journal.former(draft.digest)?;
                let former = former.ok_or_else(|| ApplyError::File(FileError::Lost(path.clone())))?;
                wanted.push((path.clone(), Arc::new(Rendered::new(former))));
            }
            (Wanted::Unknown, None) => {}
        }
        if file.wanted != Wanted::Absent && !file.is_as_wanted() {
            changed.insert(path.clone());
        }
        files.push((path.clone(), file));
    }
    let observed = Observed { complete, files: files.into_iter().collect(), notes, bad: false, stuck: false };
    let present = Candidate { files: present.into_iter().collect(), ..Candidate::default() };
    let wanted = Candidate { files: wanted.into_iter().collect(), changed, gone };
    Ok(Seen { observed, wanted: Arc::new(wanted), present: Arc::new(present), sought })
}

/// No two destinations may be the same file, also through symlinks.
fn apart(sought: &BTreeMap<PathBuf, Sought>) -> Result<(), FileError> {
    let (mut seen, follower) = (HashMap::new(), Follower::default());
    for path in sought.keys() {
        // If the path cannot be followed, reading it returns the error.
        let Ok(real) = follower.follow(path) else { continue };
        if let Some(one) = seen.insert(real, path) {
            return Err(FileError::Twice { one: one.clone(), other: path.clone() });
        }
    }
    Ok(())
}
