//! Keys whose values were large when they were last seen: reading them gets a connection of its own from the start, so
//! that nobody's requests end up behind them.

use crate::limits::LARGE_KEYS;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// The keys seen last, as hashes: a mistake only costs a detour.
#[derive(Debug, Default)]
pub(crate) struct LargeKeys {
    known: HashSet<u64>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl LargeKeys {
    /// A key of a pool has a large value.
    pub(crate) fn learn(&mut self, pool: u32, key: &[u8]) {
        let hash = self.hasher.hash_one((pool, key));
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > LARGE_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Its value is large no more.
    pub(crate) fn forget(&mut self, pool: u32, key: &[u8]) {
        let hash = self.hasher.hash_one((pool, key));
        if self.known.remove(&hash) {
            self.order.retain(|other| *other != hash);
        }
    }

    /// Whether a key of a pool is known to have a large value. Costs next to nothing while there is none.
    #[inline]
    pub(crate) fn has(&self, pool: u32, key: &[u8]) -> bool {
        !self.known.is_empty() && self.known.contains(&self.hasher.hash_one((pool, key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut keys = LargeKeys::default();
        assert!(!keys.has(0, b"a"));
        keys.learn(0, b"a");
        assert!(keys.has(0, b"a") && !keys.has(1, b"a"));
        keys.forget(0, b"a");
        assert!(!keys.has(0, b"a") && keys.order.is_empty());
        keys.learn(0, b"a");
        for number in 0..LARGE_KEYS as u32 {
            keys.learn(0, &number.to_be_bytes());
        }
        assert!(!keys.has(0, b"a"));
        assert!(keys.has(0, &0u32.to_be_bytes()));
        assert_eq!(keys.known.len(), LARGE_KEYS);
    }
}
