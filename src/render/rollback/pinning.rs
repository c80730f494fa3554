//! Pins a target to earlier templates or files, and unpins it.

use std::sync::Arc;

use super::{ControlHandler, TargetHandle};
use crate::{
    core::condition::error_chain,
    render::{
        template_set::{PinnedTemplates, TargetTemplates, has_same_outputs},
        template_sources::TemplateSources,
    },
    target::{Digest, History, RollbackPin, TargetStatus},
};

impl ControlHandler {
    /// Pins the target to a version of its templates, or to a generation of its files if `data` is set.
    pub(super) fn pin(&self, target: &TargetHandle, to: Option<u64>, data: bool) -> Result<RollbackPin, String> {
        if data {
            let number = target.history.pin_generation(to).map_err(|error| target.error(&error))?;
            return Ok(RollbackPin::Data(number));
        }
        let templates = self.load(target, to)?;
        let pin = RollbackPin::Templates { templates: templates.version };
        target.history.set_pin(Some(pin)).map_err(|error| target.error(&error))?;
        self.pinned_store.put(target.index, Arc::new(templates));
        Ok(pin)
    }

    /// Unpins the target, and waits until the files of its templates are in effect.
    pub(super) async fn unpin(&self, target: &TargetHandle) -> Result<(), String> {
        self.restore_pin(target, None)?;
        // Read each time, since a template may be saved while this waits.
        let version = || Some(self.current_templates(target).first()?.template.version()?.digest());
        let is_due = |files: Option<Digest>| files.is_none() || files == version();
        let status = self.wait_for_status(&target.name, None, is_due).await;
        status.error.map_or(Ok(()), |problem| {
            Err(format!(
                "target {}: is no longer pinned, but the files of its templates are not in effect: {problem}",
                target.name
            ))
        })
    }

    /// Sets the pin that the target had before a request.
    pub(super) fn restore_pin(&self, target: &TargetHandle, before: Option<RollbackPin>) -> Result<(), String> {
        let templates = match before {
            Some(RollbackPin::Templates { templates }) => Some(Arc::new(self.load(target, Some(templates))?)),
            _ => None,
        };
        target.history.set_pin(before).map_err(|error| target.error(&error))?;
        self.pinned_store.set(target.index, templates);
        Ok(())
    }

    /// Removes a pin that cannot be in effect. Returns the error for the user.
    pub(super) fn undo_pin(
        &self,
        target: &TargetHandle,
        before: Option<RollbackPin>,
        pin: RollbackPin,
        problem: &str,
    ) -> String {
        let undone = self.restore_pin(target, before);
        let undone = undone.err().map(|error| format!("; and this cannot be undone: {error}")).unwrap_or_default();
        format!("target {}: {pin} did not come into effect: {problem}{undone}", target.name)
    }

    /// Waits for a status with this pin that is an error, or that has files for whose template version `is_due` holds.
    pub(super) async fn wait_for_status(
        &self,
        target: &str,
        pin: Option<RollbackPin>,
        is_due: impl Fn(Option<Digest>) -> bool,
    ) -> TargetStatus {
        let mut bell = self.statuses.bell();
        loop {
            bell.mark_unchanged();
            let status = self.statuses.snapshot().entries.get(target).cloned().unwrap_or_default();
            let is_rejected = status.error.is_some() && status.is_final;
            let is_over = status.in_sync_files.is_some() && is_due(status.template_version) || is_rejected;
            if status.pin == pin && is_over || bell.changed().await.is_err() {
                return status;
            }
        }
    }

    fn load(&self, target: &TargetHandle, to: Option<u64>) -> Result<PinnedTemplates, String> {
        load_pinned_templates(&target.name, &target.history, to, &self.current_templates(target))
    }
}

/// Compiles a version of a target's templates, if it has the same outputs as those that it has `now`.
pub(in crate::render) fn load_pinned_templates(
    target: &str,
    history: &History,
    to: Option<u64>,
    now: &TargetTemplates,
) -> Result<PinnedTemplates, String> {
    let version = history.version(to).map_err(|error| format!("target {target}: {}", error_chain(&error)))?;
    let number = version.number;
    let sources = TemplateSources::parse(&version.bytes).ok_or_else(|| unreadable_version(target, number))?;
    let templates = sources.compile();
    let templates = templates.map_err(|error| format!("target {target}: version {number}: {}", error_chain(&error)))?;
    if !has_same_outputs(now, &templates) {
        return Err(format!(
            "target {target}: version {number} has other destinations than the configuration; change the \
             destinations back, and try again"
        ));
    }
    Ok(PinnedTemplates { target: target.to_owned(), version: number, templates })
}

pub(super) fn unreadable_version(target: &str, number: u64) -> String {
    format!("target {target}: version {number} was written by another version of portreeve and cannot be read")
}
