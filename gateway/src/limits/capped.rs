//! What is remembered of users and addresses, in bounded memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most keys of one store.
pub(super) const KEYS: usize = 65_536;
/// Parts that do not wait for each other.
const SHARDS: usize = 16;
const SHARD_KEYS: usize = KEYS / SHARDS;
/// What a full shard makes room for at once, so that it is not searched for
/// each new key.
const ROOM: usize = SHARD_KEYS / 4;

/// Something that matters less as time goes by.
pub(super) trait Fading: Default {
    /// How much is lost with it; nothing where it is as good as none.
    fn worth(&self, now: u64) -> u64;
}

/// Values by key. When there are too many, those go first that matter least:
/// many new keys do not make it forget those who have used up the most.
#[derive(Debug)]
pub(super) struct Capped<K, V> {
    /// Random, so that nobody can fill one shard on purpose.
    hasher: RandomState,
    shards: [Mutex<HashMap<K, V>>; SHARDS],
}

impl<K, V> Default for Capped<K, V> {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::new()));
        Self { hasher: RandomState::new(), shards }
    }
}

impl<K: Eq + Hash, V: Fading> Capped<K, V> {
    /// Looks at the value of a key, or changes it.
    pub(super) fn update<R>(&self, key: K, now: u64, change: impl FnOnce(&mut V) -> R) -> R {
        let mut shard = self.shard(&key);
        if shard.len() >= SHARD_KEYS && !shard.contains_key(&key) {
            make_room(&mut shard, now);
        }
        change(shard.entry(key).or_default())
    }

    /// Forgets a key.
    pub(super) fn remove(&self, key: &K) {
        self.shard(key).remove(key);
    }

    /// Forgets what matters no more.
    pub(super) fn sweep(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, value| value.worth(now) > 0);
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        let hash = self.hasher.hash_one(key);
        // The remainder is in range, and small.
        #[allow(clippy::cast_possible_truncation)]
        lock(&self.shards[(hash % SHARDS as u64) as usize])
    }
}

fn make_room<K: Eq + Hash, V: Fading>(shard: &mut HashMap<K, V>, now: u64) {
    shard.retain(|_, value| value.worth(now) > 0);
    let Some(mut excess) = (shard.len() + ROOM).checked_sub(SHARD_KEYS).filter(|n| *n > 0) else {
        return;
    };
    let mut worths: Vec<u64> = shard.values().map(|value| value.worth(now)).collect();
    let (_, limit, _) = worths.select_nth_unstable(excess - 1);
    let limit = *limit;
    shard.retain(|_, value| {
        let stays = excess == 0 || value.worth(now) > limit;
        excess -= usize::from(!stays);
        stays
    });
}

/// No lock here guards anything that a panic could leave half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Matters until that moment.
    #[derive(Default)]
    struct Until(u64);

    impl Fading for Until {
        fn worth(&self, now: u64) -> u64 {
            self.0.saturating_sub(now)
        }
    }

    fn len(capped: &Capped<u64, Until>) -> usize {
        capped.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn get(capped: &Capped<u64, Until>, key: u64) -> Option<u64> {
        capped.shard(&key).get(&key).map(|until| until.0)
    }

    #[test]
    fn a_flood_of_keys_stays_under_the_cap_and_washes_away_only_each_other() {
        let capped = Capped::<u64, Until>::default();
        let heavy = 0..100;
        for key in heavy.clone() {
            capped.update(key, 0, |until| *until = Until(1_000_000 + key));
        }
        for key in 100..10 * KEYS as u64 {
            capped.update(key, 0, |until| *until = Until(10));
            if key % 1000 == 0 {
                assert!(len(&capped) <= KEYS);
            }
        }
        assert!(len(&capped) <= KEYS);
        for key in heavy {
            assert_eq!(get(&capped, key), Some(1_000_000 + key));
        }
        // The newest is always there.
        assert_eq!(get(&capped, 10 * KEYS as u64 - 1), Some(10));
    }

    #[test]
    fn what_matters_no_more_is_swept() {
        let capped = Capped::<u64, Until>::default();
        for key in 0..1000 {
            capped.update(key, 0, |until| *until = Until(key));
        }
        capped.sweep(989);
        assert_eq!(len(&capped), 10);
        capped.remove(&999);
        assert_eq!(len(&capped), 9);
    }
}
