//! The log lines of one target. A state that lasts is logged once, when it begins.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    ApplyError, ApplyOutcome, Effect, Rejection, RollbackPin, VerifiedReload,
    desired_file::Digest,
    file_list::format_file_list,
    files::SwapResult,
    membership_change::MembershipChange,
    now,
    plan::{CommittedFiles, FileOrigin},
    retry::NextAttempt,
};
use crate::core::condition::{Condition, error_chain};

/// Writes the log lines, and remembers which ones were written.
#[derive(Debug)]
pub(super) struct TargetLog {
    name: String,
    condition: Condition,
    warnings: Vec<String>,
    in_place: BTreeSet<PathBuf>,
    access_lost: BTreeSet<PathBuf>,
    rejection: Option<Rejection>,
    failing_since: Option<Instant>,
    not_running: bool,
    in_sync: bool,
    pin: Option<RollbackPin>,
    /// The desired files that were withheld because of the pin.
    withheld_digest: Option<Digest>,
}

impl TargetLog {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            condition: Condition::for_target(name),
            warnings: Vec::new(),
            in_place: BTreeSet::new(),
            access_lost: BTreeSet::new(),
            rejection: None,
            failing_since: None,
            not_running: false,
            in_sync: false,
            pin: None,
            withheld_digest: None,
        }
    }

    /// Whether the last pass has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// The pin that was logged last.
    pub(super) fn pin(&self) -> Option<RollbackPin> {
        self.pin
    }

    /// Logs a failed pass. `next_attempt`: when a rejected candidate is tried again.
    pub(super) fn failure(&mut self, error: &ApplyError, next_attempt: Option<NextAttempt>) {
        self.failing_since.get_or_insert_with(now);
        let name = &self.name;
        match error {
            ApplyError::Rejected(rejection) if self.rejection.as_ref() == Some(rejection) => {}
            ApplyError::Rejected(rejection) => {
                let next = next_attempt.map(|next| next.describe(now()).to_string()).unwrap_or_default();
                let reason = error_chain(rejection);
                tracing::error!(target_name = name, reason, "target {name}: {}", rejection.log_message(&next));
                self.rejection = Some(rejection.clone());
            }
            ApplyError::Stopped => tracing::info!(target_name = name, "target {name}: {error}"),
            error => self.condition.report_problem(error),
        }
    }

    /// Logs the end of a failure, if there was one.
    pub(super) fn recovery(&mut self) {
        self.condition.report_ok();
        let since = self.failing_since.take();
        if let (Some(_), Some(since)) = (self.rejection.take(), since) {
            let (name, seconds) = (&self.name, now().saturating_duration_since(since).as_secs());
            tracing::info!(target_name = name, "target {name}: recovered after {seconds} s");
        }
    }

    /// Logs what a pass has done. `program`: what was reloaded.
    pub(super) fn outcome(
        &mut self,
        applied: &ApplyOutcome,
        change: &MembershipChange,
        program: Option<String>,
        verified: Option<VerifiedReload>,
    ) {
        let name = &self.name;
        let ApplyOutcome::Applied { written, effect } = applied else {
            let is_new = *applied == ApplyOutcome::UpToDate && !std::mem::replace(&mut self.in_sync, true);
            // The files of a pinned generation do not show whether the templates have rendered.
            if is_new && !matches!(self.pin, Some(RollbackPin::Data(_))) {
                tracing::info!(target_name = name, "target {name}: in sync");
            }
            return;
        };
        let files = match written.as_slice() {
            [] => "no file to write".to_owned(),
            written => format!("wrote {}", format_file_list(written)),
        };
        let instances = if change.is_empty() { String::new() } else { format!(": {change}") };
        let field = |text: String| Some(text).filter(|text| !text.is_empty());
        let (file, service) = (field(format_file_list(written)), field(change.services()));
        let instance = field(change.to_string());
        match effect {
            Effect::Verified => {
                let action = program.map_or("probed".to_owned(), |program| format!("reloaded {program}"));
                let millis = verified.map_or(0, |reload| reload.duration.as_millis());
                tracing::info!(
                    target_name = name,
                    file,
                    service,
                    instance,
                    "target {name}: {action} in {millis} ms{instances}; {files}; in effect"
                );
            }
            Effect::NoReload => {
                tracing::info!(target_name = name, file, service, instance, "target {name}: {files}{instances}");
            }
            Effect::NotRunning(reason) if !self.not_running || !written.is_empty() => {
                tracing::warn!(
                    target_name = name,
                    file,
                    service,
                    instance,
                    %reason,
                    "target {name}: {files}{instances}; the program is not running ({reason}), so the reload is pending"
                );
            }
            Effect::NotRunning(_) => {}
        }
        self.not_running = matches!(effect, Effect::NotRunning(_));
        // A later "in sync" would be redundant, and may no longer be true of the templates.
        self.in_sync = true;
    }

    /// Logs a new pin, or the end of one. Returns whether the pin has changed.
    pub(super) fn pinned(&mut self, pin: Option<RollbackPin>) -> bool {
        let name = &self.name;
        let is_new = std::mem::replace(&mut self.pin, pin) != pin;
        match pin {
            Some(pin) if is_new => {
                tracing::warn!("target {name}: is pinned to {pin}, until `portreeve render rollback --release`")
            }
            None if is_new => tracing::info!("target {name}: follows its templates again"),
            _ => {}
        }
        is_new
    }

    /// Logs each change of the desired files that the pin withholds.
    pub(super) fn withheld(&mut self, desired: Digest) {
        if let Some(pin) = self.pin.filter(|_| self.withheld_digest != Some(desired)) {
            self.withheld_digest = Some(desired);
            tracing::warn!(
                "target {}: a change of its files is withheld, since it is pinned to {pin}; \
                 `portreeve render rollback --release` unpins it",
                self.name
            );
        }
    }

    /// Logs those warnings of a check that the previous check did not give.
    pub(super) fn check_warnings(&mut self, warnings: Vec<String>) {
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!(target_name = self.name, "target {}: {warning}", self.name);
        }
        self.warnings = warnings;
    }

    pub(super) fn removed(&self, files: &[PathBuf]) {
        if !files.is_empty() {
            let (name, file) = (&self.name, format_file_list(files));
            tracing::info!(target_name = name, file, "target {name}: removed {file}: no template makes that any more");
        }
    }

    pub(super) fn attrs_set(&self, path: &Path) {
        let (name, file) = (&self.name, path.display().to_string());
        tracing::info!(target_name = name, file, "target {name}: {file}: mode and owner set");
    }

    /// Logs the files that are no longer destinations.
    pub(super) fn unmanaged(&self, before: &CommittedFiles, after: &CommittedFiles) {
        let name = &self.name;
        let unmanaged =
            before.iter().filter(|(path, origin)| **origin == FileOrigin::Fixed && !after.contains_key(*path));
        for file in unmanaged.map(|(path, _)| path.display().to_string()) {
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is no longer a destination; the file stays, and Portreeve no longer manages it"
            );
        }
    }

    /// Logs once for each file that it cannot be replaced atomically, or that its owner or mode was lost.
    pub(super) fn swapped(&mut self, path: &Path, swapped: SwapResult) {
        let (name, file) = (&self.name, path.display().to_string());
        if swapped.in_place && self.in_place.insert(path.to_owned()) {
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is a mount point, so it is overwritten in place: a reader may see half of it. Mount \
                 its directory instead"
            );
        }
        if let Some(lost) = swapped.lost_access.filter(|_| self.access_lost.insert(path.to_owned())) {
            tracing::warn!(target_name = name, file, "target {name}: {file}: {lost}");
        }
    }
}
