//! The way back by hand: orders to the targets of a running Portreeve, or to targets that nobody runs.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    Setup, TemplateStore,
    once::{RenderOnceError, run_once},
    template_set::{PinnedTemplates, PinnedTemplatesStore, TargetTemplates, has_same_outputs},
    template_sources::TemplateSources,
};
use crate::{
    control::RequestHandler,
    core::condition::error_chain,
    registry::Source,
    target::{ApplyOutcome, Digest, Generation, History, InEffect, RollbackPin, TargetStatus, TargetStatuses},
};

/// What can be ordered. A target need not be named if there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ControlRequest {
    /// Tell what there is to go back to.
    List {
        /// Of which target; `None`: of all.
        target: Option<String>,
    },
    /// Bring an earlier version of the templates and the configuration into effect, and hold on to it.
    Rollback {
        /// Of which target.
        target: Option<String>,
        /// Its number; `None`: the one before the one that is in effect.
        to: Option<u64>,
        /// An earlier generation of files instead, byte for byte.
        data: bool,
    },
    /// Tell what a rollback would change.
    Diff {
        /// Of which target.
        target: Option<String>,
        /// As for a rollback.
        to: Option<u64>,
        /// As for a rollback.
        data: bool,
    },
    /// Let the templates go on.
    Release {
        /// Of which target.
        target: Option<String>,
    },
}

/// A target and what there is to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHistory {
    /// The target's name.
    pub target: String,
    /// The state directory in which all this lies.
    pub state_dir: PathBuf,
    /// What it is held on to.
    #[serde(rename = "held")]
    pub pinned: Option<RollbackPin>,
    /// What is in effect.
    pub in_effect: InEffect,
    /// The versions of the templates that are kept, oldest first.
    pub versions: Vec<TemplateVersion>,
    /// The generations of files that are kept, oldest first.
    pub generations: Vec<Generation>,
    /// What would be different, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A version of a target's templates and configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateVersion {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect first, RFC 3339.
    pub since: String,
    /// What was changed.
    pub cause: String,
}

/// Passes orders on to targets that run.
#[derive(Debug)]
pub(super) struct ControlHandler {
    targets: BTreeMap<String, TargetHandle>,
    template_store: TemplateStore,
    pinned_store: PinnedTemplatesStore,
    state_dir: PathBuf,
    reports: TargetStatuses,
}

#[derive(Debug)]
struct TargetHandle {
    name: String,
    /// Its place among the targets.
    index: usize,
    history: History,
}

impl ControlHandler {
    pub(super) fn new(setup: &Setup) -> Self {
        let known = setup.targets.iter().enumerate().map(|(at, target)| {
            let name = target.name().to_owned();
            (name.clone(), TargetHandle { name, index: at, history: target.history() })
        });
        Self {
            targets: known.collect(),
            template_store: setup.template_store(),
            pinned_store: setup.pinned_store.clone(),
            state_dir: setup.state_dir().path().to_owned(),
            reports: setup.reports().clone(),
        }
    }

    fn find_target(&self, target: Option<&String>) -> Result<&TargetHandle, String> {
        let known = || self.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match target {
            Some(name) => {
                self.targets.get(name).ok_or_else(|| format!("there is no target {name:?}; there are {}", known()))
            }
            None => self
                .targets
                .values()
                .next()
                .filter(|_| self.targets.len() == 1)
                .ok_or_else(|| format!("name the target: one of {}", known())),
        }
    }

    /// Holds the target on to a version of its templates, or to a generation of its files.
    fn pin(&self, known: &TargetHandle, to: Option<u64>, data: bool) -> Result<RollbackPin, String> {
        let TargetHandle { name, index: at, history } = known;
        if data {
            let number =
                history.pin_generation(to).map_err(|error| format!("target {name}: {}", error_chain(&error)))?;
            return Ok(RollbackPin::Data(number));
        }
        let set = self.pinned_templates(known, to)?;
        let held = RollbackPin::Templates { templates: set.version };
        history.set_pin(Some(held)).map_err(|error| format!("target {name}: {}", error_chain(&error)))?;
        self.pinned_store.put(*at, Arc::new(set));
        Ok(held)
    }

    fn pinned_templates(
        &self,
        TargetHandle { name, index: at, history }: &TargetHandle,
        to: Option<u64>,
    ) -> Result<PinnedTemplates, String> {
        load_pinned_templates(name, history, to, &self.current_templates(*at))
    }

    /// The templates as their files have them.
    fn current_templates(&self, at: usize) -> TargetTemplates {
        let book = self.template_store.snapshot().entries.get(&()).cloned().unwrap_or_default();
        book.targets.get(at).cloned().unwrap_or_default()
    }

    /// Lets the templates go on, and waits until their files are in effect.
    async fn unpin(&self, known: &TargetHandle) -> Result<(), String> {
        self.restore_pin(known, None)?;
        // Asked each time: a template may be saved meanwhile.
        let version =
            || Some(self.current_templates(known.index).first().and_then(|page| page.template.version())?.digest());
        let report = self.wait_for_report(&known.name, None, |made_by| made_by.is_none() || made_by == version()).await;
        report.error.map_or(Ok(()), |trouble| {
            Err(format!(
                "target {}: is no longer pinned, but the files of its templates are not in effect: {trouble}",
                known.name
            ))
        })
    }

    /// Forgets what was ordered since.
    fn restore_pin(&self, known: &TargetHandle, before: Option<RollbackPin>) -> Result<(), String> {
        let TargetHandle { name, index: at, history } = known;
        let set = match before {
            Some(RollbackPin::Templates { templates }) => {
                Some(Arc::new(self.pinned_templates(known, Some(templates))?))
            }
            _ => None,
        };
        history.set_pin(before).map_err(|error| format!("target {name}: {}", error_chain(&error)))?;
        self.pinned_store.set(*at, set);
        Ok(())
    }

    /// Nothing is held that cannot be in effect.
    fn undo_pin(&self, known: &TargetHandle, before: Option<RollbackPin>, held: RollbackPin, trouble: &str) -> String {
        let undone = self.restore_pin(known, before);
        let undone = undone.err().map(|error| format!("; and this cannot be undone: {error}")).unwrap_or_default();
        format!("target {}: {held} did not come into effect: {trouble}{undone}", known.name)
    }

    /// Waits for the first pass that knows what is held, if anything is, and has files of such a version.
    async fn wait_for_report(
        &self,
        target: &str,
        held: Option<RollbackPin>,
        is_due: impl Fn(Option<Digest>) -> bool,
    ) -> TargetStatus {
        let mut bell = self.reports.bell();
        loop {
            bell.mark_unchanged();
            let report = self.reports.snapshot().entries.get(target).cloned().unwrap_or_default();
            let is_refused = report.error.is_some() && report.is_final;
            let is_over = report.in_sync_files.is_some() && is_due(report.template_version) || is_refused;
            if report.pin == held && is_over || bell.changed().await.is_err() {
                return report;
            }
        }
    }

    fn target_history(&self, TargetHandle { name, history, .. }: &TargetHandle) -> Result<TargetHistory, String> {
        let failed = |error| format!("target {name}: {}", error_chain(&error));
        let list = history.versions().map_err(failed)?;
        let in_effect = history.in_effect().map_err(failed)?;
        let (mut versions, mut before) = (Vec::new(), None);
        for version in list {
            let set = TemplateSources::parse(&version.bytes);
            let cause = set.as_ref().map_or_else(|| "unknown".to_owned(), |set| set.describe_change(before.as_ref()));
            before = set;
            versions.push(TemplateVersion { number: version.number, since: version.since, cause });
        }
        let generations = history.generations().map_err(failed)?;
        let (target, state_dir) = (name.clone(), self.state_dir.clone());
        Ok(TargetHistory { target, state_dir, pinned: history.pin(), in_effect, versions, generations, diff: None })
    }

    fn diff(&self, known: &TargetHandle, to: Option<u64>, data: bool) -> Result<String, String> {
        let TargetHandle { name, index: at, history } = known;
        if data {
            let diff = history.diff(to).map_err(|error| format!("target {name}: {}", error_chain(&error)))?;
            return Ok(diff.1);
        }
        let version = history.version(to).map_err(|error| format!("target {name}: {}", error_chain(&error)))?;
        let then = TemplateSources::parse(&version.bytes).ok_or_else(|| unreadable_version(name, version.number))?;
        let held = self.pinned_store.snapshot().entries.get(at).cloned();
        let now = held.map_or_else(|| self.current_templates(*at), |held| held.templates.clone());
        Ok(TemplateSources::from_templates(&now).diff(&then))
    }
}

impl RequestHandler for ControlHandler {
    type Request = ControlRequest;
    type Response = Vec<TargetHistory>;

    async fn handle(&self, request: ControlRequest) -> Result<Vec<TargetHistory>, String> {
        let known = match request {
            ControlRequest::List { target: None } => {
                return self.targets.values().map(|known| self.target_history(known)).collect();
            }
            ControlRequest::List { target } => self.find_target(target.as_ref())?,
            ControlRequest::Diff { target, to, data } => {
                let known = self.find_target(target.as_ref())?;
                let diff = Some(self.diff(known, to, data)?);
                return Ok(vec![TargetHistory { diff, ..self.target_history(known)? }]);
            }
            ControlRequest::Rollback { target, to, data } => {
                let known = self.find_target(target.as_ref())?;
                let before = known.history.pin();
                let held = self.pin(known, to, data)?;
                if let Some(trouble) = self.wait_for_report(&known.name, Some(held), |_| true).await.error {
                    return Err(self.undo_pin(known, before, held, &trouble));
                }
                known
            }
            ControlRequest::Release { target } => {
                let known = self.find_target(target.as_ref())?;
                self.unpin(known).await?;
                known
            }
        };
        Ok(vec![self.target_history(known)?])
    }
}

/// Carries an order out on targets that nobody runs. What is held stays so when somebody does. After `stop` is cancelled,
/// files are not left half replaced.
///
/// # Errors
/// What could not be done, for a person.
pub async fn execute_request<S: Source>(
    mut setup: Setup,
    request: ControlRequest,
    source: Arc<S>,
    deadline: Duration,
    stop: &CancellationToken,
) -> Result<Vec<TargetHistory>, String> {
    let orders = ControlHandler::new(&setup);
    let (target, to, data) = match request {
        ControlRequest::Rollback { target, to, data } => (target, to, data),
        ControlRequest::Release { target } => {
            let known = orders.find_target(target.as_ref())?;
            orders.restore_pin(known, None)?;
            return Ok(vec![orders.target_history(known)?]);
        }
        ControlRequest::List { .. } | ControlRequest::Diff { .. } => return orders.handle(request).await,
    };
    let known = orders.find_target(target.as_ref())?;
    let before = known.history.pin();
    let held = orders.pin(known, to, data)?;
    setup.targets = vec![setup.targets.swap_remove(known.index)];
    setup.target_renderers = vec![setup.target_renderers.swap_remove(known.index)];
    let trouble = if data {
        let target = setup.targets.remove(0);
        match target.stop_with(stop.clone()).apply().await {
            Ok(ApplyOutcome::Incomplete) => {
                Some("a template of its has not rendered, and this generation has no file for it".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(error_chain(&error)),
        }
    } else {
        if let Some(set) = orders.pinned_store.snapshot().entries.get(&known.index) {
            setup.target_renderers[0].replace_templates(&set.templates);
        }
        // The one set is as it is to be, and nobody else's counts.
        setup.pinned_store = PinnedTemplatesStore::with_bell_of(&setup.template_store);
        match run_once(setup, source, deadline, stop).await {
            // What is held does not keep the rest from being in effect.
            Ok(()) | Err(RenderOnceError::EntriesHeld(_)) => None,
            Err(error) => Some(error_chain(&error)),
        }
    };
    match trouble {
        None => Ok(vec![orders.target_history(known)?]),
        Some(trouble) => Err(orders.undo_pin(known, before, held, &trouble)),
    }
}

/// A version of a target's templates, if it can take the place of those that it has `now`.
pub(super) fn load_pinned_templates(
    target: &str,
    history: &History,
    to: Option<u64>,
    now: &TargetTemplates,
) -> Result<PinnedTemplates, String> {
    let version = history.version(to).map_err(|error| format!("target {target}: {}", error_chain(&error)))?;
    let (number, set) = (version.number, TemplateSources::parse(&version.bytes));
    let chapter = set.ok_or_else(|| unreadable_version(target, number))?.compile();
    let chapter = chapter.map_err(|error| format!("target {target}: version {number}: {}", error_chain(&error)))?;
    if !has_same_outputs(now, &chapter) {
        return Err(format!(
            "target {target}: version {number} has other destinations than the configuration; change the \
             destinations back, and try again"
        ));
    }
    Ok(PinnedTemplates { target: target.to_owned(), version: number, templates: chapter })
}

fn unreadable_version(target: &str, number: u64) -> String {
    format!("target {target}: version {number} was written down by another version of portreeve, and cannot be read")
}
