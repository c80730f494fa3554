//! Which marked containers wait for a look, and which are being looked at. Pure.

use std::collections::BTreeMap;

use super::dirty::Mark;

/// No container is looked at twice at the same time, and no mark is lost when a look is cut short.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<String, Mark>,
    busy: BTreeMap<String, Mark>,
}

impl Queue {
    /// Takes over new marks.
    pub(super) fn add(&mut self, marks: BTreeMap<String, Mark>) {
        for (id, mark) in marks {
            self.waiting.entry(id).or_default().merge(mark);
        }
    }

    /// The next container to look at.
    pub(super) fn start(&mut self) -> Option<String> {
        let id = self.waiting.keys().find(|id| !self.busy.contains_key(*id))?.clone();
        let (id, mark) = self.waiting.remove_entry(&id)?;
        self.busy.insert(id.clone(), mark);
        Some(id)
    }

    /// A look has ended: what had been said about the container when it began.
    pub(super) fn finish(&mut self, id: &str) -> Mark {
        self.busy.remove(id).unwrap_or_default()
    }

    /// The looks under way were cut short: they wait again.
    pub(super) fn cut(&mut self) {
        let newer = std::mem::replace(&mut self.waiting, std::mem::take(&mut self.busy));
        self.add(newer);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn marks(id: &str, signal: i32) -> BTreeMap<String, Mark> {
        BTreeMap::from([(id.to_owned(), Mark { signals: [(signal, Timestamp::UNIX_EPOCH)].into(), ..Mark::default() })])
    }

    #[test]
    fn one_look_at_a_time_and_one_more_for_what_came_meanwhile() {
        let mut queue = Queue::default();
        queue.add(marks("a", 15));
        assert_eq!(queue.start().as_deref(), Some("a"));
        queue.add(marks("a", 9));
        assert_eq!(queue.start(), None);
        assert!(queue.finish("a").signals.contains_key(&15));
        assert_eq!(queue.start().as_deref(), Some("a"));
        assert!(queue.finish("a").signals.contains_key(&9));
        assert_eq!(queue.start(), None);
    }

    #[test]
    fn a_look_that_was_cut_short_keeps_its_mark() {
        let mut queue = Queue::default();
        queue.add(marks("a", 15));
        queue.start();
        queue.add(marks("a", 1));
        queue.cut();
        queue.start();
        assert_eq!(queue.finish("a").signals.keys().collect::<Vec<_>>(), [&1, &15]);
    }
}
