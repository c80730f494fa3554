//! A render without a registry, a clock or a file: each query is answered at once, or never.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{Answers, Setup, Unrendered, renderer::Renderer};
use crate::{
    core::store::Store,
    registry::{Answer, Query},
    target::DesiredFile,
};

/// What all templates of a setup came to.
#[derive(Debug)]
pub struct OfflineRender {
    /// By the target's name, its files by destination. `None`: one of its templates is open.
    pub targets: BTreeMap<String, Option<BTreeMap<PathBuf, Arc<DesiredFile>>>>,
    /// The templates that are not rendered, and why.
    pub unrendered: Vec<Unrendered>,
    /// What was asked in the last pass, whether it was answered or not.
    pub queries: BTreeSet<Query>,
}

/// Renders until nothing new is asked. `answer` is asked once for each query; `None`: there will be no answer.
pub fn render_offline(
    setup: &mut Setup,
    env: BTreeMap<String, String>,
    mut answer: impl FnMut(&Query) -> Option<Answer>,
) -> OfflineRender {
    let mut renderer = Renderer::new(
        Store::default(),
        env,
        setup.template_store(),
        setup.pinned_store.clone(),
        std::mem::take(&mut setup.target_renderers),
    );
    let (mut answers, mut known) = (Answers::new(), BTreeSet::new());
    loop {
        renderer.render(&answers);
        let asked = renderer.wanted_queries.borrow().clone();
        let new: Vec<_> = asked.difference(&known).cloned().collect();
        if new.is_empty() {
            let names = setup.targets.iter().map(|target| target.name().to_owned());
            let files = renderer.targets.iter().map(|set| {
                let desired = set.desired.snapshot();
                desired.complete.then(|| Arc::unwrap_or_clone(desired.entries))
            });
            let targets = names.zip(files).collect();
            let open = renderer.unrendered.borrow().clone();
            return OfflineRender { targets, unrendered: open, queries: asked };
        }
        answers.extend(new.iter().filter_map(|query| Some((query.clone(), Arc::new(answer(query)?)))));
        known.extend(new);
    }
}
