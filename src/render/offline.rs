//! A render without a registry, a clock or a file: each query is answered at once, or never.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{Answers, Open, Setup, pass::Renderer};
use crate::{
    core::store::Store,
    registry::{Answer, Query},
    target::Product,
};

/// What all templates of a setup came to.
#[derive(Debug)]
pub struct Offline {
    /// By the target's name, its files by destination. `None`: one of its templates is open.
    pub targets: BTreeMap<String, Option<BTreeMap<PathBuf, Arc<Product>>>>,
    /// The templates that are not rendered, and why.
    pub open: Vec<Open>,
    /// What was asked in the last pass, whether it was answered or not.
    pub asked: BTreeSet<Query>,
}

/// Renders until nothing new is asked. `answer` is asked once for each query; `None`: there will be no answer.
pub fn offline(
    setup: &mut Setup,
    env: BTreeMap<String, String>,
    mut answer: impl FnMut(&Query) -> Option<Answer>,
) -> Offline {
    let mut renderer =
        Renderer::new(Store::default(), env, setup.books(), setup.held.clone(), std::mem::take(&mut setup.sets));
    let (mut answers, mut known) = (Answers::new(), BTreeSet::new());
    loop {
        renderer.render(&answers);
        let asked = renderer.wanted.borrow().clone();
        let new: Vec<_> = asked.difference(&known).cloned().collect();
        if new.is_empty() {
            let names = setup.targets.iter().map(|target| target.name().to_owned());
            let files = renderer.sets.iter().map(|set| {
                let desired = set.desired.snapshot();
                desired.complete.then(|| Arc::unwrap_or_clone(desired.entries))
            });
            let targets = names.zip(files).collect();
            let open = renderer.open.borrow().clone();
            return Offline { targets, open, asked };
        }
        answers.extend(new.iter().filter_map(|query| Some((query.clone(), Arc::new(answer(query)?)))));
        known.extend(new);
    }
}
