//! The containers that have to be looked at again, and the one fact that a look cannot show.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;

/// Collects ids from the event stream; however many events there are, each container waits here once.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    marks: Mutex<BTreeMap<String, Mark>>,
    some: Notify,
}

/// What events said about one container since it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// An event told of it, and not only a list.
    pub(super) announced: bool,
    /// Signals that the engine sent it, each with the time.
    pub(super) signals: BTreeMap<i32, Timestamp>,
    /// When it was started.
    pub(super) starts: Vec<Timestamp>,
}

impl Mark {
    /// Takes over what a later mark says.
    pub(super) fn merge(&mut self, later: Self) {
        self.announced |= later.announced;
        self.signals.extend(later.signals);
        self.starts.extend(later.starts);
    }
}

impl Dirty {
    /// Marks a container.
    pub(super) fn mark(&self, id: String, mark: Mark) {
        self.lock().entry(id).or_default().merge(mark);
        self.some.notify_one();
    }

    /// All marks; waits until there is one.
    pub(super) async fn take(&self) -> BTreeMap<String, Mark> {
        loop {
            let marks = self.drain();
            if !marks.is_empty() {
                return marks;
            }
            self.some.notified().await;
        }
    }

    /// All marks, perhaps none.
    pub(super) fn drain(&self) -> BTreeMap<String, Mark> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_storm_leaves_one_mark_for_each_container() {
        let dirty = Dirty::default();
        for second in 0..1000 {
            let at = Timestamp::from_second(second).expect("valid");
            dirty.mark(format!("c{}", second % 3), Mark { signals: [(15, at)].into(), ..Mark::default() });
            dirty.mark("c0".into(), Mark::default());
        }
        let marks = dirty.take().await;
        assert_eq!(marks.keys().collect::<Vec<_>>(), ["c0", "c1", "c2"]);
        assert_eq!(marks["c0"].signals[&15].as_second(), 999);
        dirty.mark("c9".into(), Mark::default());
        assert_eq!(dirty.take().await["c9"], Mark::default());
    }
}
