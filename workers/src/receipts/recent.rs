//! What was lately known, bounded.

use std::{collections::HashMap, hash::Hash, mem};

/// A map that remembers at least the last `generation` keys that were put, and
/// at most twice as many. When the young generation is full it becomes the old
/// one, and what was old is forgotten: no list to relink at every use.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    generation: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(generation: usize) -> Self {
        Self { generation, young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_the_size_is_bounded() {
        let mut recent = Recent::new(10);
        for key in 0..1_000 {
            recent.put(key, key);
            for kept in (0..=key).rev().take(10) {
                assert_eq!(recent.get(&kept), Some(&kept));
            }
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!(recent.get(&0), None);
    }

    #[test]
    fn the_last_value_counts_even_after_its_key_grew_old() {
        let mut recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 1);
        recent.put("c", 1);
        recent.put("a", 2);
        assert_eq!(recent.get(&"a"), Some(&2));
        recent.forget(&"a");
        assert_eq!(recent.get(&"a"), None);
    }
}
