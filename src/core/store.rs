//! The latest known state of something outside, and a bell that rings when it changes.
//!
//! A watcher writes; a reconciler hears the bell, takes a snapshot and looks at the whole of it. The bell carries no
//! data: many changes may ring once.

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
    /// What is known.
    pub entries: Arc<BTreeMap<K, V>>,
    /// Whether `entries` was the full picture at least once. Nothing may be removed on the strength of less.
    pub complete: bool,
    /// How many times it was declared the full picture.
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
    /// An empty store that rings the bell of `other`: who listens there hears of both.
    pub fn with_bell_of<L, W>(other: &Store<L, W>) -> Self {
        let state = Snapshot { entries: Arc::default(), complete: false, complete_count: 0 };
        Self { shared: Arc::new(StoreInner { state: Mutex::new(state), bell: other.shared.bell.clone() }) }
    }

    /// What rings the bell, for what is not kept in a store.
    pub fn bell_sender(&self) -> watch::Sender<u64> {
        self.shared.bell.clone()
    }

    /// Rings after every change. The first ring is heard even if it came before this call.
    pub fn bell(&self) -> watch::Receiver<u64> {
        let mut bell = self.shared.bell.subscribe();
        bell.mark_changed();
        bell
    }

    /// The state now. Cheap: nothing is copied unless a later change finds the snapshot still in use.
    pub fn snapshot(&self) -> Snapshot<K, V> {
        self.lock().clone()
    }

    /// Sets or forgets one entry; rings if that makes a difference.
    pub fn set(&self, key: K, value: Option<V>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.remove(&key),
        }
    }

    /// Sets one entry; rings if it differs from what was known.
    pub fn put(&self, key: K, value: V) {
        let mut state = self.lock();
        if state.entries.get(&key) != Some(&value) {
            Arc::make_mut(&mut state.entries).insert(key, value);
            self.ring(state);
        }
    }

    /// Sets several entries; rings once if any differs from what was known.
    pub fn put_all(&self, entries: impl Iterator<Item = (K, V)>) {
        let mut state = self.lock();
        let known = Arc::clone(&state.entries);
        let mut differing = entries.filter(|(key, value)| known.get(key) != Some(value)).peekable();
        if differing.peek().is_some() {
            Arc::make_mut(&mut state.entries).extend(differing);
            self.ring(state);
        }
    }

    /// Forgets one entry; rings if it was known.
    pub fn remove(&self, key: &K) {
        let mut state = self.lock();
        if state.entries.contains_key(key) {
            Arc::make_mut(&mut state.entries).remove(key);
            self.ring(state);
        }
    }

    /// Takes `entries` as the full picture; rings if that differs from what was known.
    pub fn replace(&self, entries: BTreeMap<K, V>) {
        let mut state = self.lock();
        if !state.complete || *state.entries != entries {
            *state = Snapshot { entries: Arc::new(entries), complete: true, complete_count: state.complete_count + 1 };
            self.ring(state);
        }
    }

    /// Declares what is known the full picture, once more; rings.
    pub fn mark_complete(&self) {
        self.mark_complete_with([]);
    }

    /// The same with the last changes, where nothing means that an entry is forgotten. Nobody sees only some of them, or
    /// all of them before the picture was full.
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

    /// A task that panicked inside a method cannot leave half a change behind: each is one assignment.
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
        assert!(rang(&mut bell), "what came before the subscription is heard");
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
    fn a_full_picture_rings_once_even_if_it_is_empty() {
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
        let beside = Store::with_bell_of(&store);
        let mut bell = store.bell();
        rang(&mut bell);
        beside.put("a", 1);
        assert!(rang(&mut bell));
        assert!(store.snapshot().entries.is_empty());
    }

    #[test]
    fn a_snapshot_does_not_move() {
        let store = Store::default();
        store.put("a", 1);
        let before = store.snapshot();
        store.put("a", 2);
        assert_eq!(before.entries.get("a"), Some(&1));
        assert_eq!(store.snapshot().entries.get("a"), Some(&2));
    }
}
