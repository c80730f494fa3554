//! Answers file queries from this host, and passes all others to the registry.

use std::{path::Path, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::file_root::FileRoot;
use crate::{
    core::store::Store,
    registry::{Answer, FileContent, Query, Source},
    sys::{blocking::blocking, file_watch::FileWatcher},
};

/// A source for files and a registry.
#[derive(Debug)]
pub(super) struct FileSource<S> {
    registry: Arc<S>,
    file_root: FileRoot,
}

impl<S: Source> FileSource<S> {
    pub(super) fn new(registry: Arc<S>, file_root: FileRoot) -> Self {
        Self { registry, file_root }
    }

    /// Calls `put` with the content of a file after each change. Never returns.
    async fn watch_file(&self, path: &Path, put: impl Fn(FileContent)) {
        let mut watcher = FileWatcher::new(self.file_root.watched_paths(path));
        loop {
            watcher.changed().await;
            let (root, path) = (self.file_root.clone(), path.to_owned());
            put(blocking(move || root.read(&path)).await);
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

    /// A registry that answers each query with `b`.
    struct FixedSource;

    impl Source for FixedSource {
        async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
            assert!(!matches!(query, Query::File { .. }), "a registry has no files");
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
            let root = FileRoot::new(Some(folder.path().to_owned()));
            let source = Arc::new(FileSource::new(Arc::new(FixedSource), root));
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
    async fn the_answer_follows_the_file() {
        let test = FileSourceTest::new();
        let query = Query::File { path: "a".into() };
        let is = |expected: FileContent| move |answer: &Answer| *answer == Answer::File(expected.clone());
        let text = |text: &str| is(FileContent::Text(text.into()));
        let task = test.ask(&query);
        test.until(&query, is(FileContent::Missing)).await;
        fs::write(test.path(), "1").expect("a file");
        test.until(&query, text("1")).await;
        fs::write(test.path(), "2").expect("a file");
        test.until(&query, text("2")).await;
        fs::write(test.folder.path().join("b"), "3").expect("a file");
        fs::rename(test.folder.path().join("b"), test.path()).expect("a file");
        test.until(&query, text("3")).await;
        fs::remove_file(test.path()).expect("a file");
        std::os::unix::fs::symlink("a", test.path()).expect("a link");
        test.until(&query, |answer| matches!(answer, Answer::File(FileContent::Refused(_)))).await;
        fs::remove_file(test.path()).expect("a link");
        test.until(&query, is(FileContent::Missing)).await;
        fs::write(test.path(), "3").expect("a file");
        test.until(&query, text("3")).await;
        test.stop.cancel();
        task.await.expect("it ends well");
    }

    #[tokio::test]
    async fn a_file_that_moves_outside_is_refused_although_its_content_is_the_same() {
        let test = FileSourceTest::new();
        let away = tempfile::tempdir().expect("a directory");
        for path in [test.path(), away.path().join("a")] {
            fs::write(path, "1").expect("a file");
        }
        let query = Query::File { path: test.path() };
        let _task = test.ask(&query);
        test.until(&query, |answer| matches!(answer, Answer::File(FileContent::Text(_)))).await;
        std::os::unix::fs::symlink(away.path().join("a"), test.folder.path().join("b")).expect("a link");
        fs::rename(test.folder.path().join("b"), test.path()).expect("a link");
        test.until(&query, |answer| matches!(answer, Answer::File(FileContent::Refused(_)))).await;
    }

    #[tokio::test]
    async fn the_registry_answers_all_other_queries() {
        let test = FileSourceTest::new();
        let query = Query::key("x");
        let task = test.ask(&query);
        test.until(&query, |answer| *answer == Answer::Key(Some("b".into()))).await;
        test.stop.cancel();
        task.await.expect("it ends well");
    }
}
