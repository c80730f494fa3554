//! Looks at everything that a plan is made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ApplyError, Candidate, Contents, Target,
    files::{self, FileError, Wish},
    journal::Journal,
    plan::{Draft, File, Observed, Origin, Version, Wanted},
    rendered::{self, Product, Rendered},
};
use crate::blocking::blocking;

/// What is desired and what is there.
pub(super) struct Seen {
    pub(super) observed: Observed,
    pub(super) wanted: Arc<Candidate>,
    pub(super) present: Arc<Candidate>,
    wishes: BTreeMap<PathBuf, Wish>,
}

impl Seen {
    pub(super) fn wish(&self, path: &Path) -> Wish {
        self.wishes.get(path).copied().unwrap_or_default()
    }
}

/// What a template wants of a file.
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
        let mut seen = blocking(move || look(&sought, complete, &journal)).await?;
        let observed = &mut seen.observed;
        if complete && observed.has_changes() && self.retry.rejected().is_some() {
            let inputs = self.program.inputs(&seen.wanted).await.map_err(ApplyError::Check)?;
            observed.bad = self.holds_candidate(inputs).await;
        }
        Ok(seen)
    }

    /// Nothing for a file that the settings do not know.
    fn sought(&self, key: &Path, product: &Product) -> Option<(PathBuf, Sought)> {
        let text = Arc::clone(&product.text);
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.key == key) {
            return Some((fixed.path.clone(), Sought { text, origin: Origin::Fixed, wish: fixed.wish }));
        }
        let wish = *self.each.get(&product.template)?;
        Some((std::path::absolute(key).ok()?, Sought { text, origin: Origin::Each, wish }))
    }
}

fn look(sought: &BTreeMap<PathBuf, Sought>, complete: bool, journal: &Journal) -> Result<Seen, ApplyError> {
    apart(sought).map_err(ApplyError::File)?;
    let notes = journal.notes()?;
    let (mut wanted, mut present, mut files) = (Candidate::default(), Contents::new(), BTreeMap::new());
    let paths: BTreeSet<_> = sought.keys().chain(notes.known()).cloned().collect();
    for path in paths {
        let template = sought.get(&path);
        let wish = template.map(|template| template.wish).unwrap_or_default();
        let mut file = File::default();
        if let Some(found) = files::read(&path, wish.symlinks).map_err(ApplyError::File)? {
            let text = match template {
                // Spares hashing what is most often equal.
                Some(template) if template.text.bytes() == found.bytes => Arc::clone(&template.text),
                _ => Arc::new(Rendered::new(found.bytes)),
            };
            file.present = Some(Version { digest: text.digest(), access: found.access });
            file.misfit = !wish.fits(found.access);
            present.insert(path.clone(), text);
        }
        file.wanted = match template {
            _ if !complete => Wanted::Unknown,
            Some(Sought { text, origin, .. }) => {
                Wanted::Content(Draft { digest: text.digest(), origin: Some(*origin) })
            }
            None => notes.leftover(&path),
        };
        match (file.wanted, template) {
            (Wanted::Absent, _) => drop(wanted.gone.insert(path.clone())),
            (_, Some(template)) => drop(wanted.files.insert(path.clone(), Arc::clone(&template.text))),
            (Wanted::Content(draft), None) => {
                let former = journal.former(draft.digest)?;
                let former = former.ok_or_else(|| ApplyError::File(FileError::Lost(path.clone())))?;
                wanted.files.insert(path.clone(), Arc::new(Rendered::new(former)));
            }
            (Wanted::Unknown, None) => {}
        }
        files.insert(path, file);
    }
    let observed = Observed { complete, files, notes, bad: false, stuck: false };
    let present = Arc::new(Candidate { files: present, gone: BTreeSet::new() });
    let wishes = sought.iter().map(|(path, template)| (path.clone(), template.wish)).collect();
    Ok(Seen { observed, wanted: Arc::new(wanted), present, wishes })
}

/// No two destinations may be one file, whatever ways lead to it.
fn apart(sought: &BTreeMap<PathBuf, Sought>) -> Result<(), FileError> {
    let mut seen = BTreeMap::new();
    for path in sought.keys() {
        // Where it cannot be followed, reading it says why.
        let Ok(real) = files::follow(path) else { continue };
        if let Some(one) = seen.insert(real, path) {
            return Err(FileError::Twice { one: one.clone(), other: path.clone() });
        }
    }
    Ok(())
}
