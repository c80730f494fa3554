//! Templates and partials that are saved while we run: read again, and in force from then on if they are sound.

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
        file_watch::{FileWatcher, Inotify, WatchedPath},
    },
};

/// Keeps the book in force that of the files, until `stop` is cancelled. One that is wrong is told of, and not taken.
pub(super) async fn run(settings: Settings, books: TemplateStore, stop: CancellationToken) {
    let settings = Arc::new(settings);
    let mut watched = FileWatcher::new(&Inotify::shared(), watched_paths(&settings));
    let mut refused = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = watched.changed() => {}
        }
        let settings = Arc::clone(&settings);
        match blocking(move || TemplateSet::read(&settings)).await {
            Ok(book) => publish(&books, book, refused.take().is_some()),
            Err(error) => log_rejection(&error, &mut refused),
        }
    }
}

/// Who renders says that it has taken a new one.
fn publish(books: &TemplateStore, book: TemplateSet, mended: bool) {
    let same = books.snapshot().entries.get(&()).is_some_and(|now| **now == book);
    if same && mended {
        tracing::info!("the templates are the ones in force again");
    }
    books.put((), Arc::new(book));
}

fn log_rejection(error: &RenderSetupError, refused: &mut Option<String>) {
    let reason = error_chain(error);
    if refused.as_ref() != Some(&reason) {
        tracing::error!("the templates are refused, the ones before stay in force: {reason}");
        *refused = Some(reason);
    }
}

/// All that a book is read from.
fn watched_paths(settings: &Settings) -> Vec<WatchedPath> {
    // Without a current directory, a relative path could not have been read either.
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let templates = settings.targets.iter().flat_map(|target| &target.templates);
    let files = templates.map(|template| WatchedPath::File(absolute(&template.source)));
    let partials = settings.section.partials.iter();
    files
        .chain(partials.map(|root| WatchedPath::Directory { root: absolute(root), extension: "hbs".to_owned() }))
        .collect()
}
