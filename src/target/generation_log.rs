//! What a target's pass has to do with its past: hold on to a generation, and take down what becomes one.

use std::sync::Arc;

use super::{
    ApplyError, Destination, Target,
    desired_file::{DesiredFile, DesiredSnapshot, Digest},
    files, generations,
};
use crate::{core::condition::error_chain, sys::blocking::blocking};

impl Target {
    /// The files of the generation that is held on to; what it does not know of the configured files is as the templates
    /// have it.
    pub(super) fn load_pinned_snapshot(&mut self) -> Result<Option<DesiredSnapshot>, ApplyError> {
        let held = self.history.pin();
        if std::mem::replace(&mut self.logged.pin, held) != held {
            match held {
                Some(held) => tracing::warn!(
                    "target {}: is pinned to {held}, until `portreeve render rollback --release`",
                    self.name
                ),
                None => tracing::info!("target {}: follows its templates again", self.name),
            }
        }
        let Some(mut files) = self.history.pinned_files()? else { return Ok(None) };
        self.applied_pin = held;
        let desired = self.desired.snapshot();
        self.log_withheld(&desired);
        for Destination { key, .. } in &self.fixed_destinations {
            if let (false, Some(product)) = (files.entries.contains_key(key), desired.entries.get(key)) {
                Arc::make_mut(&mut files.entries).insert(key.clone(), Arc::clone(product));
            }
        }
        Ok(Some(files))
    }

    /// Says of each change that it is not taken.
    fn log_withheld(&mut self, desired: &DesiredSnapshot) {
        let digest = Some(Digest::of_files(&desired.entries)).filter(|_| desired.complete);
        let is_new = digest.is_some() && self.logged.withheld_digest != digest;
        if let (true, Some(held)) = (is_new, self.logged.pin) {
            self.logged.withheld_digest = digest;
            tracing::warn!(
                "target {}: a change of its files is withheld, since it is pinned to {held}; \
                 `portreeve render rollback --release` unpins it",
                self.name
            );
        }
    }

    /// What the templates became, at the target's pace. What somebody has ordered by hand does not wait.
    pub(super) fn choose_desired(&mut self) -> DesiredSnapshot {
        let (newest, held) = (self.desired.snapshot(), self.history.pin());
        if self.applied_pin != held && newest.complete && self.history.is_rendered_as_pinned(&newest) {
            self.applied_pin = held;
            self.scheduler.choose_now(newest.clone(), super::now());
            return newest;
        }
        self.scheduler.choose(newest, super::now())
    }

    /// Records what is in effect.
    pub(super) async fn record_in_effect(&mut self, now: &DesiredSnapshot) {
        let names = (Digest::of_files(&now.entries), generations::template_version(now), self.applied_pin);
        if self.recorded == Some(names) {
            return;
        }
        let (history, now, followed) = (self.history.clone(), now.clone(), self.applied_pin);
        match blocking(move || history.record_in_effect(&now, followed)).await {
            Ok(()) => self.recorded = Some(names),
            Err(error) => {
                tracing::warn!("target {}: this generation cannot be kept: {}", self.name, error_chain(&error))
            }
        }
    }

    /// The first generation of all is what lay there before us.
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
        let there = move |Destination { key, path, attrs: wish }: Destination| {
            let present = files::read(&path, wish.symlinks).ok().flatten()?;
            Some((key, Arc::new(DesiredFile::new(0, present.bytes))))
        };
        let entries = blocking(move || fixed.into_iter().filter_map(there).collect()).await;
        self.record_in_effect(&DesiredSnapshot { entries: Arc::new(entries), complete: true, complete_count: 0 }).await;
        Ok(())
    }
}
