//! The part of a pass that concerns the history: files of a pinned generation, and new generations.

use std::sync::Arc;

use super::{
    ApplyError, Destination, Target,
    desired_file::{DesiredFile, DesiredSnapshot},
    failure::FailureMemory,
    files,
};
use crate::{core::condition::error_chain, sys::blocking::blocking};

impl Target {
    /// The files of the pinned generation, if one is pinned. Destinations that are not part of the generation get the
    /// files that the templates have rendered.
    pub(super) fn pinned_snapshot(&mut self) -> Result<Option<DesiredSnapshot>, ApplyError> {
        let pin = self.history.pin();
        if self.log.pinned(pin) {
            // A rollback or its release must not wait for the back-off after earlier failures.
            self.failures = FailureMemory::new();
        }
        let Some(mut pinned) = self.history.pinned_files()? else { return Ok(None) };
        self.applied_pin = pin;
        let desired: DesiredSnapshot = self.desired.snapshot().into();
        if desired.complete {
            self.log.withheld(desired.digest());
        }
        for Destination { key, .. } in &self.fixed_destinations {
            if let (false, Some(file)) = (pinned.contains_key(key), desired.files.get(key)) {
                pinned.insert(key.clone(), Arc::clone(file));
            }
        }
        Ok(Some(DesiredSnapshot::complete(pinned)))
    }

    /// The rendered files, as the scheduler chooses them. A change of the pin takes effect without delay.
    pub(super) fn choose_desired(&mut self) -> DesiredSnapshot {
        let (newest, pin) = (DesiredSnapshot::from(self.desired.snapshot()), self.history.pin());
        if self.applied_pin != pin && newest.complete && self.history.is_rendered_as_pinned(&newest) {
            self.applied_pin = pin;
            self.scheduler.choose_now(newest.clone(), super::now());
            return newest;
        }
        self.scheduler.choose(newest, super::now())
    }

    /// Records in the history what is in effect.
    pub(super) async fn record_in_effect(&mut self, files: &DesiredSnapshot) {
        let key = (files.digest(), files.template_version(), self.applied_pin);
        if self.recorded == Some(key) {
            return;
        }
        let (history, files, pin) = (self.history.clone(), files.clone(), self.applied_pin);
        match blocking(move || history.record_in_effect(&files, pin)).await {
            Ok(()) => self.recorded = Some(key),
            Err(error) => {
                tracing::warn!("target {}: this generation cannot be kept: {}", self.name, error_chain(&error))
            }
        }
    }

    /// Records the files that existed before Portreeve wrote any as the first generation.
    pub(super) async fn record_original_files(&mut self) -> Result<(), ApplyError> {
        if self.are_originals_recorded {
            return Ok(());
        }
        let is_first = self.history.generations()?.is_empty();
        self.are_originals_recorded = true;
        if !is_first {
            return Ok(());
        }
        let fixed = self.fixed_destinations.clone();
        let original = move |Destination { key, path, attrs }: Destination| {
            let present = files::read(&path, attrs.symlinks).ok().flatten()?;
            Some((key, Arc::new(DesiredFile::new(0, present.bytes))))
        };
        let originals = blocking(move || fixed.into_iter().filter_map(original).collect()).await;
        self.record_in_effect(&DesiredSnapshot::complete(originals)).await;
        Ok(())
    }
}
