//! Template reload: reads templates and partials again when they are saved, and keeps the previous ones if they are wrong.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{RenderSetupError, Settings, TemplateSet, TemplateStore};
use crate::{
    core::condition::error_chain,
    sys::{
        blocking::blocking,
        file_watch::{FileWatcher, WatchedPath},
    },
};

/// Keeps the template store up to date with the files until `stop` is cancelled. A template set that does not compile is
/// logged and not stored.
pub(super) async fn run(settings: Settings, store: TemplateStore, stop: CancellationToken) {
    let settings = Arc::new(settings);
    let mut watched = FileWatcher::new(watched_paths(&settings));
    let mut rejection = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = watched.changed() => {}
        }
        let settings = Arc::clone(&settings);
        match blocking(move || TemplateSet::read(&settings)).await {
            Ok(templates) => publish(&store, templates, rejection.take().is_some()),
            Err(error) => log_rejection(&error, &mut rejection),
        }
    }
}

/// Stores a template set; the renderer logs that it has changed. `is_recovery`: the last set did not compile.
fn publish(store: &TemplateStore, templates: TemplateSet, is_recovery: bool) {
    let is_same = store.snapshot().entries.get(&()).is_some_and(|current| **current == templates);
    if is_same && is_recovery {
        tracing::info!("the templates are again the ones in effect");
    }
    store.put((), Arc::new(templates));
}

fn log_rejection(error: &RenderSetupError, logged: &mut Option<String>) {
    let reason = error_chain(error);
    if logged.as_ref() != Some(&reason) {
        tracing::error!("the templates are refused, the previous ones stay in effect: {reason}");
        *logged = Some(reason);
    }
}

/// The files and directories that a template set is read from.
fn watched_paths(settings: &Settings) -> Vec<WatchedPath> {
    // Without a current directory, the first read of a relative path would have failed.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let templates = settings.targets.iter().flat_map(|target| &target.templates);
    let files = templates.map(|template| WatchedPath::File(absolute(&template.source)));
    let partials = settings.section.partials.iter();
    files
        .chain(partials.map(|root| WatchedPath::Directory { root: absolute(root), extension: "hbs".to_owned() }))
        .collect()
}
