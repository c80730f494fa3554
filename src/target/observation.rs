//! Reads the state that a plan is made from.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ApplyError, Candidate, Target,
    desired_file::{DesiredFile, DesiredSnapshot, HashedContent},
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
        self.rendered.get(path).map(|file| file.attrs).unwrap_or_default()
    }
}

/// A desired file with the settings of its template.
struct RenderedFile {
    content: Arc<HashedContent>,
    origin: FileOrigin,
    attrs: FileAttrs,
}

impl Target {
    pub(super) async fn observe(&mut self, desired: &DesiredSnapshot) -> Result<TargetObservation, ApplyError> {
        let rendered: BTreeMap<_, _> =
            desired.files.iter().filter_map(|(key, file)| self.rendered_file(key, file)).collect();
        let complete =
            desired.complete && self.fixed_destinations.iter().all(|fixed| rendered.contains_key(&fixed.path));
        let journal = self.journal.clone();
        let mut observation = blocking(move || read_files(rendered, complete, &journal)).await?;
        let input = &mut observation.plan_input;
        if complete && input.has_differences() && self.failures.rejection().is_some() {
            let inputs = self.program.inputs_digest(&observation.desired).await.map_err(ApplyError::Check)?;
            input.rejected = self.failures.is_candidate_blocked(inputs, self.dependency_source()).await;
        }
        Ok(observation)
    }

    /// `None` for a file of a template that the settings no longer have.
    fn rendered_file(&self, key: &Path, file: &DesiredFile) -> Option<(PathBuf, RenderedFile)> {
        let content = Arc::clone(&file.content);
        if let Some(fixed) = self.fixed_destinations.iter().find(|fixed| fixed.key == key) {
            let rendered = RenderedFile { content, origin: FileOrigin::Fixed, attrs: fixed.attrs };
            return Some((fixed.path.clone(), rendered));
        }
        let attrs = *self.multi_file_attrs.get(&file.template)?;
        Some((std::path::absolute(key).ok()?, RenderedFile { content, origin: FileOrigin::Each, attrs }))
    }
}

fn read_files(
    rendered: BTreeMap<PathBuf, RenderedFile>,
    complete: bool,
    journal: &Journal,
) -> Result<TargetObservation, ApplyError> {
    check_distinct(&rendered).map_err(ApplyError::File)?;
    let record = journal.record()?;
    // All lists are sorted by path, so that maps are built from them in linear time: there may be thousands of files.
    let (mut present, mut desired, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut removed) = (BTreeSet::new(), BTreeSet::new());
    let paths: BTreeSet<_> = rendered.keys().chain(record.tracked_paths()).collect();
    let mut rest = rendered.iter().peekable();
    for path in paths {
        let rendered = rest.next_if(|(next, _)| *next == path).map(|(_, rendered)| rendered);
        let attrs = rendered.map(|rendered| rendered.attrs).unwrap_or_default();
        let mut file = ObservedFile::default();
        if let Some(found) = files::read(path, attrs.symlinks).map_err(ApplyError::File)? {
            let content = match rendered {
                // Most files are unchanged, and need not be hashed again.
                Some(rendered) if rendered.content.bytes() == found.bytes => Arc::clone(&rendered.content),
                _ => Arc::new(HashedContent::new(found.bytes)),
            };
            file.present = Some(FileState { digest: content.digest(), access: found.access });
            file.attrs_differ = !attrs.matches(found.access);
            present.push((path.clone(), content));
        }
        file.desired = match rendered {
            _ if !complete => DesiredFileState::Unknown,
            Some(RenderedFile { content, origin, .. }) => {
                DesiredFileState::Content(DesiredContent { digest: content.digest(), origin: Some(*origin) })
            }
            None => record.desired_without_template(path),
        };
        match (file.desired, rendered) {
            (DesiredFileState::Absent, _) => drop(removed.insert(path.clone())),
            (_, Some(rendered)) => desired.push((path.clone(), Arc::clone(&rendered.content))),
            (DesiredFileState::Content(content), None) => {
                let former = journal.former_content(content.digest)?;
                let former = former.ok_or_else(|| ApplyError::File(FileError::FormerLost(path.clone())))?;
                desired.push((path.clone(), Arc::new(HashedContent::new(former))));
            }
            (DesiredFileState::Unknown, None) => {}
        }
        if file.desired != DesiredFileState::Absent && !file.is_as_desired() {
            changed.insert(path.clone());
        }
        files.push((path.clone(), file));
    }
    let files = files.into_iter().collect();
    let plan_input = PlanInput { complete, files, journal: record, rejected: false, present_rejected: false };
    let present = Candidate { files: present.into_iter().collect(), ..Candidate::default() };
    let desired = Candidate { files: desired.into_iter().collect(), changed, removed };
    Ok(TargetObservation { plan_input, desired: Arc::new(desired), present: Arc::new(present), rendered })
}

/// No two destinations may be the same file, also through symlinks.
fn check_distinct(rendered: &BTreeMap<PathBuf, RenderedFile>) -> Result<(), FileError> {
    let (mut seen, resolver) = (HashMap::new(), PathResolver::default());
    for path in rendered.keys() {
        // If the path cannot be resolved, reading the file returns the error.
        let Ok(real) = resolver.resolve(path) else { continue };
        if let Some(one) = seen.insert(real, path) {
            return Err(FileError::SameFile { one: one.clone(), other: path.clone() });
        }
    }
    Ok(())
}
