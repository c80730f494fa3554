//! Rollback: pins targets to earlier templates or files, in a running Portreeve or without one.
//!
//! ```text
//! CLI --request--> control socket --> ControlHandler --pin--> PinnedTemplatesStore --> renderer --> target
//!     <-----------------response----------+<---- wait ------------- TargetStatuses <-----------------'
//! ```
//!
//! If no Portreeve runs, [`execute_request`] does the same in the process of the CLI.

mod local;
mod pinning;
mod request;

use std::{collections::BTreeMap, error::Error, path::PathBuf};

pub(super) use self::pinning::load_pinned_templates;
pub use self::{
    local::execute_request,
    request::{ControlRequest, TargetHistory, TemplateVersion},
};
use super::{
    Setup, TemplateStore,
    template_set::{PinnedTemplatesStore, TargetTemplates},
    template_sources::TemplateSources,
};
use crate::{
    control::RequestHandler,
    core::condition::error_chain,
    sys::state_dir::StateError,
    target::{History, SavedVersion, TargetStatuses},
};

/// Executes requests on running targets.
#[derive(Debug)]
pub(super) struct ControlHandler {
    targets: BTreeMap<String, TargetHandle>,
    template_store: TemplateStore,
    pinned_store: PinnedTemplatesStore,
    state_dir: PathBuf,
    statuses: TargetStatuses,
}

#[derive(Debug)]
struct TargetHandle {
    name: String,
    /// Its index among the targets.
    index: usize,
    history: History,
}

impl ControlHandler {
    pub(super) fn new(setup: &Setup) -> Self {
        let targets = setup.targets.iter().enumerate().map(|(index, target)| {
            let name = target.name().to_owned();
            (name.clone(), TargetHandle { name, index, history: target.history() })
        });
        Self {
            targets: targets.collect(),
            template_store: setup.template_store(),
            pinned_store: setup.pinned_store.clone(),
            state_dir: setup.state_dir().path().to_owned(),
            statuses: setup.statuses(),
        }
    }

    fn find_target(&self, name: Option<&String>) -> Result<&TargetHandle, String> {
        let known = || self.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => {
                self.targets.get(name).ok_or_else(|| format!("there is no target {name:?}; there are {}", known()))
            }
            None => {
                let only = self.targets.values().next().filter(|_| self.targets.len() == 1);
                only.ok_or_else(|| format!("name the target: one of {}", known()))
            }
        }
    }

    /// The templates as last read from their files.
    fn current_templates(&self, target: &TargetHandle) -> TargetTemplates {
        let set = self.template_store.snapshot().entries.get(&()).cloned().unwrap_or_default();
        set.targets.get(target.index).cloned().unwrap_or_default()
    }

    fn target_history(&self, target: &TargetHandle) -> Result<TargetHistory, String> {
        let failed = |error: StateError| target.error(&error);
        let (mut versions, mut before) = (Vec::new(), None);
        for SavedVersion { number, since, bytes, .. } in target.history.versions().map_err(failed)? {
            let sources = TemplateSources::parse(&bytes);
            let cause = sources.as_ref().map(|sources| sources.describe_change(before.as_ref()));
            before = sources;
            versions.push(TemplateVersion { number, since, cause: cause.unwrap_or_else(|| "unknown".to_owned()) });
        }
        Ok(TargetHistory {
            target: target.name.clone(),
            state_dir: self.state_dir.clone(),
            pinned: target.history.pin(),
            in_effect: target.history.in_effect().map_err(failed)?,
            versions,
            generations: target.history.generations().map_err(failed)?,
            diff: None,
        })
    }

    fn diff(&self, target: &TargetHandle, to: Option<u64>, data: bool) -> Result<String, String> {
        if data {
            return target.history.diff(to).map(|diff| diff.1).map_err(|error| target.error(&error));
        }
        let version = target.history.version(to).map_err(|error| target.error(&error))?;
        let then = TemplateSources::parse(&version.bytes)
            .ok_or_else(|| pinning::unreadable_version(&target.name, version.number))?;
        let pinned = self.pinned_store.snapshot().entries.get(&target.index).cloned();
        let now = pinned.map_or_else(|| self.current_templates(target), |pinned| pinned.templates.clone());
        Ok(TemplateSources::from_templates(&now).diff(&then))
    }
}

impl TargetHandle {
    fn error(&self, error: &(dyn Error + 'static)) -> String {
        format!("target {}: {}", self.name, error_chain(error))
    }
}

impl RequestHandler for ControlHandler {
    type Request = ControlRequest;
    type Response = Vec<TargetHistory>;

    async fn handle(&self, request: ControlRequest) -> Result<Vec<TargetHistory>, String> {
        let target = match request {
            ControlRequest::List { target: None } => {
                return self.targets.values().map(|target| self.target_history(target)).collect();
            }
            ControlRequest::List { target } => self.find_target(target.as_ref())?,
            ControlRequest::Diff { target, to, data } => {
                let target = self.find_target(target.as_ref())?;
                let diff = Some(self.diff(target, to, data)?);
                return Ok(vec![TargetHistory { diff, ..self.target_history(target)? }]);
            }
            ControlRequest::Rollback { target, to, data } => {
                let target = self.find_target(target.as_ref())?;
                let before = target.history.pin();
                let pin = self.pin(target, to, data)?;
                if let Some(problem) = self.wait_for_status(&target.name, Some(pin), |_| true).await.error {
                    return Err(self.undo_pin(target, before, pin, &problem));
                }
                target
            }
            ControlRequest::Release { target } => {
                let target = self.find_target(target.as_ref())?;
                self.unpin(target).await?;
                target
            }
        };
        Ok(vec![self.target_history(target)?])
    }
}
