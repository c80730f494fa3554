//! Reads the state from which a plan is made.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ApplyError, Candidate, Target,
    desired_file::{self, DesiredFile, HashedContent},
    files::{self, FileAttrs, FileError, PathResolver},
    journal::Journal,
    plan::{DesiredContent, DesiredFileState, FileOrigin, FileState, ObservedFile, PlanInput},
};
use crate::sys::blocking::blocking;

/// The desired files and those on the disk.
pub(super) struct TargetObservation {
    pub(super) plan_input: PlanInput,
    pub(super) desired: Arc<Candidate>,
    pub(super) present: Arc<Candidate>,
    rendered: BTreeMap<PathBuf, RenderedFile>,
}

impl TargetObservation {
    pub(super) fn attrs(&self, path: &Path) -> FileAttrs {
        self.rendered.get(path).map(|sought| sought.attrs).unwrap_or_default()
    }
}

/// A file that a template makes.
struct RenderedFile {
    content: Arc<HashedContent>,
    origin: FileOrigin,
    attrs: FileAttrs,
}

impl Target {
    pub(super) async fn observe(
        &mut self,
        desired: &desired_file::DesiredSnapshot,
    ) -> Result<TargetObservation, ApplyError> {
        let sought: BTreeMap<_, _> =
            desired.entries.iter().filter_map(|(key, product)| self.rendered_file(key, product)).collect();
        let complete = desired.complete && self.fixed_destinations.iter().all(|fixed| sought.contains_key(&fixed.path));
        let journal = self.journal.clone();
        let mut seen = blocking(move || read_files(sought, complete, &journal)).await?;
        let observed = &mut seen.plan_input;
        if complete && observed.has_differences() && self.retry.rejected().is_some() {
            let inputs = self.program.inputs_digest(&seen.desired).await.map_err(ApplyError::Check)?;
            observed.rejected = self.is_candidate_blocked(inputs).await;
        }
        Ok(seen)
    }

    /// `None` for a file that the settings do not know.
    fn rendered_file(&self, key: &Path, product: &DesiredFile) -> Option<(PathBuf, RenderedFile)> {
        let text = Arc::clone(&product.content);
        if let Some(fixed) = self.fixed_destinations.iter().find(|fixed| fixed.key == key) {
            return Some((
                fixed.path.clone(),
                RenderedFile { content: text, origin: FileOrigin::Fixed, attrs: fixed.attrs },
            ));
        }
        let wish = *self.multi_file_attrs.get(&product.template)?;
        Some((std::path::absolute(key).ok()?, RenderedFile { content: text, origin: FileOrigin::Each, attrs: wish }))
    }
}

fn read_files(
    sought: BTreeMap<PathBuf, RenderedFile>,
    complete: bool,
    journal: &Journal,
) -> Result<TargetObservation, ApplyError> {
    check_distinct(&sought).map_err(ApplyError::File)?;
    let notes = journal.record()?;
    // All lists are sorted by path, so that maps can be built from them in linear time: there may be thousands of
    // files.
    let (mut present, mut wanted, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut gone) = (BTreeSet::new(), BTreeSet::new());
    let paths: BTreeSet<_> = sought.keys().chain(notes.tracked_paths()).collect();
    let mut templates = sought.iter().peekable();
    for path in paths {
        let template = templates.next_if(|(sought, _)| *sought == path).map(|(_, template)| template);
        let wish = template.map(|template| template.attrs).unwrap_or_default();
        let mut file = ObservedFile::default();
        if let Some(found) = files::read(path, wish.symlinks).map_err(ApplyError::File)? {
            let text = match template {
                // Most files are equal, and need no hash.
                Some(template) if template.content.bytes() == found.bytes => Arc::clone(&template.content),
                _ => Arc::new(HashedContent::new(found.bytes)),
            };
            file.present = Some(FileState { digest: text.digest(), access: found.access });
            file.attrs_differ = !wish.matches(found.access);
            present.push((path.clone(), text));
        }
        file.desired = match template {
            _ if !complete => DesiredFileState::Unknown,
            Some(RenderedFile { content: text, origin, .. }) => {
                DesiredFileState::Content(DesiredContent { digest: text.digest(), origin: Some(*origin) })
            }
            None => notes.desired_without_template(path),
        };
        match (file.desired, template) {
            (DesiredFileState::Absent, _) => drop(gone.insert(path.clone())),
            (_, Some(template)) => wanted.push((path.clone(), Arc::clone(&template.content))),
            (DesiredFileState::Content(draft), None) => {
                let former = journal.former_content(draft.digest)?;
                let former = former.ok_or_else(|| ApplyError::File(FileError::FormerLost(path.clone())))?;
                wanted.push((path.clone(), Arc::new(HashedContent::new(former))));
            }
            (DesiredFileState::Unknown, None) => {}
        }
        if file.desired != DesiredFileState::Absent && !file.is_as_desired() {
            changed.insert(path.clone());
        }
        files.push((path.clone(), file));
    }
    let observed = PlanInput {
        complete,
        files: files.into_iter().collect(),
        journal: notes,
        rejected: false,
        present_rejected: false,
    };
    let present = Candidate { files: present.into_iter().collect(), ..Candidate::default() };
    let wanted = Candidate { files: wanted.into_iter().collect(), changed, removed: gone };
    Ok(TargetObservation {
        plan_input: observed,
        desired: Arc::new(wanted),
        present: Arc::new(present),
        rendered: sought,
    })
}

/// No two destinations may be the same file, also through symlinks.
fn check_distinct(sought: &BTreeMap<PathBuf, RenderedFile>) -> Result<(), FileError> {
    let (mut seen, follower) = (HashMap::new(), PathResolver::default());
    for path in sought.keys() {
        // If the path cannot be followed, reading it returns the error.
        let Ok(real) = follower.resolve(path) else { continue };
        if let Some(one) = seen.insert(real, path) {
            return Err(FileError::SameFile { one: one.clone(), other: path.clone() });
        }
    }
    Ok(())
}
