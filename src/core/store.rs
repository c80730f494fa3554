//! The last known state of something outside of this process, and a bell that rings when it changes.
//!
//! ```text
//! watcher ──put, remove, replace──► Store ──bell (a counter)──► reconciler ──snapshot()──► the whole state
//! ```
//!
//! The bell carries no data: many changes may cause one pass.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// A handle on the shared state; clones share it.
#[derive(Debug)]
pub struct Store<K, V> {
    shared: Arc<StoreInner<K, V>>,
}

#[derive(Debug)]
struct StoreInner<K, V> {
    state: Mutex<Snapshot<K, V>>,
    bell: watch::Sender<u64>,
}

/// The whole state at one moment.
#[derive(Debug)]
pub struct Snapshot<K, V> {
    /// The known entries.
    pub entries: Arc<BTreeMap<K, V>>,
    /// Whether `entries` has been complete at least once. Until then, a missing entry may still arrive.
    pub complete: bool,
    /// How many times it was declared complete.
    pub complete_count: u64,
}

impl<K, V> Clone for Snapshot<K, V> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries), ..*self }
    }
}

impl<K, V> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> Default for Store<K, V> {
    fn default() -> Self {
        let state = Snapshot { entries: Arc::default(), complete: false, complete_count: 0 };
        Self { shared: Arc::new(StoreInner { state: Mutex::new(state), bell: watch::Sender::new(0) }) }
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> Store<K, V> {
    /// An empty store that rings the bell of `other`: a receiver of that bell wakes for both.
    pub fn with_bell_of<L, W>(other: &Store<L, W>) -> Self {
        let state = Snapshot { entries: Arc::default(), complete: false, complete_count: 0 };
        Self { shared: Arc::new(StoreInner { state: Mutex::new(state), bell: other.shared.bell.clone() }) }
    }

    /// A sender that rings the bell, for changes that are not in a store.
    pub fn bell_sender(&self) -> watch::Sender<u64> {
        self.shared.bell.clone()
    }

    /// A receiver of the bell. It starts as changed, so that a change before this call is not missed.
    pub fn bell(&self) -> watch::Receiver<u64> {
        let mut bell = self.shared.bell.subscribe();
        bell.mark_changed();
        bell
    }

    /// The present state. Cheap: the entries are copied only if a change happens while the snapshot is in use.
    pub fn snapshot(&self) -> Snapshot<K, V> {
        self.lock().clone()
    }

    /// Sets or removes one entry; rings if that is a change.
    pub fn set(&self, key: K, value: Option<V>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.remove(&key),
        }
    }

    /// Sets one entry; rings if that is a change.
    pub fn put(&self, key: K, value: V) {
        let mut state = self.lock();
        if state.entries.get(&key) != Some(&value) {
            Arc::make_mut(&mut state.entries).insert(key, value);
            self.ring(state);
        }
    }

    /// Sets several entries; rings once if any of them is a change.
    pub fn put_all(&self, entries: impl Iterator<Item = (K, V)>) {
        let mut state = self.lock();
        let known = Arc::clone(&state.entries);
        let mut differing = entries.filter(|(key, value)| known.get(key) != Some(value)).peekable();
        if differing.peek().is_some() {
            Arc::make_mut(&mut state.entries).extend(differing);
            self.ring(state);
        }
    }

    /// Removes one entry; rings if it existed.
    pub fn remove(&self, key: &K) {
        let mut state = self.lock();
        if state.entries.contains_key(key) {
            Arc::make_mut(&mut state.entries).remove(key);
            self.ring(state);
        }
    }

    /// Replaces all entries and declares them complete; rings if that is a change.
    pub fn replace(&self, entries: BTreeMap<K, V>) {
        let mut state = self.lock();
        if !state.complete || *state.entries != entries {
            *state = Snapshot { entries: Arc::new(entries), complete: true, complete_count: state.complete_count + 1 };
            self.ring(state);
        }
    }

    /// Declares the present entries complete, even if they already were; rings.
    pub fn mark_complete(&self) {
        self.mark_complete_with([]);
    }

    /// Makes the last changes (`None` removes the entry) and declares the entries complete, in one step: no snapshot
    /// shows only a part of it.
    pub fn mark_complete_with(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) {
        let mut state = self.lock();
        for (key, value) in changes {
            let entries = Arc::make_mut(&mut state.entries);
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        state.complete = true;
        state.complete_count += 1;
        self.ring(state);
    }

    /// A poisoned lock is safe: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Snapshot<K, V>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, state: MutexGuard<'_, Snapshot<K, V>>) {
        drop(state);
        self.shared.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rang(bell: &mut watch::Receiver<u64>) -> bool {
        let rang = bell.has_changed().expect("the store is alive");
        bell.mark_unchanged();
        rang
    }

    #[test]
    fn the_bell_rings_on_a_difference_only() {
        let store = Store::default();
        let mut bell = store.bell();
        assert!(rang(&mut bell), "a change before the subscription is not missed");
        store.put("a", 1);
        assert!(rang(&mut bell));
        store.put("a", 1);
        store.remove(&"b");
        assert!(!rang(&mut bell));
        store.remove(&"a");
        assert!(rang(&mut bell));
    }

    #[test]
    fn several_changes_ring_once() {
        let store = Store::default();
        let mut bell = store.bell();
        rang(&mut bell);
        store.put_all([("a", 1), ("b", 1)].into_iter());
        assert!(rang(&mut bell));
        store.put_all([("b", 1)].into_iter());
        assert!(!rang(&mut bell));
        store.put_all([("b", 2)].into_iter());
        assert!(rang(&mut bell));
        assert_eq!(*store.snapshot().entries, [("a", 1), ("b", 2)].into());
    }

    #[test]
    fn a_complete_state_rings_once_even_if_it_is_empty() {
        let store = Store::<&str, u8>::default();
        let mut bell = store.bell();
        rang(&mut bell);
        assert!(!store.snapshot().complete);
        store.replace(BTreeMap::new());
        assert!(rang(&mut bell));
        assert!(store.snapshot().complete);
        store.replace(BTreeMap::new());
        assert!(!rang(&mut bell));
    }

    #[test]
    fn two_stores_ring_one_bell() {
        let store = Store::<&str, u8>::default();
        let other = Store::with_bell_of(&store);
        let mut bell = store.bell();
        rang(&mut bell);
        other.put("a", 1);
        assert!(rang(&mut bell));
        assert!(store.snapshot().entries.is_empty());
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let store = Store::default();
        store.put("a", 1);
        let before = store.snapshot();
        store.put("a", 2);
        assert_eq!(before.entries.get("a"), Some(&1));
        assert_eq!(store.snapshot().entries.get("a"), Some(&2));
    }
}
