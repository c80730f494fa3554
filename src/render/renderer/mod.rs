//! The renderer: makes the desired files of all targets from the answers, and lists the queries to watch.
//!
//! ```text
//! answers --snapshot--> without held items (`narrowing`) --> templates --+--> desired files, for each target
//!                                                                        +--> wanted queries
//!                                                                        '--> unrendered templates, with reasons
//! ```

mod destinations;
mod render_cache;
mod target_renderer;
mod template_state;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use tokio::{sync::watch, time::Instant};

pub(super) use self::{
    target_renderer::{TargetRenderer, new_states},
    template_state::{TemplateState, all_desired_files},
};
use super::{
    Answers, TemplateSet, TemplateStore,
    template_set::{PinnedTemplates, PinnedTemplatesStore, has_same_outputs},
    unanswered::UnansweredQueries,
    unrendered::Unrendered,
};
use crate::{
    core::{
        reconcile::{NextPass, PassCause, Reconcile},
        store::Store,
    },
    registry::{Answer, Query},
};

/// Renders the templates whose answers have changed.
pub(super) struct Renderer {
    answers: Store<Query, Arc<Answer>>,
    env: BTreeMap<String, String>,
    pub(super) targets: Vec<TargetRenderer>,
    template_store: TemplateStore,
    /// The template set that was read last, even if its destinations do not fit and it is not in effect.
    template_set: Arc<TemplateSet>,
    pinned_store: PinnedTemplatesStore,
    /// The templates of pinned targets, by the target's index.
    pinned: Arc<BTreeMap<usize, Arc<PinnedTemplates>>>,
    /// The queries that the templates made in their last renders, and those that narrowing needs.
    pub(super) wanted_queries: watch::Sender<BTreeSet<Query>>,
    /// The templates that are not rendered, and why.
    pub(super) unrendered: watch::Sender<Vec<Unrendered>>,
    unanswered_queries: UnansweredQueries,
    /// When the next retry of a held item is due.
    retry_at: Option<Instant>,
}

impl Reconcile for Renderer {
    async fn pass(&mut self, _: PassCause) -> NextPass {
        self.update();
        let next = self.log_unanswered();
        let retry = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        match (next, retry) {
            (NextPass::After(next), Some(retry)) => NextPass::After(next.min(retry)),
            (_, Some(retry)) => NextPass::After(retry),
            (next, None) => next,
        }
    }
}

impl Renderer {
    pub(super) fn new(
        answers: Store<Query, Arc<Answer>>,
        env: BTreeMap<String, String>,
        template_store: TemplateStore,
        pinned_store: PinnedTemplatesStore,
        targets: Vec<TargetRenderer>,
    ) -> Self {
        Self {
            answers,
            env,
            targets,
            template_set: template_store.snapshot().entries.get(&()).cloned().unwrap_or_default(),
            template_store,
            pinned: pinned_store.snapshot().entries,
            pinned_store,
            wanted_queries: watch::Sender::default(),
            unrendered: watch::Sender::default(),
            unanswered_queries: UnansweredQueries::default(),
            retry_at: None,
        }
    }

    fn update(&mut self) {
        let pinned = self.pinned_store.snapshot().entries;
        if let Some(templates) = self.template_store.snapshot().entries.get(&())
            && (!Arc::ptr_eq(templates, &self.template_set) || !Arc::ptr_eq(&pinned, &self.pinned))
        {
            self.apply_template_set(Arc::clone(templates), pinned);
        }
        let answers = self.answers.snapshot().entries;
        self.render(&answers);
    }

    /// Logs the queries that have been unanswered for too long. Returns when to check again.
    fn log_unanswered(&mut self) -> NextPass {
        let (overdue, next) = self.unanswered_queries.update(&self.unrendered.borrow(), Instant::now().into_std());
        for overdue in overdue {
            let target_name = &overdue.target;
            tracing::warn!(target_name, "{overdue}; what is in effect stays until then");
        }
        next.map_or(NextPass::Idle, NextPass::After)
    }

    /// Replaces the templates. The answers and the watches stay.
    fn apply_template_set(
        &mut self,
        template_set: Arc<TemplateSet>,
        pinned: Arc<BTreeMap<usize, Arc<PinnedTemplates>>>,
    ) {
        let targets = || self.targets.iter().zip(&template_set.targets);
        let fits = self.targets.len() == template_set.targets.len()
            && targets().all(|(target, templates)| has_same_outputs(target.templates(), templates));
        if fits {
            for (index, (target, templates)) in self.targets.iter_mut().zip(&template_set.targets).enumerate() {
                let pin = pinned.get(&index);
                target.replace_templates(pin.map_or(templates, |pin| &pin.templates), pin.is_some());
                if let Some(PinnedTemplates { target, version, .. }) = pin.map(Arc::as_ref)
                    && self.template_set.targets.get(index) != Some(templates)
                {
                    tracing::warn!(
                        target_name = target,
                        "target {target}: a change of its templates is withheld, since it is pinned to version \
                         {version}; `portreeve render rollback --release` unpins it"
                    );
                }
            }
            if !Arc::ptr_eq(&template_set, &self.template_set) {
                tracing::info!("the templates were read again");
            }
        } else {
            tracing::error!(
                "the templates were read again, but have other destinations than before: the previous ones stay in effect"
            );
        }
        (self.template_set, self.pinned) = (template_set, pinned);
    }

    pub(super) fn render(&mut self, answers: &Answers) {
        let (env, now) = (&self.env, Instant::now());
        self.retry_at = self.targets.iter_mut().filter_map(|target| target.render(answers, env, now)).min();
        self.reject_conflicts();
        self.targets.iter_mut().for_each(TargetRenderer::publish);
        let wanted: BTreeSet<_> = self.targets.iter().flat_map(TargetRenderer::wanted_queries).collect();
        // Usually they have not changed, and then no query is cloned.
        if !self.wanted_queries.borrow().iter().eq(wanted.iter().map(|query| &**query)) {
            self.wanted_queries.send_replace(wanted.into_iter().map(Cow::into_owned).collect());
        }
        let unrendered: Vec<_> = self.targets.iter().flat_map(TargetRenderer::unrendered).collect();
        if *self.unrendered.borrow() != unrendered {
            self.unrendered.send_replace(unrendered);
        }
    }

    /// Makes sure that no two templates write the same file. Destinations that the settings name have precedence.
    fn reject_conflicts(&mut self) {
        let fixed = self.targets.iter().flat_map(TargetRenderer::fixed_destinations);
        let mut claimed: BTreeMap<PathBuf, String> = fixed.collect();
        self.targets.iter_mut().for_each(|target| target.claim_paths(&mut claimed));
    }
}
