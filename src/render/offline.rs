//! Renders without a registry: each query is answered immediately, or never.

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

/// The result of rendering all templates of a setup.
#[derive(Debug)]
pub struct OfflineRender {
    /// The files of each target, by destination. `None` if one of its templates is not rendered.
    pub targets: BTreeMap<String, Option<BTreeMap<PathBuf, Arc<DesiredFile>>>>,
    /// The templates that are not rendered, and why.
    pub unrendered: Vec<Unrendered>,
    /// The queries of the last pass, answered or not.
    pub queries: BTreeSet<Query>,
}

/// Renders until there are no new queries. `answer` is called once for each query; `None` means that there is no answer.
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
        let queries = renderer.wanted_queries.borrow().clone();
        let new: Vec<_> = queries.difference(&known).cloned().collect();
        if new.is_empty() {
            let names = setup.targets.iter().map(|target| target.name().to_owned());
            let files = renderer.targets.iter().map(|target| {
                let desired = target.desired.snapshot();
                desired.complete.then(|| Arc::unwrap_or_clone(desired.entries))
            });
            let unrendered = renderer.unrendered.borrow().clone();
            return OfflineRender { targets: names.zip(files).collect(), unrendered, queries };
        }
        answers.extend(new.iter().filter_map(|query| Some((query.clone(), Arc::new(answer(query)?)))));
        known.extend(new);
    }
}
