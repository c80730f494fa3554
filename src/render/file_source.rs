//! Files on this host as answers: what a registry has no part in is answered here, all else by the registry.

use std::{path::Path, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::file_root::FileRoot;
use crate::{
    core::store::Store,
    registry::{Answer, FileContent, Query, Source},
    sys::{
        blocking::blocking,
        file_watch::{FileWatcher, Inotify},
    },
};

/// A source that knows files too.
#[derive(Debug)]
pub(super) struct FileSource<S> {
    registry: Arc<S>,
    file_root: FileRoot,
    inotify: Inotify,
}

impl<S: Source> FileSource<S> {
    pub(super) fn new(registry: Arc<S>, allowed: FileRoot, ear: Inotify) -> Self {
        Self { registry, file_root: allowed, inotify: ear }
    }

    /// Keeps the content of one file current. Never returns; drop it to stop.
    async fn watch_file(&self, path: &Path, put: impl Fn(FileContent)) {
        let mut watched = FileWatcher::new(&self.inotify, self.file_root.watched_paths(path));
        loop {
            watched.changed().await;
            let (allowed, path) = (self.file_root.clone(), path.to_owned());
            put(blocking(move || allowed.read(&path)).await);
        }
    }
}

impl<S: Source> Source for FileSource<S> {
    async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
        let Query::File { path } = &query else { return self.registry.watch(query, answers, stop).await };
        let put = |content| answers.put(query.clone(), Arc::new(Answer::File(content)));
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.watch_file(path, put) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// A registry that has no answer but `b`.
    struct FixedSource;

    impl Source for FixedSource {
        async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
            assert!(!matches!(query, Query::File { .. }), "a file is none of its business");
            answers.put(query, Arc::new(Answer::Key(Some("b".into()))));
            stop.cancelled().await;
        }
    }

    struct FileSourceTest {
        folder: tempfile::TempDir,
        source: Arc<FileSource<FixedSource>>,
        answers: Store<Query, Arc<Answer>>,
        stop: CancellationToken,
    }

    impl FileSourceTest {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a directory");
            let allowed = FileRoot::new(Some(folder.path().to_owned()));
            let source = Arc::new(FileSource::new(Arc::new(FixedSource), allowed, Inotify::default()));
            Self { folder, source, answers: Store::default(), stop: CancellationToken::new() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("a")
        }

        fn ask(&self, query: &Query) -> tokio::task::JoinHandle<()> {
            let (source, answers, stop) = (Arc::clone(&self.source), self.answers.clone(), self.stop.clone());
            let query = query.clone();
            tokio::spawn(async move { source.watch(query, answers, stop).await })
        }

        async fn until(&self, query: &Query, expected: impl Fn(&Answer) -> bool) {
            let mut bell = self.answers.bell();
            while !self.answers.snapshot().entries.get(query).is_some_and(|answer| expected(answer)) {
                bell.changed().await.expect("the store lives");
            }
        }
    }

    #[tokio::test]
    async fn a_files_answer_follows_the_file() {
        let bench = FileSourceTest::new();
        let query = Query::File { path: "a".into() };
        let is = |expected: FileContent| move |answer: &Answer| *answer == Answer::File(expected.clone());
        let text = |text: &str| is(FileContent::Text(text.into()));
        let task = bench.ask(&query);
        bench.until(&query, is(FileContent::Missing)).await;
        fs::write(bench.path(), "1").expect("a file");
        bench.until(&query, text("1")).await;
        fs::write(bench.path(), "2").expect("a file");
        bench.until(&query, text("2")).await;
        fs::write(bench.folder.path().join("b"), "3").expect("a file");
        fs::rename(bench.folder.path().join("b"), bench.path()).expect("a file");
        bench.until(&query, text("3")).await;
        fs::remove_file(bench.path()).expect("a file");
        std::os::unix::fs::symlink("a", bench.path()).expect("a link");
        bench.until(&query, |answer| matches!(answer, Answer::File(FileContent::Refused(_)))).await;
        fs::remove_file(bench.path()).expect("a link");
        bench.until(&query, is(FileContent::Missing)).await;
        fs::write(bench.path(), "3").expect("a file");
        bench.until(&query, text("3")).await;
        bench.stop.cancel();
        task.await.expect("it ends well");
    }

    #[tokio::test]
    async fn a_file_that_comes_to_lie_outside_is_refused_although_its_content_is_the_same() {
        let bench = FileSourceTest::new();
        let away = tempfile::tempdir().expect("a directory");
        for path in [bench.path(), away.path().join("a")] {
            fs::write(path, "1").expect("a file");
        }
        let query = Query::File { path: bench.path() };
        let _task = bench.ask(&query);
        bench.until(&query, |answer| matches!(answer, Answer::File(FileContent::Text(_)))).await;
        std::os::unix::fs::symlink(away.path().join("a"), bench.folder.path().join("b")).expect("a link");
        fs::rename(bench.folder.path().join("b"), bench.path()).expect("a link");
        bench.until(&query, |answer| matches!(answer, Answer::File(FileContent::Refused(_)))).await;
    }

    #[tokio::test]
    async fn everything_else_is_the_registrys() {
        let bench = FileSourceTest::new();
        let query = Query::key("x");
        let task = bench.ask(&query);
        bench.until(&query, |answer| *answer == Answer::Key(Some("b".into()))).await;
        bench.stop.cancel();
        task.await.expect("it ends well");
    }
}
